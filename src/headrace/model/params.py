"""Parameters of runs as they are kept: texts to list, compare and filter by. The objects themselves are inputs."""

from __future__ import annotations

from typing import Any

import msgspec

_JSON_LIMIT = 2000
_REPR_LIMIT = 200


def to_text(value: object) -> str:
    """JSON where ``value`` is plain, at most 2,000 characters of it; else a short repr on one line."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return repr(value)  # JSON has no word for these
    try:
        return _cut(msgspec.json.encode(value, enc_hook=_plain).decode(), _JSON_LIMIT)
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError):
        pass
    try:
        text = repr(value)
    except Exception:  # a repr of the user's may raise anything
        text = f"<{type(value).__name__}>"
    return _cut(" ".join(text.split()), _REPR_LIMIT)


def from_text(text: str) -> Any:
    """The value where ``text`` is JSON, else the text."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return text


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _plain(value: Any) -> object:
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        return value.item()  # a number of numpy or torch
    raise TypeError(type(value).__name__)
