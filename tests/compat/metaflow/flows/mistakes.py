import threading

from metaflow import FlowSpec, Parameter, step


class Mistakes(FlowSpec):
    """Goes wrong as a parameter says."""

    how = Parameter("how", default="")

    @step
    def start(self):
        self.before = 1
        if self.how == "self":
            self.me = self
        if self.how == "lock":
            self.lock = threading.Lock()
        if self.how == "exit":
            raise SystemExit(5)
        self.items = [] if self.how == "empty" else 5 if self.how == "number" else list(range(4))
        if self.how == "twice":
            self.next(self.work, foreach="items")
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        if self.how == "input":
            self.kept = inputs[0]
        self.next(self.choose)

    @step
    def choose(self):
        self.kind = self.how or "a"
        self.next({"a": self.left, "b": self.right}, condition="kind")

    @step
    def left(self):
        self.next(self.end)

    @step
    def right(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Mistakes()
