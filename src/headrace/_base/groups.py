"""The members of exception groups as text: equal ones once with their number, and no more of them than anyone reads."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

from headrace._base.backports import BaseExceptionGroup

#: Different members of one group that are shown, groups in groups, and members that are told apart at all.
_SHOWN = 10
_DEPTH = 5
_TOLD_APART = 10_000
#: Members, those of inner groups included, that stand in one line about a group.
_IN_A_LINE = 3


class _Kind(NamedTuple):
    """Equal members of a group: the first of them, and how many there are."""

    first: BaseException
    number: int


def members_text(group: BaseExceptionGroup[BaseException], text_of: Callable[[BaseException], str], depth: int) -> str:
    """The members as Python draws them below their group; ``text_of`` gives the text of one, ``depth`` counts groups
    around this one."""
    if depth >= _DEPTH:
        return f"  ... (groups below the {_DEPTH}th are not shown)\n"
    kinds, rest = _kinds(group)
    rest += sum(kind.number for kind in kinds[_SHOWN:])
    lines = []
    for place, kind in enumerate(kinds[:_SHOWN], 1):
        lines.append(f"  {'+-' if place == 1 else '  '}+---------------- {place} ----------------")
        lines += [f"    | {line}".rstrip() for line in text_of(kind.first).splitlines()]
        if kind.number > 1:
            lines.append(f"    | ({kind.number - 1:,} more like it)")
    if rest:
        lines += ["    +---------------- ... ----------------", f"    | {rest:,} more exceptions"]
    lines.append("    +------------------------------------")
    return "\n".join(lines) + "\n"


def members_line(group: BaseExceptionGroup[BaseException]) -> str:
    """The first different members in a few words: ``ValueError: number one; KeyError: 'two' (98 times); 3 more``."""
    kinds: dict[Hashable, _Kind] = {}
    leaves = 0
    waiting: list[BaseException] = [group]
    while waiting and leaves < _TOLD_APART:
        one = waiting.pop()
        if isinstance(one, BaseExceptionGroup):
            waiting += reversed(one.exceptions)
            continue
        leaves += 1
        _count(kinds, one)
    shown = list(kinds.values())[:_IN_A_LINE]
    parts = [last_line(kind.first) + (f" ({kind.number:,} times)" if kind.number > 1 else "") for kind in shown]
    rest = leaves - sum(kind.number for kind in shown)
    if rest or waiting:
        parts.append(f"{rest:,} more" if not waiting else "many more")
    return "; ".join(parts)


def last_line(error: BaseException) -> str:
    """What ``error`` is and what it says, on one line, without its notes."""
    import traceback

    lines = traceback.format_exception_only(type(error), error)[0].split("\n")
    return next((line.strip() for line in lines if line.strip()), type(error).__name__)


def _kinds(group: BaseExceptionGroup[BaseException]) -> tuple[list[_Kind], int]:
    """The different members in their order, and how many were not looked at."""
    kinds: dict[Hashable, _Kind] = {}
    for one in group.exceptions[:_TOLD_APART]:
        _count(kinds, one)
    return list(kinds.values()), max(0, len(group.exceptions) - _TOLD_APART)


def _count(kinds: dict[Hashable, _Kind], one: BaseException) -> None:
    key = _key(one, 0)
    before = kinds.get(key)
    kinds[key] = _Kind(one, 1) if before is None else _Kind(before.first, before.number + 1)


def _key(error: BaseException, depth: int) -> Hashable:
    """What makes members equal: their class, what they say, and their own members."""
    if not isinstance(error, BaseExceptionGroup):
        return type(error), last_line(error)
    inner = () if depth >= _DEPTH else tuple([_key(one, depth + 1) for one in error.exceptions[:_SHOWN]])
    return type(error), str(error), inner
