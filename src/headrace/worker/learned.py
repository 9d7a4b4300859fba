"""What the steps of a flow import: found in their code, told by workers, and kept for the next run.

A hint, never more: whatever it says wrongly costs an import that was not needed, or one that each worker makes for
itself. So a file that is missing, damaged or out of date is not an error.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

#: Names that are kept of one flow, and used in one run.
_MOST = 1000


class Learned:
    """Installed modules by step, in the order of their imports, those of the user's own for this run only.

    ``file`` is where they are kept (None: nowhere); ``found`` what is known from the code: installed modules and the
    user's own by step. The latter are imported ahead only once a worker told that they take long.
    """

    def __init__(
        self, file: Path | None = None, found: Mapping[str, tuple[Iterable[str], Iterable[str]]] | None = None
    ) -> None:
        self._file = file
        self._quick: set[str] = set()
        self._steps: dict[str, dict[str, None]] = {}
        self._own: set[str] = set()
        self._came_along: set[str] = set()
        #: Those that workers are not to be forked with.
        self.refused: set[str] = set()
        self._kept = self._read()
        for step, (installed, own) in (found or {}).items():
            self._quick.update(own)
            self._add(step, [*installed, *own])

    def _read(self) -> object:
        if self._file is None:
            return None
        try:
            kept = msgspec.json.decode(self._file.read_bytes())
            steps, refused = dict(kept["steps"]), set(kept["refused"])
            names = [name for step in steps.values() for name in step]
            if not all(isinstance(name, str) and _is_name(name) for name in [*names, *refused]):
                return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, msgspec.DecodeError):
            return None
        for step, some in steps.items():
            self._add(step, some)
        self.refused |= refused
        return kept

    def _add(self, step: str, names: Iterable[str]) -> None:
        known = self._steps.setdefault(step, {})
        for name in names:
            if len(known) < _MOST and _is_name(name):
                known[name] = None

    def heard(self, step: str, installed: Iterable[str], own: Iterable[str]) -> None:
        """A worker imported these in ``step``."""
        self._own.update(own)
        self._quick.difference_update(own)
        self._add(step, [*installed, *own])

    def needs(self, step: str) -> Iterable[str]:
        """What ``step`` is known to import."""
        return self._steps.get(step, ())

    def all(self) -> list[str]:
        """What all steps import and may be shared."""
        return [name for name in dict.fromkeys(n for names in self._steps.values() for n in names) if self._may(name)]

    def _may(self, name: str) -> bool:
        return name not in self.refused and name not in self._quick

    def imported(self, names: Iterable[str], asked: Iterable[str]) -> None:
        """Of the modules ``asked`` for, these had to be imported; the others came with them, or cannot be had."""
        self._came_along.update(asked)
        self._came_along.difference_update(names)

    def save(self) -> None:
        """Keep what was learned for the next run."""
        if self._file is None:
            return
        left_out = self._came_along | self._own | self._quick | self.refused
        steps = {step: [name for name in names if name not in left_out] for step, names in self._steps.items()}
        data = {"steps": {step: names for step, names in steps.items() if names}, "refused": sorted(self.refused)}
        if data == self._kept or not (data["steps"] or data["refused"]):
            return
        with contextlib.suppress(OSError):  # it is learned again
            self._file.parent.mkdir(exist_ok=True)
            draft = self._file.with_name(f"{self._file.name}.{os.getpid()}")
            draft.write_bytes(msgspec.json.encode(data))
            draft.replace(self._file)


def _is_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))
