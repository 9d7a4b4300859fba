"""Small helpers that code imports from ``metaflow.util``: texts and bytes, addresses, names of keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any


def all_equal(it: Iterable[Any]) -> bool:
    """Whether all items are equal; also when there is none."""
    items = iter(it)
    first = next(items, None)
    return all(one == first for one in items)


def is_stringish(x: Any) -> bool:
    """Whether it is a text or bytes."""
    return isinstance(x, (str, bytes))


def to_unicode(x: Any) -> str:
    """A text from text, UTF-8 or anything else."""
    return x.decode("utf-8") if isinstance(x, bytes) else str(x)


def to_bytes(x: Any) -> bytes:
    """UTF-8 from text, bytes or anything else."""
    return x if isinstance(x, bytes) else str(x).encode("utf-8")


def to_fileobj(x: Any) -> Any:
    """A file in memory that holds it."""
    import io

    return io.BytesIO(to_bytes(x))


def url_quote(url: Any) -> bytes:
    """An address with all but plain ASCII escaped."""
    from urllib.parse import quote

    return quote(to_bytes(url), safe="/:").encode()


def url_unquote(url_bytes: Any) -> str:
    """The way back."""
    from urllib.parse import unquote

    return unquote(to_unicode(url_bytes))


def to_camelcase(obj: Any) -> Any:
    """The same with the keys of all dictionaries in it as ``camelCase``, from ``snake_case``."""
    return _with_keys(obj, lambda key: re.sub(r"(?!^)_([a-zA-Z])", lambda found: found[1].upper(), key))


def to_pascalcase(obj: Any) -> Any:
    """The same with the first letter of the keys of all dictionaries in it in upper case."""
    return _with_keys(obj, lambda key: re.sub("[a-zA-Z]", lambda found: found[0].upper(), key, count=1))


def _with_keys(obj: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(obj, dict):
        return type(obj)((rename(key), _with_keys(value, rename)) for key, value in obj.items())
    if isinstance(obj, (list, set, tuple)):
        return type(obj)(_with_keys(one, rename) for one in obj)
    return obj
