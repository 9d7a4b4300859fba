"""Splits as tasks leave them and take them: where a task leads to, and the branches that it is in."""

from __future__ import annotations

from typing import Any

#: The variable of the frame that a gang's tasks are in.
GANG = "_parallel_ubf_iter"


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
