"""What an import did, and what it could not do."""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an import. ``new``: runs by name; ``renewed``: runs that had not ended when they last came in.

    ``kept``: artifacts that stayed the pickles they were; ``problems``: a line for everything that was left out.
    """

    store: str
    dry_run: bool
    new: list[str]
    renewed: list[str]
    here: int
    left_out: int
    tasks: int
    artifacts: int
    kept: int
    seconds: float
    problems: list[str]


class Report:
    """Counts while an import goes on. ``step`` is called after every task."""

    def __init__(self, step: Callable[[], None] = lambda: None) -> None:
        self.tasks = 0
        self.artifacts = 0
        self.kept = 0
        self.problems: list[str] = []
        self._step = step

    def problem(self, text: str) -> None:
        """Something was left out; said once, however often it is met."""
        if text not in self.problems[-100:]:
            self.problems.append(text)

    def artifact(self, *, kept: bool) -> None:
        """An artifact came in; ``kept``: as the pickle it was."""
        self.artifacts += 1
        self.kept += kept

    def task(self) -> None:
        """A task came in."""
        self.tasks += 1
        self._step()
