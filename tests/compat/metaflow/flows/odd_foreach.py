from metaflow import FlowSpec, Parameter, step
from shapes import Lazy


def things(kind):
    return {
        "lazy": Lazy(3),
        "one": ["only"],
        "none": [None, None],
        "nested": [[1], [2, 3]],
        "dicts": [{"a": 1}, {"a": 2}],
        "long": ["x" * 100, "y" * 100],
        "bytes": b"ab",
        "frozenset": frozenset(["f"]),
        "empty-dict": {},
        "absent": None,
    }[kind]


class OddForeach(FlowSpec):
    """A foreach over odd things."""

    kind = Parameter("kind", default="lazy")

    @step
    def start(self):
        if self.kind != "absent":
            self.things = things(self.kind)
        self.next(self.work, foreach="things")

    @step
    def work(self):
        self.got = self.input
        print(self.index, self.input, self.foreach_stack())
        self.next(self.join)

    @step
    def join(self, inputs):
        self.all = [one.got for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    OddForeach()
