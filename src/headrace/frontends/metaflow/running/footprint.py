"""What a task leaves behind in its process beside artifacts: under Metaflow a task is a process, and nobody sees it.

Workers take one task after the other. After each, ``changed`` looks at what steps can reach by name: the names of the
user's modules, the attributes of classes that they define, plain containers among both, pictures of matplotlib,
switches of Python. A worker in which something is not as it was takes no more tasks. What is deeper, as a list in a
list, and what belongs to other libraries, is not looked at.
"""

from __future__ import annotations

import gc
import logging
import signal
import sys
import time
import warnings
from collections import deque
from types import ModuleType
from typing import Any, NamedTuple

from headrace._base.usercode import is_user_module, module_file

#: Longer ones are known by their lengths only.
_LONG = 1000
_PLAIN = (list, dict, set, bytearray, deque)
_MISSING = object()
_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})[:31]


class _Place(NamedTuple):
    """A module or class, its names, and copies of the containers among their values."""

    owner: Any
    names: dict[str, Any]
    contents: list[tuple[Any, Any]]


class Footprint:
    """What is looked at, as it is now, before the process has run a step."""

    def __init__(self) -> None:
        self._places: list[_Place] = []
        self._owners: set[int] = set()
        self._modules: set[str] = set()
        self._drawing = _rc()
        self._switches = _interpreter()
        self._look()

    def _look(self) -> None:
        """Take in the modules that are new, and what they turned."""
        self._imported = len(sys.modules)
        self._turned = _by_imports()
        for name in [one for one in sys.modules if one not in self._modules]:
            self._modules.add(name)
            module = sys.modules.get(name)
            if isinstance(module, ModuleType) and (name == "__main__" or module_file(module)) and is_user_module(name):
                self._add(module)
                for value in list(vars(module).values()):
                    if isinstance(value, type) and value.__module__ in (name, module.__name__):
                        self._add(value)

    def _add(self, owner: Any) -> None:
        if id(owner) not in self._owners:
            self._owners.add(id(owner))
            self._places.append(_place(owner))

    def changed(self) -> bool:
        """Whether the process is not as it was."""
        found = any(map(_differs, self._places)) or _draws(self._drawing) or _interpreter() != self._switches
        if self._imported != len(sys.modules):
            self._look()
        elif _by_imports() != self._turned:
            found = True
        return found


def _place(owner: Any) -> _Place:
    names = _names(owner)
    contents = [(value, _copy(value)) for value in names.values() if isinstance(value, _PLAIN)]
    return _Place(owner, names, contents)


def _names(owner: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in list(vars(owner).items())
        if not (name.startswith("__") or isinstance(value, ModuleType))
    }


def _copy(value: Any) -> Any:
    if len(value) > _LONG:
        return len(value)
    return list(value.items()) if isinstance(value, dict) else list(value)


def _differs(place: _Place) -> bool:
    now, before = _names(place.owner), place.names
    if len(now) != len(before) or any(now.get(name, _MISSING) is not value for name, value in before.items()):
        return True
    return any(not _same(_copy(value), copy) for value, copy in place.contents)


def _same(now: Any, before: Any) -> bool:
    if type(now) is int or type(before) is int:
        return bool(now == before)
    return len(now) == len(before) and all(map(_is_same, now, before))


def _is_same(one: Any, other: Any) -> bool:
    if type(one) is tuple and type(other) is tuple:  # an item of a dictionary
        return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
    return one is other


def _rc() -> Any:
    """The settings of matplotlib: as they are, or, as long as it is not imported, None."""
    matplotlib: Any = sys.modules.get("matplotlib")
    return dict.copy(matplotlib.rcParams) if matplotlib is not None and hasattr(matplotlib, "rcParams") else None


def _draws(before: Any) -> bool:
    """Whether pictures are open, which the next task would draw into, or settings of pictures were changed."""
    matplotlib: Any = sys.modules.get("matplotlib")
    if matplotlib is None or not hasattr(matplotlib, "rcParamsOrig"):
        return False
    helpers: Any = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is not None and helpers.Gcf.figs:
        return True
    settings = dict.copy(matplotlib.rcParams)
    begun = dict.copy(matplotlib.rcParamsOrig) if before is None else before
    return any(settings[name] != begun.get(name) for name in settings if name != "backend" and name in begun)


def _interpreter() -> tuple[Any, ...]:
    """Switches of Python that no library turns when it is imported."""
    sockets: Any = sys.modules.get("socket")
    return (
        sys.argv[:],
        sys.getrecursionlimit(),
        sys.get_int_max_str_digits(),
        sys.excepthook,
        gc.isenabled(),
        sys.gettrace(),
        sys.getprofile(),
        sockets.getdefaulttimeout() if sockets is not None else None,
        time.tzname,
        [signal.getsignal(number) for number in _SIGNALS],
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    )


def _by_imports() -> tuple[Any, ...]:
    """Switches that libraries turn as well, when they are imported."""
    root = logging.getLogger()
    return (sys.path[:], warnings.filters[:], root.level, root.handlers[:], root.manager.disable)
