from metaflow import FlowSpec, step


class DeepBranches(FlowSpec):
    """Branches in branches in branches, joined one after the other."""

    @step
    def start(self):
        self.trail = ["start"]
        self.next(self.a, self.b, self.c)

    @step
    def a(self):
        self.trail.append("a")
        self.next(self.join)

    @step
    def b(self):
        self.trail.append("b")
        self.next(self.b1, self.b2)

    @step
    def b1(self):
        self.trail.append("b1")
        self.next(self.b11, self.b12)

    @step
    def b11(self):
        self.trail.append("b11")
        self.next(self.join_b1)

    @step
    def b12(self):
        self.trail.append("b12")
        self.next(self.join_b1)

    @step
    def join_b1(self, inputs):
        self.trail = sorted(one.trail for one in inputs)
        self.next(self.join_b)

    @step
    def b2(self):
        self.trail.append("b2")
        self.next(self.join_b)

    @step
    def join_b(self, inputs):
        self.trail = [inputs.join_b1.trail, inputs.b2.trail]
        self.next(self.join)

    @step
    def c(self):
        self.trail.append("c")
        self.next(self.join)

    @step
    def join(self, inputs):
        self.trail = [inputs.a.trail, inputs.join_b.trail, inputs.c.trail]
        self.next(self.end)

    @step
    def end(self):
        print(self.trail)


if __name__ == "__main__":
    DeepBranches()
