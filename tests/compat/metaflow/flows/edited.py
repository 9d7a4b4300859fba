from metaflow import FlowSpec, step


class Edited(FlowSpec):
    """Its code changes before it is resumed."""

    @step
    def start(self):
        self.value = "first start"
        self.next(self.middle)

    @step
    def middle(self):
        self.value += ", first middle"
        self.next(self.end)

    @step
    def end(self):
        print(self.value)


if __name__ == "__main__":
    Edited()
