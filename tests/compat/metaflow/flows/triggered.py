from metaflow import FlowSpec, Parameter, current, schedule, step, trigger


@schedule(daily=True)
@trigger(event={"name": "arrived", "parameters": {"alpha": "a"}})
class Triggered(FlowSpec):
    """What only matters when deployed is accepted."""

    alpha = Parameter("alpha", default=1)

    @step
    def start(self):
        print(current.get("trigger"))
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Triggered()
