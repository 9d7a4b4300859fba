import os

from metaflow import FlowSpec, Parameter, step


class Failing(FlowSpec):
    """Fails in one branch of a foreach, until a file exists."""

    base = Parameter("base", default=10)

    @step
    def start(self):
        self.items = [0, 1, 2]
        self.once = "made"
        print("start runs")
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.value = self.base + self.input
        print("work", self.input)
        if self.input == 2 and not os.path.exists("fixed"):
            raise RuntimeError("not fixed")
        self.next(self.join)

    @step
    def join(self, inputs):
        self.values = [one.value for one in inputs]
        self.merge_artifacts(inputs, include=["once"])
        self.next(self.end)

    @step
    def end(self):
        print(self.values, self.once)


if __name__ == "__main__":
    Failing()
