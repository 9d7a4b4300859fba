from metaflow import FlowSpec, Parameter, retry, step


class Base(FlowSpec):
    alpha = Parameter("alpha", default=1)
    colour = "red"

    @step
    def start(self):
        print("base start", self.alpha, self.helper())
        self.next(self.work)

    @step
    def work(self):
        self.made_by = "base"
        self.next(self.end)

    @step
    def end(self):
        print(self.made_by, self.colour)

    def helper(self):
        return "base helper"


class Mixin:
    extra = 5

    def helper(self):
        return "mixin helper"


class Inherited(Mixin, Base):
    """Steps, parameters and constants of bases; a step that is replaced."""

    beta = Parameter("beta", default=2)
    colour = "blue"

    @step
    def work(self):
        self.made_by = f"child {self.beta} {self.extra}"
        self.next(self.end)


if __name__ == "__main__":
    Inherited()
