"""Flow classes with an ``__init__`` of their own: ``KIND`` says which."""

import os

from metaflow import FlowSpec, Parameter, step


class Mixin:
    def __init__(self, *args, **kwargs):
        self.mixed = "mixed"
        super().__init__(*args, **kwargs)


class Options:
    """An argument of a class of the flow's file."""

    def __init__(self, number):
        self.number = number

    def __eq__(self, other):
        return self.number == other.number


class Rich(Mixin, FlowSpec):
    def __init__(self, first, *more, key="key", use_cli=True):
        self.first = first.number
        self.growing = [first.number, *more, key]
        self.alpha = 50
        self.constant = 70
        print("made with", more)
        super().__init__(use_cli=use_cli)
        self.after = 1


class Plain(FlowSpec):
    def __init__(self):
        self.first = "none"
        self.growing = []
        super().__init__()
        self.after = 1


class Early(FlowSpec):
    def __init__(self):
        super().__init__()
        self.first, self.growing = 1, []


class Typed(FlowSpec):
    def __init__(self):
        self.first, self.growing = type(self.alpha).__name__, [type(self.constant).__name__]
        super().__init__()


class Levels(Plain):
    def __init__(self, **options):
        self.options = sorted(options)
        super().__init__()


class Silent(FlowSpec):
    def __init__(self):
        print("FlowSpec is not called")


BASES = {one.__name__.lower(): one for one in (Rich, Plain, Early, Typed, Levels, Silent)}


class OwnInit(BASES[os.environ["KIND"]]):
    alpha = Parameter("alpha", default=1)
    constant = 7

    @step
    def start(self):
        print("after", hasattr(self, "after"), self.alpha, self.constant)
        if not hasattr(self, "first"):
            self.first, self.growing = "set here", []
        print(self.first, self.growing)
        self.growing.append(4)
        self.items = [1, 2]
        self.next(self.body)

    @step
    def body(self):
        print(self.first, self.growing)
        self.first = "changed"
        self.next(self.end)

    @step
    def end(self):
        print(self.first, self.growing, self.alpha, self.constant)


if __name__ == "__main__":
    if os.environ["KIND"] == "rich":
        OwnInit(Options(3), 4, key="other")
    elif os.environ["KIND"] == "levels":
        OwnInit(one=1, two=abs)
    else:
        OwnInit()
