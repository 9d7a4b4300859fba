"""Values that are typed as one word: durations, and classes whose constructor takes a text.

Called by ``conversion`` for what a command line gives, and by ``parameters`` for the defaults that ``--help`` shows.
"""

from __future__ import annotations

import datetime
import enum
import math
import os
import re
from typing import Any

import msgspec

from headrace._base.redaction import HIDDEN
from headrace._base.sizes import parse_duration
from headrace.runtime.secrets import Secret

DURATIONS = "write 90s, 10m, 1h30m, 1:30:00 or P1DT2H, with a - before it if it is negative"
#: Modules of the standard library whose classes are made from the text that ``str`` gives of them.
_MODULES = frozenset({"uuid", "decimal", "fractions", "ipaddress", "zoneinfo"})
_CLOCK = r"(?:([0-9]+) days?, )?([0-9]+):([0-5][0-9])(?::([0-5][0-9](?:\.[0-9]+)?))?"


def parse_timedelta(text: str) -> datetime.timedelta:
    """The duration that ``text`` means: ``90s``, ``1h30m``, ``1:30:00``, ``1 day, 2:00:00``, ``P1D``, ``-5m``.

    Raises:
        ValueError: none of these.
    """
    text = text.strip()
    negative = text.startswith("-")
    body = text.removeprefix("-").strip()
    if clock := re.fullmatch(_CLOCK, body):
        days, hours, minutes, seconds = clock.groups(default="0")
        value = datetime.timedelta(days=int(days), hours=int(hours), minutes=int(minutes), seconds=float(seconds))
    elif body[:1] in ("P", "p"):
        value = msgspec.convert(body.upper(), datetime.timedelta)
    else:
        # Days apart: seconds are a float, which has no room for the microseconds of many years.
        days, rest = re.fullmatch(r"(?:([0-9]+)d)?(.*)", body, re.DOTALL).groups()  # type: ignore[union-attr]
        below = parse_duration(rest) if rest or days is None else 0.0
        value = datetime.timedelta(days=int(days or 0), seconds=below)
    return -value if negative else value


def format_timedelta(value: datetime.timedelta) -> str:
    """``value`` in the form that ``parse_timedelta`` reads back exactly: ``1d2h``, ``-5m``, ``0s``."""
    sign, value = ("-", -value) if value < datetime.timedelta(0) else ("", value)
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = ((value.days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s"), (value.microseconds, "us"))
    return sign + ("".join(f"{amount}{unit}" for amount, unit in parts if amount) or "0s")


def is_made_from_text(kind: type) -> bool:
    """Whether ``kind(text)`` is how a text becomes a ``kind``.

    That holds for UUIDs, decimals, fractions, IP addresses and time zones, for subclasses of ``str``, ``int`` and
    ``float``, and for classes whose constructor has one required argument, which it calls a ``str``.
    """
    if kind.__module__ in _MODULES or issubclass(kind, (str, int, float)):
        return True
    if kind.__init__ is object.__init__ or hasattr(kind, "__dataclass_fields__") or hasattr(kind, "_fields"):
        return False
    import inspect

    try:
        parameters = list(inspect.signature(kind).parameters.values())
    except (TypeError, ValueError):  # a class of C
        return False
    needed = [one for one in parameters if one.default is one.empty and one.kind <= one.POSITIONAL_OR_KEYWORD]
    others = [one for one in parameters if one.default is one.empty and one.kind is one.KEYWORD_ONLY]
    return len(needed) == 1 and not others and needed[0].annotation in (str, "str")


def typed_text(value: Any) -> str:
    """What a user types on a command line to get ``value``: a word, or JSON for what has parts."""
    plain = _plain(value)
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()


def _plain(value: Any) -> Any:
    """``value`` made of what JSON knows: members of enumerations by name, other words as their text."""
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, datetime.timedelta):
        return format_timedelta(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, Secret):
        return value.source or HIDDEN
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {_key(name): _plain(one) for name, one in value.items()}
    if hasattr(type(value), "__dataclass_fields__") or isinstance(value, msgspec.Struct):
        names = getattr(value, "__dataclass_fields__", None) or value.__struct_fields__
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def _key(name: Any) -> str:
    plain = _plain(name)
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()
