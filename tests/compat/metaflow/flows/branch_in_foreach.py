from metaflow import FlowSpec, step


class BranchInForeach(FlowSpec):
    """Each split of a foreach branches and joins; another foreach inside one arm."""

    @step
    def start(self):
        self.items = [1, 2]
        self.next(self.each, foreach="items")

    @step
    def each(self):
        self.value = self.input
        self.next(self.left, self.right)

    @step
    def left(self):
        self.side = "left"
        self.parts = list(range(self.value))
        self.next(self.part, foreach="parts")

    @step
    def part(self):
        self.piece = (self.value, self.input, self.index)
        print(self.foreach_stack())
        self.next(self.parts_join)

    @step
    def parts_join(self, inputs):
        self.pieces = [one.piece for one in inputs]
        self.next(self.sides)

    @step
    def right(self):
        self.side = "right"
        print(self.index, self.input)
        self.next(self.sides)

    @step
    def sides(self, inputs):
        self.pieces = inputs.parts_join.pieces
        self.both = [inputs.right.side, inputs.right.value]
        print(self.index, self.foreach_stack())
        self.next(self.gather)

    @step
    def gather(self, inputs):
        self.all = [(one.pieces, one.both) for one in inputs]
        print(self.index, self.foreach_stack())
        self.next(self.end)

    @step
    def end(self):
        print(self.all)


if __name__ == "__main__":
    BranchInForeach()
