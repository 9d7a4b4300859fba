from metaflow import FlowSpec, Parameter, step


class SwitchKinds(FlowSpec):
    """Switches one after the other and inside each other, in a branch, with numbers as keys."""

    level = Parameter("level", default=1)

    @step
    def start(self):
        self.next(self.arm, self.other)

    @step
    def arm(self):
        self.way = self.level
        self.next({0: self.low, 1: self.middle, 2: self.high}, condition="way")

    @step
    def low(self):
        self.went = ["low"]
        self.next(self.done)

    @step
    def middle(self):
        self.went = ["middle"]
        self.inner = "x"
        self.next({"x": self.inner_x, "y": self.inner_y}, condition="inner")

    @step
    def inner_x(self):
        self.went.append("x")
        self.next(self.done)

    @step
    def inner_y(self):
        self.went.append("y")
        self.next(self.done)

    @step
    def high(self):
        self.went = ["high"]
        self.next(self.done)

    @step
    def done(self):
        self.went.append("done")
        self.next(self.join)

    @step
    def other(self):
        self.went = ["other"]
        self.next(self.join)

    @step
    def join(self, inputs):
        self.all = inputs.done.went + inputs.other.went
        self.next(self.end)

    @step
    def end(self):
        print(self.all)


if __name__ == "__main__":
    SwitchKinds()
