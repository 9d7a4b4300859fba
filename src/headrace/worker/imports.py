"""What steps import while they run: noticed in a worker, so that later workers are forked with it imported.

Called by ``worker.serve``, from the steward's thread while an attempt runs. Only what takes long is told: a look that
finds an import under way is the sign. Modules of the user's own are told apart; one of them is worth importing ahead
only if its own code was found running in two looks, for else each task imports it afresh, as plain Python does.
"""

from __future__ import annotations

import sys
from types import ModuleType

from headrace._base.usercode import is_user_module

#: More names than this are not told of one attempt.
_MOST = 2000


class ImportWatch:
    """What was imported since the attempt began, as far as it has not been told."""

    __slots__ = ("_base", "_count", "_running", "_slow", "_told", "_worth")

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """An attempt begins."""
        self._base = self._count = len(sys.modules)
        self._running = self._worth = False
        self._slow: dict[str, int] = {}
        self._told: set[str] = set()

    def look(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Installed modules and the user's own that are worth importing ahead and were not told before."""
        count = len(sys.modules)
        if count == self._count and not self._running:
            return (), ()
        self._count = count
        new = list(sys.modules)[self._base :][:_MOST]
        innermost = next((name for name in reversed(new) if _is_running(name)), "")
        self._running = bool(innermost)
        self._worth |= self._running
        if not self._worth:
            return (), ()
        if innermost and is_user_module(innermost):
            self._slow[innermost] = self._slow.get(innermost, 0) + 1
        own = [name for name, looks in self._slow.items() if looks > 1 and name not in self._told]
        names = [name for name in new if name not in self._told and _is_installed(name)]
        self._told.update(own, names)
        return tuple(names), tuple(own)


def _spec(name: str) -> object:
    module = sys.modules.get(name)
    return module.__dict__.get("__spec__") if isinstance(module, ModuleType) else None


def _is_running(name: str) -> bool:
    """Whether the code of a module runs for the first time, at this moment."""
    return bool(getattr(_spec(name), "_initializing", False))


def _is_installed(name: str) -> bool:
    return getattr(_spec(name), "name", None) == name and not is_user_module(name)
