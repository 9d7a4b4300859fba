"""Patterns of ``include`` and ``exclude``: paths from the root of the project, in which ``*``, ``?`` and ``**`` may be.

``*`` and ``?`` stay within a name and do not match its leading dot; ``**`` stands for any number of folders. A pattern
that matches a folder stands for all that is in it.
"""

# ruff: noqa: PTH112, PTH118 - paths are plain strings here, as in ``files``

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator

from headrace.model.errors import UsageError
from headrace.services.code import files

_WILD = re.compile(r"[*?\[]")


def check_pattern(pattern: str) -> str:
    """``pattern`` in its plain form.

    Raises:
        UsageError: it is absolute, or leads out of the project.
    """
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if pattern.startswith(("/", "~")) or ".." in parts or not parts:
        raise UsageError(
            f"include and exclude in [tool.headrace] name files of the project by their path from its root, such as "
            f"'data/*.csv'; {pattern!r} does not"
        )
    return "/".join(parts)


def is_literal(pattern: str) -> bool:
    """Whether a pattern names one file or folder."""
    return _WILD.search(pattern) is None


@functools.lru_cache(256)
def compiled(pattern: str) -> re.Pattern[str]:
    """An expression that matches the paths a pattern stands for, those in a matching folder included."""
    text = ""
    for part in check_pattern(pattern).split("/"):
        if part == "**":
            text += r"(?:(?!\.)[^/]+/)*"
        else:
            text += ("" if part[:1] not in "*?[" else r"(?!\.)") + _name(part) + "/"
    if text.endswith("*"):  # ``a/**``: all that is in ``a``
        return re.compile(text + ".+")
    return re.compile(text.removesuffix("/") + "(?:/.*)?")


def _name(part: str) -> str:
    out, at = "", 0
    while at < len(part):
        letter = part[at]
        at += 1
        end = part.find("]", at + 1) if letter == "[" else -1
        if letter == "*":
            out += "[^/]*"
        elif letter == "?":
            out += "[^/]"
        elif end > 0:
            body = part[at:end].replace("\\", "\\\\").replace("[", "\\[")
            out += f"[{'^' + body[1:] if body[:1] == '!' else body}]"
            at = end + 1
        else:
            out += re.escape(letter)
    return out


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of ``patterns`` stands for ``path``."""
    return any(compiled(pattern).fullmatch(path) for pattern in patterns)


def found(root: str, pattern: str) -> Iterator[tuple[str, bool]]:
    """The files that a pattern stands for, by path from ``root``, each with whether a package may hold it at all."""
    pattern = check_pattern(pattern)
    parts = pattern.split("/")
    fixed = next((at for at, part in enumerate(parts) if not is_literal(part)), len(parts))
    start = os.path.join(root, *parts[:fixed])
    real_root = os.path.realpath(root)
    if not os.path.isdir(start):
        if fixed == len(parts):
            yield pattern, files.is_below(os.path.realpath(start), real_root)
        return
    if not files.is_below(os.path.realpath(start), real_root):
        yield "/".join(parts[:fixed]), False
        return
    wanted = compiled(pattern)
    for path, usable in files.walk(start, real_root):
        below = os.path.relpath(path, root)
        if wanted.fullmatch(below):
            yield below, usable
