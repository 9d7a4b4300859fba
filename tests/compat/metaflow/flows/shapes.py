"""Helper module of ``values.py``: classes that have an importable name."""

import collections
import dataclasses
import enum


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5


class Colour(enum.Enum):
    RED = "r"


Pair = collections.namedtuple("Pair", "left right")


class Node:
    def __init__(self, name):
        self.name = name
        self.me = name * 2


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(code, text)
        self.code = code


def fail():
    raise Refused(7, "fell over: ünïcode\nsecond line")


class Lazy:
    """Can be walked through, but has no length and no items by number."""

    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(10, 10 + self.n))
