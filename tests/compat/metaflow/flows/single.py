from metaflow import FlowSpec, step


class Single(FlowSpec):
    """One step."""

    @step(start=True, end=True)
    def only(self):
        self.x = 1
        print("only")


if __name__ == "__main__":
    Single()
