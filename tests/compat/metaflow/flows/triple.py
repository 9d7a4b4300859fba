from metaflow import FlowSpec, step


class TripleForeach(FlowSpec):
    """Three levels; the innermost sees all of them."""

    @step
    def start(self):
        self.ones = ["a", "b"]
        self.next(self.one, foreach="ones")

    @step
    def one(self):
        self.twos = [10, 20]
        self.next(self.two, foreach="twos")

    @step
    def two(self):
        self.threes = {"x": 1, "y": 2}
        self.keys = sorted(self.threes)
        self.next(self.three, foreach="keys")

    @step
    def three(self):
        self.stack = self.foreach_stack()
        self.path = "-".join(str(value) for _, _, value in self.stack)
        self.next(self.join3)

    @step
    def join3(self, inputs):
        self.paths = [one.path for one in inputs]
        self.here = (self.index, self.input)
        self.next(self.join2)

    @step
    def join2(self, inputs):
        self.paths = sum((one.paths for one in inputs), [])
        self.below = [one.here for one in inputs]
        self.next(self.join1)

    @step
    def join1(self, inputs):
        self.paths = sum((one.paths for one in inputs), [])
        self.next(self.end)

    @step
    def end(self):
        print(self.paths)


if __name__ == "__main__":
    TripleForeach()
