from metaflow import FlowSpec, Parameter, step


class Wide(FlowSpec):
    """Many splits, in order at the join."""

    width = Parameter("width", default=300)

    @step
    def start(self):
        self.items = list(range(self.width))
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.square = self.input**2
        self.next(self.join)

    @step
    def join(self, inputs):
        self.squares = [one.square for one in inputs]
        self.in_order = self.squares == [n * n for n in range(self.width)]
        self.next(self.end)

    @step
    def end(self):
        print(len(self.squares), self.in_order)


if __name__ == "__main__":
    Wide()
