"""The small language of ``headrace.runs(where=...)`` and ``headrace runs --where``.

    metrics.accuracy > 0.9 and (tags.team != "vision lab" or params.depth in (4, 8)) and created >= 2026-01-31

    query      = all {"or" all}
    all        = condition {"and" condition}
    condition  = "(" query ")" | subject operator value | subject ["not"] "in" "(" value {"," value} ")"
    subject    = "metrics." NAME | "params." NAME | "tags." NAME | "state" | "flow" | "number" | "created" | "duration"
    operator   = "=" | "==" | "!=" | "<" | "<=" | ">" | ">="
    value      = "quoted" | 'quoted' | number | date | duration | word

A NAME with spaces, operators or parentheses in it is quoted: ``metrics."top-5 error, %" < 3``. In quotes, a backslash
stands before a quote or a backslash that is meant. Of ``created``, values are dates, with a time or without, in local
time unless they say otherwise; of ``duration``, seconds or a text such as ``10m``.
"""

from __future__ import annotations

import re
from datetime import datetime

from headrace._base.sizes import parse_duration
from headrace.model.errors import UsageError
from headrace.services.run_rows import STATES
from headrace.stores.metadata.protocol import AnyOf, Where

OPERATORS = ("==", "=", "!=", "<=", "<", ">=", ">")
GROUPS = ("metrics", "params", "tags")
COLUMNS = ("state", "flow", "number", "created", "duration")

_BARE = r"[^\s=!<>\"'()]+"
_LISTED = r"[^\s=!<>\"'(),]+"
#: Parentheses in parentheses.
_DEEPEST = 50
_WORDS = {"True": "true", "False": "false", "None": "null"}  # parameters are kept as JSON


def parse_query(text: str) -> tuple[Where, ...]:
    """The meaning of ``text``, as ``where`` of a ``RunFilter``; states are those that listings show.

    Empty text asks for everything.

    Raises:
        UsageError: it is not a query; the message shows where.
    """
    return _Parser(text).everything()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def everything(self) -> tuple[Where, ...]:
        self._skip()
        if self._at >= len(self._text):
            return ()
        where = self._query(0)
        if self._at < len(self._text):
            closing = self._text[self._at] == ")"
            raise self._error("unmatched )" if closing else "expected `and` or `or`", self._at)
        return where

    def _query(self, depth: int) -> tuple[Where, ...]:
        alternatives = [self._all(depth)]
        while self._keyword("or"):
            alternatives.append(self._all(depth))
        return alternatives[0] if len(alternatives) == 1 else (AnyOf(tuple(alternatives)),)

    def _all(self, depth: int) -> tuple[Where, ...]:
        where = self._condition(depth)
        while self._keyword("and"):
            where += self._condition(depth)
        return where

    def _condition(self, depth: int) -> tuple[Where, ...]:
        start = self._start()
        if self._take(r"\("):
            if depth == _DEEPEST:
                raise self._error(f"more than {_DEEPEST} parentheses in each other", start)
            where = self._query(depth + 1)
            self._close(start)
            return where
        subject = self._subject()
        self._skip()
        listed = self._take(r"(?i:not\s+in|in)(?=[\s(])")
        if listed is None:
            operator = self._operator()
            return ((subject, operator, self._value(subject, operator)),)
        if listed.lower() == "in":
            return (AnyOf(tuple(((subject, "=", value),) for value in self._values(subject))),)
        return tuple((subject, "!=", value) for value in self._values(subject))

    def _values(self, subject: str) -> list[float | str]:
        start = self._start()
        if not self._take(r"\("):
            raise self._error("expected ( and values after `in`", start)
        values = [self._value(subject, "=", _LISTED)]
        self._skip()
        while self._take(","):
            values.append(self._value(subject, "=", _LISTED))
            self._skip()
        self._close(start)
        return values

    def _close(self, start: int) -> None:
        self._skip()
        if not self._take(r"\)"):
            at_end = self._at >= len(self._text)
            raise self._error("this ( is never closed" if at_end else "expected )", start if at_end else self._at)

    def _keyword(self, word: str) -> bool:
        """Whether ``word`` comes next; then a condition must follow."""
        self._skip()
        if not self._take(rf"(?i:{word})(?=[\s(]|$)"):
            return False
        self._skip()
        if self._at >= len(self._text):
            raise self._error(f"expected a comparison after `{word}`", self._at)
        return True

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

    def _value(self, subject: str, operator: str, bare: str = _BARE) -> float | str:
        start = self._start()
        raw = self._raw(bare)
        if subject == "state":
            if operator not in ("=", "!="):
                raise self._error("a state is compared with = or !=", start)
            if raw not in STATES:
                raise self._error(f"{str(raw)!r} is not a state; the states are {', '.join(STATES)}", start)
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
        clock = self._take(r"\s+\d\d?:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?(?![^\s),])")
        try:
            return datetime.fromisoformat(f"{raw}{'T' + clock.strip() if clock else ''}").timestamp()
        except (ValueError, OverflowError, OSError):
            raise self._error(
                f"{raw!r} is not a date; write one such as 2026-01-31 or 2026-01-31T12:00", start
            ) from None

    def _raw(self, bare: str) -> float | str:
        """A value; numbers that stand without quotes become numbers."""
        quoted = self._quoted()
        if quoted is not None:
            return quoted
        start = self._at
        word = self._take(bare)
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
