"""Plain values: None, bool, int, float, str, bytes, and small structures of lists and dicts of these as JSON.

Only what JSON gives back exactly is written as JSON; everything else is left to pickle.
"""

from __future__ import annotations

import msgspec

_encode = msgspec.json.encode
_decode = msgspec.json.decode

#: Structures with more values than this are left to pickle, which is faster for them.
NODE_LIMIT = 200
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


def encode_json(value: object) -> bytes | None:
    """``value`` as JSON when that gives back an equal value of the same types and sharing; else ``None``."""
    kind = type(value)
    if kind is not dict and kind is not list:
        return _encode_checked(value) if is_plain_scalar(value) else None
    if isinstance(value, dict) and len(value) < 8:
        # most results of steps are like this: a handful of names and numbers
        for key, item in value.items():
            if type(key) is not str or not is_plain_scalar(item):
                break
        else:
            return _encode_checked(value)
    return _encode_checked(value) if _is_plain(value) else None


def encode_shared_json(value: object) -> bytes | None:
    """The JSON of what ``encode_json`` refuses only because it holds the same list or dictionary in two places."""
    return _encode_checked(value) if _is_plain(value, sharing=True) else None


def _encode_checked(value: object) -> bytes | None:
    try:
        return _encode(value)
    except UnicodeEncodeError:  # lone surrogates, which UTF-8 has no place for
        return None


def is_plain_scalar(value: object) -> bool:
    """Whether ``value`` is a number, text, truth value or None that JSON gives back exactly."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return _INT_MIN <= value <= _INT_MAX  # type: ignore[operator]
    return kind is float and value - value == 0.0  # type: ignore[operator]


def _is_plain(value: object, *, sharing: bool = False) -> bool:
    """Whether ``value`` is made of exact built-in types, is small, and shares no container between two places.

    With ``sharing`` it may; what is shared counts each time.
    """
    left = NODE_LIMIT
    seen: set[int] = set()
    todo = [value]
    while todo:
        item = todo.pop()
        kind = type(item)
        if kind is dict or kind is list:
            left -= len(item)  # type: ignore[arg-type]
            if left < 0 or (id(item) in seen and not sharing):
                return False
            seen.add(id(item))
            if kind is list:
                todo += item  # type: ignore[arg-type]
            else:
                for key in item:  # type: ignore[attr-defined]
                    if type(key) is not str:
                        return False
                todo += item.values()  # type: ignore[attr-defined]
        elif not is_plain_scalar(item):
            return False
    return True


def decode_json(data: bytes | memoryview) -> object:
    """The value that ``encode_json`` wrote."""
    return _decode(data)
