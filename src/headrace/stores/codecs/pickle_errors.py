"""After a failure to pickle: find the attribute that is to blame. Slow, and only ever run on the way to an error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from headrace._base.attributes import instance_dict, own

_SECONDS = 2.0
_DEPTH = 12
_ITEMS = 1000

_ADVICE = {
    "generator": "return a list of its items instead",
    "async_generator": "return a list of its items instead",
    "coroutine": "await it first",
    "_io.TextIOWrapper": "store its path or its contents (headrace.File keeps a file)",
    "_io.BufferedReader": "store its path or its contents (headrace.File keeps a file)",
    "_io.BufferedWriter": "store its path (headrace.File keeps a file)",
    "memoryview": "turn it into bytes",
    "_thread.lock": "make it when it is needed, or leave it out in __getstate__",
    "_thread.RLock": "make it when it is needed, or leave it out in __getstate__",
    "socket.socket": "open it where it is used",
    "sqlite3.Connection": "open it where it is used",
}
_DEFAULT_ADVICE = "leave it out in __getstate__, or store something it can be made from"


def explain(value: object, failure: BaseException, can_write: Callable[[object], bool]) -> str:
    """One line that names the innermost part of ``value`` for which ``can_write`` is false, and what to do."""
    path, culprit = _find(value, can_write, time.monotonic() + _SECONDS)
    kind = type_name(type(culprit))
    advice = _ADVICE.get(kind, _DEFAULT_ADVICE)
    subject = f"{type(value).__qualname__}{path} (a {kind})" if path else f"a {kind}"
    reason = f"{type(failure).__name__}: {failure}".splitlines()[0]
    return f"{subject} cannot be stored; {advice} [{reason[:300]}]"


def path_to(value: object, part: object) -> str:
    """How ``part`` is reached from ``value``: ``[0].unit``; empty when it is not found soon."""
    deadline = time.monotonic() + _SECONDS
    seen: set[int] = set()
    todo: list[tuple[str, object, int]] = [("", value, 0)]
    for path, thing, depth in todo:
        if time.monotonic() > deadline:
            break
        for name, child in _children(thing):
            if child is part:
                return path + name
            if depth < _DEPTH and id(child) not in seen and not isinstance(child, (str, bytes, int, float)):
                seen.add(id(child))
                todo.append((path + name, child, depth + 1))
    return ""


def type_name(kind: type) -> str:
    """``module.Name`` of a type, without the module for built-in ones."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _find(value: object, can_write: Callable[[object], bool], deadline: float) -> tuple[str, object]:
    path, culprit = "", value
    seen = {id(value)}
    for _ in range(_DEPTH):
        for name, child in _children(culprit):
            if time.monotonic() > deadline:
                return path, culprit
            if id(child) not in seen and not can_write(child):
                path, culprit = path + name, child
                seen.add(id(child))
                break
        else:
            break
    return path, culprit


def _children(value: object) -> Iterator[tuple[str, object]]:
    """Parts of ``value`` that its pickle would contain, with how to reach each from it."""
    if isinstance(value, dict):
        for number, (key, item) in enumerate(value.items()):
            if number >= _ITEMS:
                return
            yield f"[{_short(key)}]", item
            yield f".keys()[{number}]", key
    if isinstance(value, (list, tuple, set, frozenset)):
        names = own(value, "_fields", ())
        for number, item in enumerate(value):
            if number >= _ITEMS:
                return
            if isinstance(value, (set, frozenset)):
                yield "{...}", item
            else:
                yield (f".{names[number]}" if number < len(names) else f"[{number}]"), item
    yield from _state(value)


def _state(value: object) -> Iterator[tuple[str, object]]:
    function_cells = own(value, "__closure__")
    if function_cells:
        for name, cell in zip(value.__code__.co_freevars, function_cells, strict=False):  # type: ignore[attr-defined]
            try:
                yield f".<variable {name}>", cell.cell_contents
            except ValueError:
                continue  # not assigned yet
    if isinstance(value, type):
        return
    try:
        state = value.__getstate__()  # type: ignore[attr-defined,unused-ignore]
    except Exception:
        state = instance_dict(value)
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    for part in parts:
        if isinstance(part, dict):
            for name, item in part.items():
                yield f".{name}", item


def _short(key: object) -> str:
    text = repr(key) if isinstance(key, (str, int, float, bytes, bool, tuple)) else f"<{type(key).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."
