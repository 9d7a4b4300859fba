"""Splits as tasks leave them and take them: where a task leads to, and the branches that it is in."""

from __future__ import annotations

import reprlib
from collections import namedtuple
from typing import Any

from headrace.frontends.metaflow.names import stored
from headrace.frontends.metaflow.settings import from_conf

#: The variable of the frame that a gang's tasks are in.
GANG = "_parallel_ubf_iter"


#: One foreach around a task as users see it; a class of typing's cannot have a field ``index``.
ForeachFrame = namedtuple("ForeachFrame", "step var num_splits index value", module="headrace.metaflow")


def shown_value(value: Any) -> str:
    """An item of a foreach as its frame shows it."""
    text = str(value if isinstance(value, (str, int, float)) else reprlib.Repr().repr(value))
    return text[: from_conf("MAXIMUM_FOREACH_VALUE_CHARS", 30)]


@stored
class UnboundedForeachInput:
    """What a foreach goes over whose branches are not counted by it: the nodes of a gang."""


@stored
class ParallelUBF(UnboundedForeachInput):
    """What the frame of a gang goes over: ``num_parallel`` nodes."""

    def __init__(self, num_parallel: int) -> None:
        self.num_parallel = num_parallel

    def __getitem__(self, node: int | None) -> int:
        return node or 0


class Transition:
    """Where a task goes on: step names, and how."""

    __slots__ = ("kind", "splits", "targets", "var")

    def __init__(self, targets: list[str], kind: str = "", var: str = "", splits: int = 0) -> None:
        self.targets = targets
        self.kind = kind  # "", "foreach", "switch" or "parallel"
        self.var = var
        self.splits = splits

    def as_list(self) -> list[Any]:
        """For storing; ``Transition(*read)`` is the way back."""
        return [self.targets, self.kind, self.var, self.splits]


class Frame:
    """One level of foreach that a task is in; it is stored as the list of these."""

    __slots__ = ("index", "num_splits", "step", "var")

    def __init__(self, step: str, var: str, num_splits: int, index: int) -> None:
        self.step = step
        self.var = var
        self.num_splits = num_splits
        self.index = index

    @property
    def is_gang(self) -> bool:
        """Whether its branches are the nodes of a gang."""
        return self.var == GANG
