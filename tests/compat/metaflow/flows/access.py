from metaflow import FlowSpec, step


class InputsAccess(FlowSpec):
    """All ways to reach the branches of a join, and what is not there."""

    limit = 3

    @step
    def start(self):
        self.before = 1
        self.next(self.a, self.b)

    @step
    def a(self):
        self.x = "a"
        self.big = list(range(100))
        self.next(self.join)

    @step
    def b(self):
        self.x = "b"
        self.next(self.join)

    @step
    def join(self, inputs):
        print(sorted(one.x for one in inputs), sorted([inputs[0].x, inputs[1].x]), inputs.a.x, inputs.b.x)
        print(hasattr(self, "before"), hasattr(self, "x"), inputs.a.before, inputs.b.limit, self.limit)
        for what in (lambda: inputs[2], lambda: inputs.c, lambda: inputs.b.big, lambda: self.before):
            try:
                print(what())
            except (AttributeError, IndexError) as error:
                print(type(error).__name__)
        inputs.a.big.append("changed")
        self.big = inputs.a.big
        self.pair = {one.x: one.before for one in sorted(inputs, key=lambda one: one.x)}
        self.next(self.end)

    @step
    def end(self):
        print(self.big[-1], self.pair, hasattr(self, "before"))


if __name__ == "__main__":
    InputsAccess()
