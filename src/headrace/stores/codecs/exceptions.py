"""Exceptions as values: the class, what its built-in base was made with, and the attributes, each where it can travel.

Classes have constructors with arguments of their own, and pickling calls those with the wrong ones. So an exception
is made again without them: by the constructor of the first built-in class that it inherits from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from headrace._base.backports import BaseExceptionGroup
from headrace.model.errors import HeadraceError, NotStorableError
from headrace.model.values import Packed
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.codecs.core import pack, unpack

_DEPTH = 20  # of groups inside groups


class _Parts(NamedTuple):
    kind: type[BaseException]
    made_with: tuple[Any, ...]
    args: tuple[Any, ...]
    attributes: dict[str, Any]
    members: tuple[Any, ...]  # _Parts of the exceptions in a group


def pack_exception(error: BaseException, store: ArtifactStore) -> Packed | None:
    """Write ``error`` down; None when even its class cannot travel.

    Attributes that cannot be stored are left out, and arguments that cannot be are replaced by their ``repr``.

    Raises:
        StoreError: the store cannot take the bytes.
    """
    try:
        packed = pack(tuple(_parts(error, 0)), store)
    except NotStorableError:
        try:
            packed = pack(tuple(_parts(error, 0, store)), store)
        except NotStorableError:
            return None
    try:
        unpack_exception(packed, store)
    except Exception:  # its class has ideas of its own on how it is made
        return None
    return packed


def unpack_exception(packed: Packed, store: ArtifactStore) -> BaseException:
    """The exception again, without traceback and causes.

    Raises:
        HeadraceError: it cannot be loaded here; anything that a class of the user's raises on the way.
    """
    return make_exception(unpack(packed, store))


def make_exception(parts: Any) -> BaseException:
    """The exception that the value written by ``pack_exception`` stands for; raises as ``unpack_exception``."""
    return _make(_Parts(*parts))


def _parts(error: BaseException, depth: int, store: ArtifactStore | None = None) -> _Parts:
    """With a ``store``, only what can be kept in it."""
    kind = type(error)
    base = _built_in(kind)
    reduced: Any = base.__reduce__(error)  # what C keeps beside ``args``: the file name of an OSError, say
    made_with = reduced[1]
    state = dict(reduced[2]) if len(reduced) > 2 and isinstance(reduced[2], Mapping) else {}
    attributes = {**state, **vars(error), **_slots(error)}
    attributes.pop("__notes__", None)  # part of the traceback's text already
    members: tuple[Any, ...] = ()
    if isinstance(error, BaseExceptionGroup) and depth < _DEPTH:
        members = tuple(tuple(_parts(one, depth + 1, store)) for one in error.exceptions)
        made_with = (error.message,)
    args = () if members else error.args
    if store is not None:
        attributes = {name: value for name, value in attributes.items() if _keeps(value, store)}
        made_with = tuple(value if _keeps(value, store) else repr(value) for value in made_with)
        args = tuple(value if _keeps(value, store) else repr(value) for value in args)
    return _Parts(kind, made_with, args, attributes, members)


def _slots(error: BaseException) -> dict[str, Any]:
    found = {}
    for kind in type(error).__mro__:
        names = kind.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            with contextlib.suppress(AttributeError):
                found[name] = kind.__dict__[name].__get__(error)
    return found


def _keeps(value: object, store: ArtifactStore) -> bool:
    try:
        unpack(pack(value, store), store)
    except HeadraceError:
        return False
    except Exception:  # it fails while it is loaded
        return False
    return True


def _built_in(kind: type[BaseException]) -> type[BaseException]:
    return next(one for one in kind.__mro__ if one.__module__ == "builtins" and issubclass(one, BaseException))


def _make(parts: _Parts) -> BaseException:
    kind = parts.kind
    base: Any = _built_in(kind)
    if parts.members:
        group: BaseException = base.__new__(kind, *parts.made_with, [_make(_Parts(*one)) for one in parts.members])
        _set(group, parts.attributes)
        return group
    error: BaseException = base.__new__(kind, *parts.made_with)
    with contextlib.suppress(TypeError):  # wants keywords, which are among the attributes
        base.__init__(error, *parts.made_with)
    error.args = parts.args
    _set(error, parts.attributes)
    return error


def _set(error: BaseException, attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        with contextlib.suppress(AttributeError, TypeError):  # a property, or read-only
            setattr(error, name, value)
