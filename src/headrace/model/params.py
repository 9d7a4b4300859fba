"""Parameters of runs as they are kept: texts to list, compare and filter by. The objects themselves are inputs."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace._base.attributes import on_type, own
from headrace._base.texts import shorten

#: Characters of a parameter's text that are kept.
LIMIT = 65_536
_REPR_LIMIT = 2_000


def to_text(value: object) -> str:
    """JSON where ``value`` is plain, else its repr on one line; the beginning of either if it exceeds ``LIMIT``.

    Of a repr at most 2,000 characters are kept. A text that was cut ends with its length: ``… (70,000 characters)``.
    """
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return repr(value)  # JSON has no word for these
    try:
        return shorten(msgspec.json.encode(value, enc_hook=_plain).decode(), LIMIT)
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError):
        pass
    try:
        text = repr(value)
    except Exception:  # a repr of the user's may raise anything
        text = f"<{type(value).__name__}>"
    return shorten(" ".join(text.split()), _REPR_LIMIT)


def is_cut(text: str) -> bool:
    """Whether ``to_text`` returned ``text`` for a longer value."""
    return len(text) >= _REPR_LIMIT and text.endswith(" characters)") and "… (" in text[-40:]


def from_text(text: str) -> Any:
    """The value where ``text`` is JSON, else the text."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return text


def _plain(value: Any) -> object:
    path = on_type(value, "__fspath__")
    if path is not None:
        return path(value)
    if own(value, "ndim") == 0 and callable(own(value, "item")):
        return value.item()  # a number of numpy or torch
    raise TypeError(type(value).__name__)
