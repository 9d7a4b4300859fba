from metaflow import FlowSpec, Parameter, retry, step


class Loops(FlowSpec):
    """Two loops, one of them inside a foreach, and a step that fails once in a loop."""

    rounds = Parameter("rounds", default=3)

    @step
    def start(self):
        self.count = 0
        self.history = []
        self.next(self.loop)

    @retry(times=1, minutes_between_retries=0)
    @step
    def loop(self):
        from metaflow import current

        self.count += 1
        self.history.append((self.count, current.retry_count))
        if self.count == 2 and current.retry_count == 0:
            raise RuntimeError("once")
        self.go = "on" if self.count < self.rounds else "out"
        self.next({"on": self.loop, "out": self.fan}, condition="go")

    @step
    def fan(self):
        self.limits = [1, 3]
        self.next(self.prepare, foreach="limits")

    @step
    def prepare(self):
        self.n = 0
        self.next(self.inner)

    @step
    def inner(self):
        self.n += 1
        self.go = "on" if self.n < self.input else "out"
        print(self.input, self.n)
        self.next({"on": self.inner, "out": self.after}, condition="go")

    @step
    def after(self):
        self.total = self.n * 10
        self.next(self.join)

    @step
    def join(self, inputs):
        self.totals = [one.total for one in inputs]
        self.history = inputs[0].history
        self.next(self.end)

    @step
    def end(self):
        print(self.totals, self.history)


if __name__ == "__main__":
    Loops()
