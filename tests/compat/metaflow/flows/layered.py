from layered_root import LayeredRoot

from metaflow import Config, FlowSpec, Parameter, catch, parallel, step


class Layered(LayeredRoot):
    """Every kind of step, in two files; one of them replaced."""

    settings = Config("settings", default_value={"on": "again"})
    more = Parameter("more-words", default=lambda context: f"{context.parameter_name} {dict(context.configs)}")

    @step
    def right(self):
        self.next(self.gang, num_parallel=2)

    @parallel
    @step
    def gang(self):
        self.next(self.ungang)

    @step
    def ungang(self, inputs):
        print(self, sorted(str(one) for one in inputs))
        self.next(self.last_right)

    @catch(var="failed")
    @step
    def last_right(self):
        self.next(self.meet)

    @step
    def meet(self, inputs):
        print(self, [str(one) for one in (inputs.left, inputs.last_right)])
        self.next(self.gather)

    @step
    def gather(self, inputs):
        print(self, [str(one) for one in inputs])
        self.turns = 0
        self.next(self.turn)

    @step
    def turn(self):
        self.turns += 1
        self.go = "again" if self.turns < 2 else "enough"
        self.next({"again": self.turn, "enough": self.choose}, condition="go")

    @step
    def choose(self):
        self.way = 1
        self.next({1: self.one, 2: self.two}, condition="way")

    @step
    def one(self):
        print(self)
        self.next(self.finish)

    @step
    def two(self):
        self.next(self.finish)

    @step(end=True)
    def finish(self):
        "The last step."
        print(self, self.more)


if __name__ == "__main__":
    Layered()
