"""Amounts as people write them: ``"4GiB"`` is bytes, ``"1h30m"`` is seconds, and back again for showing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headrace._base.attributes import on_type

if TYPE_CHECKING:
    from datetime import timedelta

_BINARY = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50, "e": 2**60}
_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15, "e": 10**18}
#: Units of which a whole number, as settings have it, is read without compiling a pattern: before every run.
_USUAL = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
# Texts, not compiled patterns: `re` keeps them compiled from first use on, and importing this costs nothing.
_SIZE = r"\s*([0-9][0-9_]*(?:\.[0-9]+)?|\.[0-9]+)\s*([kmgtpeKMGTPE]?)(i?)(?:[bB]|[bB]ytes?)?\s*"
_TERM = r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([a-zA-Zµ]*)\s*"

_SECONDS = {
    **dict.fromkeys(("us", "µs", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("w", "week", "weeks"), 604800.0),
}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")

_SIZE_HINT = "expected a number of bytes or a text such as '512MB', '4GiB' or '1.5 TiB'"
_DURATION_HINT = "expected seconds or a text such as '90', '10m', '1h30m' or '500ms'"


def parse_size(value: str | float) -> int:
    """The number of bytes that ``value`` means.

    A number is bytes. In a text, ``KiB MiB ...`` (or ``Ki Mi Gi``) are powers of 1024 and ``KB MB ...``
    (or ``K M G``) powers of 1000, with or without a space; fractions are rounded to a byte.

    Raises:
        ValueError: ``value`` is negative, not finite, or not an amount.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"{value!r} is not a size: {_SIZE_HINT}")
    if not isinstance(value, str):
        if not 0 <= value < float("inf"):
            raise ValueError(f"{value!r} is not a size: it must be finite and not negative")
        return round(value)
    if value[-3:] in _USUAL and value[:-3].isascii() and value[:-3].isdecimal():
        return int(value[:-3]) * _USUAL[value[-3:]]
    match = re.fullmatch(_SIZE, value)
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{value!r} is not a size: {_SIZE_HINT}")
    factor = (_BINARY if match[3] else _DECIMAL)[match[2].lower()]
    number = match[1].replace("_", "")
    return round(float(number) * factor) if "." in number else int(number) * factor


def format_size(size: float) -> str:
    """``size`` bytes in the largest binary unit that keeps the number above 1: ``"1.5 GiB"``, ``"17 B"``."""
    sign = "-" if size < 0 else ""
    amount = float(abs(size))
    unit = 0
    # Rounded first, so that 1023.96 KiB becomes 1 MiB and not 1024 KiB.
    while round(amount, 1) >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    text = f"{amount:.1f}".removesuffix(".0")
    return f"{sign}{text} {_UNITS[unit]}"


def parse_duration(value: str | float | timedelta) -> float:
    """The seconds that ``value`` means: a number, a ``timedelta``, or a text of terms such as ``"1h30m"``.

    Units are ``w d h m s ms us`` and their long names; a number without a unit is seconds.

    Raises:
        ValueError: ``value`` is negative, not finite, or not a duration.
    """
    if isinstance(value, str):
        return _parse_terms(value)
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a duration: {_DURATION_HINT}")
    if isinstance(value, (int, float)):
        seconds = float(value)
    elif on_type(value, "total_seconds") is not None:
        seconds = float(value.total_seconds())
    else:
        raise ValueError(f"{value!r} is not a duration: {_DURATION_HINT}")
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{value!r} is not a duration: it must be finite and not negative")
    return seconds


def _parse_terms(text: str) -> float:
    if text[-1:] in ("s", "m", "h") and text[:-1].isascii() and text[:-1].isdecimal():  # as in ``parse_size``
        return float(text[:-1]) * _SECONDS[text[-1]]
    seconds, position, terms = 0.0, 0, 0
    while position < len(text):
        match = re.match(_TERM, text[position:])
        unit = match and _SECONDS.get(match[2].lower())
        if match is None or unit is None:
            raise ValueError(f"{text!r} is not a duration: {_DURATION_HINT}")
        if not match[2] and (terms or position + match.end() < len(text)):
            raise ValueError(f"{text!r} is not a duration: {match[1]} has no unit; {_DURATION_HINT}")
        seconds += float(match[1]) * unit
        position, terms = position + match.end(), terms + 1
    if not terms:
        raise ValueError(f"{text!r} is not a duration: {_DURATION_HINT}")
    return seconds


def format_duration(seconds: float) -> str:
    """``seconds`` for people, to about three digits: ``"350 us"``, ``"12.3 s"``, ``"2m 05s"``."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.{1 if seconds < 0.09995 else 0}f} ms"
    if seconds < 59.95:
        return f"{seconds:.{2 if seconds < 9.995 else 1}f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60}h {minutes % 60:02d}m"
    hours = round(seconds / 3600)
    return f"{hours // 24}d {hours % 24:02d}h"
