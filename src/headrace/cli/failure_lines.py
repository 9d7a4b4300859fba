"""Lines about the tasks of a run that failed: the first ones of each step, not thousands of equal ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from headrace.cli.progress import Progress

if TYPE_CHECKING:
    from headrace.model.records import RunRecord
    from headrace.stores.metadata.protocol import MetadataStore

#: Lines with the same error, and lines in all, that one step gets.
_EQUAL, _MOST = 3, 10
#: Failed tasks of a step after which the store is not asked for further ones.
_LOOKED_AT = 1000


class _Step:
    __slots__ = ("errors", "hidden", "lines", "seen")

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.errors: Counter[str] = Counter()
        self.lines = 0
        self.hidden = False


class FailureLines:
    """Remembers which failures were shown; ``new`` returns the lines that come next."""

    def __init__(self) -> None:
        self._steps: dict[str, _Step] = {}

    def new(self, metadata: MetadataStore, run: RunRecord, steps: Mapping[str, Progress]) -> list[str]:
        """Lines for tasks that failed since the last call, given the progress of each step of ``run``."""
        lines: list[str] = []
        for name, progress in steps.items():
            if progress.failed:
                step = self._steps.setdefault(name, _Step())
                if len(step.seen) < min(progress.failed, _LOOKED_AT):
                    self._look(metadata, run, name, step, lines)
        return lines

    def _look(self, metadata: MetadataStore, run: RunRecord, name: str, step: _Step, lines: list[str]) -> None:
        for task in metadata.tasks(run.id, name, states=("failed",)):
            if task.number in step.seen or task.session != run.session:
                continue
            step.seen.add(task.number)
            step.errors[task.error] += 1
            if step.errors[task.error] <= _EQUAL and step.lines < _MOST:
                step.lines += 1
                lines.append(f"{task.id} failed: {task.error}")
            elif not step.hidden:
                step.hidden = True
                lines.append(f"{name}: more tasks failed like these; `headrace show {run.name}/{name}` lists all")
