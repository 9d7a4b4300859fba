from metaflow import FlowSpec, current, step


class GangAbsent(FlowSpec):
    """What ``current`` says of gangs in a flow that has none."""

    @step(start=True, end=True)
    def only(self):
        print(hasattr(current, "parallel"), hasattr(current, "is_parallel"), current.get("parallel", "none"))
        print("parallel" in current, "parallel" in dir(current), "flow_name" in dir(current))


if __name__ == "__main__":
    GangAbsent()
