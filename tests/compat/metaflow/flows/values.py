import collections
import datetime
import decimal
import fractions
import pathlib
import uuid

import shapes
from metaflow import FlowSpec, step


class Values(FlowSpec):
    """Values of many types survive, shared references too."""

    @step
    def start(self):
        self.ints = [0, -1, 2**70, True, False]
        self.floats = [0.1, float("inf"), -0.0, 1e300]
        self.nan = float("nan")
        self.texts = ["", "ünï", "a\nb", "\x00", "🎉"]
        self.raw = [b"", b"\xff\x00", bytearray(b"ab")]
        self.complexes = 1 + 2j
        self.nested = {"a": [(1, {2: frozenset([3])})], (1, 2): None}
        self.sets = {1, 2, 3}
        self.when = [datetime.datetime(2026, 1, 2, 3, 4, 5), datetime.date(2026, 1, 2), datetime.timedelta(1, 2)]
        self.exact = [decimal.Decimal("1.10"), fractions.Fraction(1, 3)]
        self.path = pathlib.PurePosixPath("/a/b")
        self.ident = uuid.UUID(int=5)
        self.counts = collections.Counter("abca")
        self.ordered = collections.OrderedDict([("z", 1), ("a", 2)])
        self.default = collections.defaultdict(list, {"k": [1]})
        self.many = collections.deque([1, 2], maxlen=5)
        self.point = shapes.Point(1)
        self.node = shapes.Node("n")
        self.pair = shapes.Pair(1, "r")
        self.error = shapes.Refused(1, "t")
        self.ranged = range(1, 10, 3)
        self.nothing = None
        self.ellipsis = ...
        self.kind = dict
        self.function = sorted
        shared = [1]
        self.twice = [shared, shared]
        self.loop = []
        self.loop_length = len(self.loop)
        self.next(self.middle)

    @step
    def middle(self):
        self.twice[0].append(2)
        self.loop.append("x")
        self.node.name = "changed"
        self.default["new"].append(1)
        self.many.append(3)
        self.colour_name = shapes.Colour("r").name
        print(type(self.point).__name__, self.point, self.pair.right, self.error.code, self.kind, self.function([2, 1]))
        self.next(self.end)

    @step
    def end(self):
        print(self.twice, self.twice[0] is self.twice[1], self.node.name, self.node.me, self.nan != self.nan)
        print(dict(self.default), list(self.many), self.many.maxlen, self.loop)
        print(list(self.ranged), self.counts["a"], list(self.ordered), self.ellipsis)


if __name__ == "__main__":
    Values()
