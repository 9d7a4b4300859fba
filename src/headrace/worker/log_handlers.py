"""Handlers, levels and filters of loggers that a task sets: put back before the next task of the process.

The root logger, loggers of the user and the top loggers of libraries are looked at. Where the task imported modules,
what libraries did to their own loggers meanwhile stays.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import msgspec

from headrace._base.usercode import is_user_module


class _State(msgspec.Struct, frozen=True):
    level: int
    propagate: bool
    disabled: bool
    handlers: list[Any]
    filters: list[Any]


class Loggers:
    """The loggers of this process, as they are before an attempt."""

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}
        self._count = -1
        self._disabled = 0

    def begin(self) -> None:
        """Take in loggers that are new."""
        logging: Any = sys.modules.get("logging")
        if logging is None:
            return
        if len(logging.root.manager.loggerDict) != self._count:
            self._count = len(logging.root.manager.loggerDict)
            self._disabled = logging.root.manager.disable
            self._states = {name: _state(logger) for name, logger in _loggers(logging)}

    def restore(self, has_imported: bool) -> bool:
        """Put back what was changed; whether there was anything."""
        logging: Any = sys.modules.get("logging")
        if logging is None or not hasattr(logging, "root"):
            return False
        manager = logging.root.manager
        if manager.disable != self._disabled:
            manager.disable = self._disabled
        found = False
        is_new = self._count < 0 or len(manager.loggerDict) != self._count
        for name, logger in _loggers(logging) if is_new else self._known(logging):
            state = self._states.get(name)
            if state is None and has_imported and _is_library(name):
                continue
            if state is None:
                state = _State(logging.WARNING if logger is logging.root else 0, True, False, [], [])
            if state != _now(logger) and not (has_imported and _is_library(name)):
                _restore(logger, state)
                found = True
        if is_new:
            self._count = -1
        return found

    def _known(self, logging: Any) -> list[tuple[str, Any]]:
        loggers = logging.root.manager.loggerDict
        return [(name, loggers[name] if name else logging.root) for name in self._states]


def _loggers(logging: Any) -> list[tuple[str, Any]]:
    found = [("", logging.root)]
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and ("." not in name or not _is_library(name)):
            found.append((name, logger))
    return found


def _is_library(name: str) -> bool:
    """Whether a logger is called like a package that is loaded and not the user's."""
    top = name.partition(".")[0]
    return top in sys.modules and not is_user_module(top)


def _now(logger: Any) -> _State:
    return _State(logger.level, logger.propagate, logger.disabled, logger.handlers, logger.filters)


def _state(logger: Any) -> _State:
    return _State(logger.level, logger.propagate, logger.disabled, logger.handlers[:], logger.filters[:])


def _restore(logger: Any, state: _State) -> None:
    for handler in logger.handlers[:]:
        if handler not in state.handlers:
            logger.removeHandler(handler)
            with contextlib.suppress(Exception):
                handler.close()
    logger.handlers[:] = state.handlers
    logger.filters[:] = state.filters
    logger.propagate, logger.disabled = state.propagate, state.disabled
    logger.setLevel(state.level)
