"""A foreach over a list of dictionaries whose branches change their item in place, before or after looking at it."""

from metaflow import FlowSpec, step


class LentFlow(FlowSpec):
    @step
    def start(self):
        self.rows = [{"i": i, "text": "x" * 50, "tags": ["a", "b"]} for i in range(7)]
        self.rows[6]["pad"] = "y" * 4000
        self.pairs = [(0, "z" * 3000), (None, ("a", 1))]
        self.next(self.each, foreach="rows")

    @step
    def each(self):
        if self.index == 0:
            self.input["i"] = "changed through input"
        elif self.index == 1:
            self.input["tags"].append("c")
            self.same = self.rows[1] is self.input
        elif self.index == 2:
            self.rows[2]["i"] = "changed through the list"
            self.same = self.rows[2] is self.input
        elif self.index == 3:
            self.rows = ["replaced"] * 7
        elif self.index == 4:
            self.kept = self.input
        elif self.index == 5:
            self.rows = list(self.rows)
            self.rows[5] = "item replaced"
            self.seen = str(self.input)[:40]
        else:
            self.seen = sorted(self.input)
        self.next(self.pair, foreach="pairs")

    @step
    def pair(self):
        self.first = self.input
        self.stack = [(index, count) for index, count, _ in self.foreach_stack()]
        self.outer = str(self.foreach_stack()[0][2])[:40]
        self.next(self.inner)

    @step
    def inner(self, inputs):
        self.firsts = [one.first for one in inputs]
        self.outers = sorted({one.outer for one in inputs})
        self.head = str(inputs[0].rows[:6])
        self.next(self.outer_join)

    @step
    def outer_join(self, inputs):
        self.heads = [one.head for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        print(len(self.heads))


if __name__ == "__main__":
    LentFlow()
