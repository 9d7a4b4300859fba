"""The small language of ``headrace.runs(where=...)`` and ``headrace runs --where``.

    metrics.accuracy > 0.9 and params.depth = 4 and tags.team != "vision lab" and created >= 2026-01-31

    query      = comparison {"and" comparison}
    comparison = subject operator value
    subject    = "metrics." NAME | "params." NAME | "tags." NAME | "state" | "flow" | "number" | "created" | "duration"
    operator   = "=" | "==" | "!=" | "<" | "<=" | ">" | ">="
    value      = "quoted" | 'quoted' | number | date | duration | word

A NAME with spaces or operators in it is quoted: ``metrics."top-5 error, %" < 3``. In quotes, a backslash stands
before a quote or a backslash that is meant. Of ``created``, values are dates, with a time or without, in local time
unless they say otherwise; of ``duration``, seconds or a text such as ``10m``.
"""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from headrace._base.sizes import parse_duration
from headrace.model.errors import UsageError
from headrace.services.listing import STATES

OPERATORS = ("==", "=", "!=", "<=", "<", ">=", ">")
GROUPS = ("metrics", "params", "tags")
COLUMNS = ("state", "flow", "number", "created", "duration")

_BARE = r"[^\s=!<>\"']+"
_WORDS = {"True": "true", "False": "false", "None": "null"}  # parameters are kept as JSON

Condition = tuple[str, str, float | str]


class Query(msgspec.Struct, frozen=True):
    """What a text asks for: conditions of a ``RunFilter``, and the states that runs may be in."""

    where: tuple[Condition, ...] = ()
    states: frozenset[str] = frozenset(STATES)


def parse_query(text: str) -> Query:
    """The meaning of ``text``; empty text asks for everything.

    Raises:
        UsageError: it is no query; the message shows where it stops to be one.
    """
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def query(self) -> Query:
        where: list[Condition] = []
        states = frozenset(STATES)
        self._skip()
        while self._at < len(self._text) or where:
            subject, operator = self._subject(), self._operator()
            if subject == "state":
                states &= self._states(operator)
            else:
                where.append((subject, operator, self._value(subject, operator)))
            self._skip()
            if self._at >= len(self._text):
                break
            if self._word().lower() != "and":
                raise self._error("expected `and` between two comparisons", self._at)
            self._take(_BARE)
            if self._at >= len(self._text.rstrip()):
                raise self._error("expected a comparison after `and`", len(self._text))
        return Query(tuple(where), states)

    # --- parts ------------------------------------------------------------------------------------------------

    def _subject(self) -> str:
        self._skip()
        start = self._at
        head = self._take(r"[A-Za-z_]+(?=\.)") or ""
        if not head:
            name = self._take(_BARE)
            if name in COLUMNS:
                return name
            if name in GROUPS:
                raise self._error(f"expected a name after {name}, as in {name}.accuracy", self._at)
            raise self._error(f"expected one of {_subjects()}", start)
        if head not in GROUPS:
            raise self._error(f"{head!r} is nothing to ask for; there are {_subjects()}", start)
        self._at += 1  # the dot
        quoted = self._quoted()
        found = quoted if quoted is not None else self._take(_BARE)
        if not found:
            raise self._error(f"expected a name after {head}.", self._at)
        return f"{head}.{found}"

    def _operator(self) -> str:
        self._skip()
        for operator in OPERATORS:
            if self._text.startswith(operator, self._at):
                self._at += len(operator)
                return "=" if operator == "==" else operator
        raise self._error("expected one of = == != < <= > >=", self._at)

    def _states(self, operator: str) -> frozenset[str]:
        start = self._start()
        state = str(self._raw())
        if operator not in ("=", "!="):
            raise self._error("a state is compared with = or !=", start)
        if state not in STATES:
            raise self._error(f"{state!r} is no state; there are {', '.join(STATES)}", start)
        return frozenset((state,)) if operator == "=" else frozenset(STATES) - {state}

    def _value(self, subject: str, operator: str) -> float | str:
        start = self._start()
        raw = self._raw()
        if subject == "created":
            return self._date(raw, start)
        if subject == "duration":
            try:
                return parse_duration(raw)
            except ValueError as error:
                raise self._error(str(error), start) from None
        if (subject == "number" or subject.startswith("metrics.")) and isinstance(raw, str):
            raise self._error(f"{subject} is a number, so it cannot be compared with {raw!r}", start)
        return raw

    def _date(self, raw: float | str, start: int) -> float:
        if isinstance(raw, float):
            return raw
        clock = self._take(r"\s+\d\d?:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?(?!\S)")
        try:
            return datetime.fromisoformat(f"{raw}{'T' + clock.strip() if clock else ''}").timestamp()
        except (ValueError, OverflowError, OSError):
            raise self._error(f"{raw!r} is no date; write one such as 2026-01-31 or 2026-01-31T12:00", start) from None

    def _raw(self) -> float | str:
        """A value; numbers that stand without quotes become numbers."""
        quoted = self._quoted()
        if quoted is not None:
            return quoted
        start = self._at
        word = self._take(_BARE)
        if not word:
            raise self._error("expected a value", start)
        try:
            number = float(word)
        except ValueError:
            return _WORDS.get(word, word)
        return word if "_" in word or number != number or number in (float("inf"), float("-inf")) else number

    def _quoted(self) -> str | None:
        quote = self._text[self._at : self._at + 1]
        if quote not in ("'", '"') or not quote:
            return None
        start = self._at
        content = self._take(rf"{quote}(?:[^{quote}\\]|\\.)*{quote}")
        if content is None:
            raise self._error(f"this {quote} is never closed", start)
        return re.sub(r"\\([\\'\"])", r"\1", content[1:-1])

    # --- characters -------------------------------------------------------------------------------------------

    def _skip(self) -> None:
        self._take(r"\s+")

    def _start(self) -> int:
        self._skip()
        return self._at

    def _word(self) -> str:
        found = re.compile(_BARE).match(self._text, self._at)
        return found[0] if found else ""

    def _take(self, pattern: str) -> str | None:
        found = re.compile(pattern, re.DOTALL).match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found[0]

    def _error(self, problem: str, at: int) -> UsageError:
        line = "".join(char if char.isprintable() else " " for char in self._text)
        return UsageError(f"where: {problem}\n  {line}\n  {' ' * min(at, len(line))}^")


def _subjects() -> str:
    return ", ".join([*[f"{group}.NAME" for group in GROUPS], *COLUMNS])
