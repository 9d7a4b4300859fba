"""The one argument of a join: what each branch has, as a template of steps, frames and names with holes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from sys import intern
from typing import Any, TypeVar

W = TypeVar("W")


def join_shape(branches: Iterable[tuple[str, list[Any], Mapping[str, W | None]]]) -> tuple[list[Any], list[W]]:
    """The template for branches given as step, foreach frames and artifacts, and what fills its holes, in order.

    An artifact is where it comes from, hashable, or None for one that every step has by itself; what all branches
    inherited from one place is one hole. No list is shared and equal texts are one object, because a pickle of the
    template, and with it the identity of the join, depends on that.
    """
    holes: dict[W, int] = {}
    shape = []
    for step, stack, table in branches:
        mine = {}
        for name in sorted(table):
            where = table[name]
            if where is not None:
                mine[intern(name)] = holes.setdefault(where, len(holes))
        shape.append([intern(step), [[intern(frame[0]), intern(frame[1]), *frame[2:]] for frame in stack], mine])
    return shape, list(holes)
