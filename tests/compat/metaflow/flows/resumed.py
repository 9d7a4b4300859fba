import os

from metaflow import FlowSpec, Parameter, current, step


class Resumed(FlowSpec):
    """A chain whose third step fails until a file exists."""

    size = Parameter("size", default=3)

    @step
    def start(self):
        self.x = self.size
        print("start", current.origin_run_id is not None)
        self.next(self.second)

    @step
    def second(self):
        self.y = self.x * 2
        print("second")
        self.next(self.third)

    @step
    def third(self):
        print("third")
        if not os.path.exists("fixed"):
            raise RuntimeError("not fixed")
        self.z = self.y + 1
        self.next(self.end)

    @step
    def end(self):
        print("end", self.x, self.y, self.z, current.origin_run_id is not None)


if __name__ == "__main__":
    Resumed()
