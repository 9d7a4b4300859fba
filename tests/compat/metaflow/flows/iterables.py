from metaflow import FlowSpec, Parameter, step


def numbers(n):
    return {"list": [1, 2], "tuple": (3, 4), "str": "xy", "dict": {"p": 1}, "set": {5}, "range": range(2)}[n]


class Iterables(FlowSpec):
    """A foreach over what a parameter names."""

    kind = Parameter("kind", default="list")

    @step
    def start(self):
        self.items = numbers(self.kind)
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.got = self.input
        print(self.index, self.input)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.got = [one.got for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Iterables()
