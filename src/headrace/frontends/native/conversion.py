"""Values of flow parameters: from Python objects, from JSON, from text, to the type that the signature asks for.

Called by ``parameters``. Conversion is strict where a silent change would hide a mistake (a text is never a number
to a Python caller) and lenient where nothing is lost (an ``int`` for a ``float``, a tuple for a list, a text for a
``Path``).
"""

from __future__ import annotations

import collections.abc
import enum
import os
import types
import typing
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, Union

import msgspec

from headrace.model.errors import UsageError
from headrace.runtime.secrets import Secret

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_PLAIN = frozenset({bool, int, float, str, bytes, type(None), Any})
_LISTS: dict[object, type] = {
    list: list,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
}
_DICTS = frozenset({dict, collections.abc.Mapping, collections.abc.MutableMapping})


#: Whether a text may say where a secret comes from, ``env:NAME``: in data that a person typed or wrote to a file.
_sources: ContextVar[bool] = ContextVar("headrace_secret_sources", default=False)


class Mismatch(Exception):
    """A value does not fit its type; the text says why, without naming the parameter."""


def convert(value: object, kind: Any) -> Any:
    """``value`` as ``kind``, or ``Mismatch``. Instances of classes are taken as they are; containers are copied."""
    origin, arguments = _parts(kind)
    if _is_open(kind):
        return value
    if _is_union(origin):
        return _convert_union(value, arguments, kind)
    if origin is Literal:
        for choice in arguments:
            if type(choice) is type(value) and choice == value:
                return choice
        raise _mismatch(value, kind)
    if origin in _LISTS or origin is tuple:
        return _convert_items(value, origin, arguments, kind)
    if origin in _DICTS:
        return _convert_dict(value, arguments, kind)
    if isinstance(origin, type):
        return _convert_class(value, origin, kind)
    return value  # a callable, a protocol with arguments, a ``NewType`` of something open: nothing to check


def from_text(text: str, kind: Any) -> Any:
    """The value that ``text``, typed on a command line, means as ``kind``; raises ``Mismatch``."""
    origin, arguments = _parts(kind)
    if _is_union(origin):
        return _text_union(text, arguments, kind)
    if origin is Literal:
        return _text_literal(text, arguments, kind)
    if origin in _LISTS or origin is tuple:
        return _text_items(text, origin, arguments, kind)
    if origin in _DICTS:
        return _text_dict(text, arguments, kind)
    if _is_open(kind) or not isinstance(origin, type):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
    parse = _TEXT.get(origin)
    try:
        if parse is not None:
            return convert(parse(text), kind)  # for the constraints of an Annotated
        return _text_class(text, origin, kind)
    except (ValueError, ArithmeticError):
        raise _mismatch(text, kind) from None


def from_texts(texts: list[str], kind: Any) -> Any:
    """As ``from_text`` for an option that was given several times: each is one item, never split at commas."""
    for member in members(kind):
        origin, arguments = _parts(member)
        if origin in _LISTS or origin is tuple:
            items = [from_text(text, one) for text, one in zip(texts, _item_kinds(arguments, len(texts)), strict=False)]
            return convert(items if len(items) == len(texts) else texts, member)
        if origin in _DICTS:
            merged: dict[object, object] = {}
            for text in texts:
                merged.update(from_text(text, member))
            return merged
    raise Mismatch(f"given {len(texts)} times, but {type_text(kind)} is a single value")


def from_data(value: object, kind: Any) -> Any:
    """As ``convert`` for a value read from a JSON or TOML file, where a text may stand for anything that has one."""
    token = _sources.set(True)
    try:
        return convert(value, kind)
    except Mismatch:
        if not isinstance(value, str) or _parts(kind)[0] is Secret:
            raise
        return from_text(value, kind)
    finally:
        _sources.reset(token)


def is_bool(kind: Any) -> bool:
    """Whether a parameter of ``kind`` is a flag, so that its option needs no value."""
    return [member for member in members(kind) if member is not type(None)] == [bool]


def is_path(kind: Any) -> bool:
    """Whether a parameter of ``kind`` names a file: a ``Path``, a ``headrace.File``."""
    kinds = [_parts(member)[0] for member in members(kind)]
    return any(isinstance(one, type) and issubclass(one, os.PathLike) for one in kinds)


def allow_none(kind: Any) -> Any:
    """``kind`` or None, for ``x: int = None``."""
    if _is_open(kind) or any(member is type(None) for member in members(kind)):
        return kind
    return Union[kind, None]  # noqa: UP007 - ``|`` does not work on every annotation


def members(kind: Any) -> tuple[Any, ...]:
    """The types that a union is made of; of anything else, itself."""
    origin, arguments = _parts(kind)
    return arguments if _is_union(origin) else (kind,)


def type_text(kind: Any) -> str:
    """``kind`` as people write it: ``list[int]``, ``'a' | 'b'``, ``red | green``, ``Path``."""
    origin, arguments = _parts(kind)
    if _is_open(kind):
        return "any"
    if _is_union(origin):
        return " | ".join("None" if member is type(None) else type_text(member) for member in arguments)
    if origin is Literal:
        return " | ".join(repr(choice) for choice in arguments)
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        return " | ".join(origin.__members__)
    if origin is Secret:
        return "Secret, as env:VARIABLE or file:PATH"
    name = getattr(origin, "__name__", None) or str(origin).removeprefix("typing.")
    if not arguments:
        return str(name)
    return f"{name}[{', '.join('...' if one is Ellipsis else type_text(one) for one in arguments)}]"


def show(value: object) -> str:
    """A short repr for messages."""
    try:
        text = repr(value)
    except Exception:  # a repr of the user's may raise anything
        text = f"<{type(value).__name__}>"
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:77] + "..."


# --- types ------------------------------------------------------------------------------------------------------


def _parts(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """The class behind a generic and its arguments; ``Annotated`` and ``NewType`` are looked through."""
    while True:
        origin = typing.get_origin(kind)
        if origin is typing.Annotated:
            kind = kind.__origin__
        elif hasattr(kind, "__supertype__"):
            kind = kind.__supertype__
        elif hasattr(kind, "__value__") and type(kind).__name__ == "TypeAliasType":
            kind = kind.__value__
        else:
            return (origin, typing.get_args(kind)) if origin is not None else (kind, ())


def _is_open(kind: Any) -> bool:
    return kind is Any or kind is object or isinstance(kind, (typing.TypeVar, str, typing.ForwardRef))


def _is_union(origin: Any) -> bool:
    return origin is Union or origin is types.UnionType


def _is_plain(kind: Any) -> bool:
    """Whether msgspec converts ``kind`` just as it should be here, so that long lists go at its speed."""
    if typing.get_origin(kind) is None:
        return kind in _PLAIN if isinstance(kind, collections.abc.Hashable) else False
    origin, arguments = _parts(kind)
    return origin in (list, dict, tuple) and all(one is Ellipsis or _is_plain(one) for one in arguments)


def _item_kinds(arguments: tuple[Any, ...], count: int) -> list[Any]:
    if not arguments:
        return [Any] * count
    if len(arguments) == 1 or arguments[-1] is Ellipsis:
        return [arguments[0]] * count
    return list(arguments)


def _mismatch(value: object, kind: Any, detail: str = "") -> Mismatch:
    return Mismatch(f"expected {type_text(kind)}, got {show(value)}" + (f" ({detail})" if detail else ""))


# --- from objects -------------------------------------------------------------------------------------------------


def _convert_union(value: object, members: tuple[Any, ...], kind: Any) -> Any:
    # A member that is the value's own class comes first: ``int | float`` must not turn 1 into 1.0 or the reverse.
    for member in sorted(members, key=lambda member: _parts(member)[0] is not type(value)):
        try:
            return convert(value, member)
        except Mismatch:
            continue
    raise _mismatch(value, kind)


def _convert_items(value: object, origin: Any, arguments: tuple[Any, ...], kind: Any) -> Any:
    if isinstance(value, range):
        value = list(value)
    elif type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise _mismatch(value, kind)
    make = _LISTS.get(origin, tuple)
    if make is not tuple and _is_plain(arguments[0] if arguments else Any):
        return _by_msgspec(value, make[arguments[0]] if arguments else make, kind)  # type: ignore[index]
    fixed = make is tuple and bool(arguments) and arguments[-1] is not Ellipsis
    if fixed and len(value) != len(arguments):
        raise _mismatch(value, kind, f"{len(value)} items")
    kinds = list(arguments) if fixed else _item_kinds(arguments, len(value))
    items = []
    for position, (item, one) in enumerate(zip(value, kinds, strict=False)):
        try:
            items.append(convert(item, one))
        except Mismatch as error:
            raise Mismatch(f"item {position}: {error}") from None
    return make(items)


def _convert_dict(value: object, arguments: tuple[Any, ...], kind: Any) -> Any:
    if not isinstance(value, collections.abc.Mapping):
        raise _mismatch(value, kind)
    key_kind, item_kind = arguments or (Any, Any)
    result = {}
    for key, item in value.items():
        try:
            key_now = from_data(key, key_kind)
            result[key_now] = convert(item, item_kind)
        except Mismatch as error:
            raise Mismatch(f"key {show(key)}: {error}") from None
    return result


def _convert_class(value: object, origin: type, kind: Any) -> Any:
    if issubclass(origin, enum.Enum):
        return _convert_enum(value, origin)
    if origin in _PLAIN:
        return _by_msgspec(_unboxed(value, origin), kind, kind)
    if typing.is_typeddict(origin):
        return _by_msgspec(value, kind, kind)
    if getattr(origin, "_is_protocol", False) or isinstance(value, origin):
        return value
    if origin is Secret:
        try:
            if isinstance(value, str) and value and _sources.get():
                return Secret.parse(value)
            return Secret(value)  # type: ignore[arg-type]
        except UsageError as error:
            raise Mismatch(str(error)) from None
    if isinstance(value, (str, os.PathLike)) and issubclass(origin, os.PathLike):
        return _made(origin, os.fspath(value), kind)
    if isinstance(value, collections.abc.Mapping):
        fields = getattr(origin, "_fields", None) or getattr(origin, "__dataclass_fields__", None)
        if fields is not None:
            return _convert_fields(value, origin, tuple(fields), kind)
    return _by_msgspec(value, kind, kind)


def _convert_fields(
    value: collections.abc.Mapping[str, object], origin: type, fields: tuple[str, ...], kind: Any
) -> Any:
    """A named tuple or dataclass from a dictionary."""
    unknown = [name for name in value if name not in fields]
    if unknown:
        raise _mismatch(value, kind, f"no field {unknown[0]!r}; it has {', '.join(fields)}")
    try:
        hints = typing.get_type_hints(origin)
    except NameError:  # defined inside a function, its annotations are out of reach
        hints = {}
    values = {}
    for name, item in value.items():
        try:
            values[name] = convert(item, hints.get(name, Any))
        except Mismatch as error:
            raise Mismatch(f"{type_text(kind)}.{name}: {error}") from None
    try:
        return origin(**values)
    except (TypeError, ValueError) as error:  # a field is missing, or its own checks refuse it
        raise _mismatch(value, kind, str(error).removeprefix(f"{origin.__qualname__}.__init__() ")) from None


def _convert_enum(value: object, origin: type[enum.Enum]) -> enum.Enum:
    if isinstance(value, origin):
        return value
    for member in origin:
        if type(member.value) is type(value) and member.value == value:
            return member
    if isinstance(value, str) and value in origin.__members__:
        return origin[value]
    raise _mismatch(value, origin)


def _unboxed(value: object, origin: type) -> object:
    """A numpy scalar as the Python value it stands for."""
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    # A member of a StrEnum or IntEnum is a text or a number; a bool, though it is an int, is not meant as one.
    if isinstance(value, origin) and type(value) is not origin and not isinstance(value, bool):
        return origin(value)
    return value


def _by_msgspec(value: object, target: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, target, dec_hook=_hook)
    except msgspec.ValidationError as error:
        detail = str(error).replace("`", "")
        expected = f"Expected {type_text(kind)}, got"
        raise _mismatch(value, kind, "" if detail.startswith(expected) and "$" not in detail else detail) from None
    except TypeError:
        # msgspec does not know the type: then only instances will do, and those were taken before.
        raise _mismatch(value, kind) from None


def _hook(kind: Any, value: object) -> object:
    """For types that msgspec does not know, by themselves or inside a dataclass and the like."""
    origin, _ = _parts(kind)
    if not isinstance(origin, type) or getattr(origin, "_is_protocol", False) or isinstance(value, origin):
        return value
    if isinstance(value, str) and issubclass(origin, os.PathLike):
        return origin(value)  # type: ignore[call-arg]
    if isinstance(value, str) and value and origin is Secret:
        return Secret.parse(value) if _sources.get() else Secret(value)
    raise ValueError(f"Expected {type_text(kind)}, got {type(value).__name__}")


def _made(origin: Callable[[str], Any], text: str | bytes, kind: Any) -> Any:
    try:
        return origin(os.fsdecode(text))
    except (TypeError, ValueError) as error:
        raise _mismatch(text, kind, str(error)) from None


# --- from text ----------------------------------------------------------------------------------------------------


def _text_bool(text: str) -> bool:
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(text)


def _text_none(text: str) -> None:
    if text.strip().lower() not in ("none", "null"):
        raise ValueError(text)


_TEXT: dict[type, Callable[[str], object]] = {
    str: str,
    bool: _text_bool,
    int: lambda text: int(text, 10),
    float: float,
    bytes: str.encode,
    complex: complex,
    type(None): _text_none,
}


def _text_literal(text: str, choices: tuple[Any, ...], kind: Any) -> Any:
    for choice in choices:
        if text == (choice.name if isinstance(choice, enum.Enum) else str(choice)):
            return choice
    word = text.strip().lower()
    for choice in choices:
        if (choice is None and word in ("none", "null")) or (
            isinstance(choice, bool) and word in (_FALSE, _TRUE)[choice]
        ):
            return choice
        if isinstance(choice, bytes) and text == choice.decode(errors="replace"):
            return choice
    raise _mismatch(text, kind)


def is_flag_word(text: str) -> bool:
    """Whether ``text`` may be the value of a flag."""
    return text.strip().lower() in _TRUE | _FALSE


def _text_union(text: str, members: tuple[Any, ...], kind: Any) -> Any:
    # Any text fits a str, a path, an open type: they come last.
    for member in sorted(members, key=lambda member: (_is_open(member), _fits_any_text(_parts(member)[0]))):
        if member is type(None) and any(_parts(one)[0] is str for one in members):
            continue  # "none" is a name like any other; leave the option out to say None
        try:
            return from_text(text, member)
        except Mismatch:
            continue
    raise _mismatch(text, kind)


def _fits_any_text(origin: Any) -> bool:
    return isinstance(origin, type) and (origin is str or issubclass(origin, os.PathLike))


def _text_items(text: str, origin: Any, arguments: tuple[Any, ...], kind: Any) -> Any:
    stripped = text.strip()
    if stripped.startswith("["):
        return from_data(_json(stripped, kind), kind)
    pieces = [piece.strip() for piece in stripped.split(",")] if stripped else []
    kinds = _item_kinds(arguments, len(pieces))
    if len(kinds) != len(pieces):
        raise _mismatch(text, kind, f"{len(pieces)} items")
    items = []
    for piece, one in zip(pieces, kinds, strict=True):
        try:
            items.append(from_text(piece, one))
        except Mismatch as error:
            raise _mismatch(text, kind, str(error)) from None
    return convert(items, kind)


def _text_dict(text: str, arguments: tuple[Any, ...], kind: Any) -> Any:
    stripped = text.strip()
    if stripped.startswith("{"):
        return from_data(_json(stripped, kind), kind)
    key_kind, item_kind = arguments or (Any, Any)
    result = {}
    for piece in stripped.split(",") if stripped else ():
        key, equals, item = piece.partition("=")
        if not equals:
            raise _mismatch(text, kind, 'write it as JSON, {"name": value}, or as name=value,name=value')
        result[from_text(key.strip(), key_kind)] = from_text(item.strip(), item_kind)
    return result


def _text_class(text: str, origin: Any, kind: Any) -> Any:
    if origin is Secret:
        return convert(Secret.parse(text) if text else text, kind)
    if issubclass(origin, enum.Enum):
        if text in origin.__members__:
            return origin[text]
        for member in origin:
            if str(member.value) == text:
                return member
        raise _mismatch(text, kind)
    if issubclass(origin, os.PathLike):
        return _made(origin, text, kind)
    if origin.__module__ == "datetime":
        return _text_moment(text, origin, kind)
    from headrace.frontends.native.text_forms import is_made_from_text

    if is_made_from_text(origin):
        try:
            return convert(origin(text), kind)
        except (TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise _mismatch(text, kind, _reason(error, text)) from None
    if text.lstrip()[:1] in ("{", "["):
        return from_data(_json(text, kind), kind)
    try:
        return msgspec.convert(text, kind, strict=False)
    except (msgspec.ValidationError, TypeError):
        raise _mismatch(text, kind, _advice(origin)) from None


def _text_moment(text: str, origin: Any, kind: Any) -> Any:
    """A duration, date, time or both."""
    from headrace.frontends.native.text_forms import DURATIONS, parse_timedelta

    try:
        return parse_timedelta(text) if origin.__name__ == "timedelta" else origin.fromisoformat(text)
    except (ValueError, OverflowError, AttributeError):
        forms = {"timedelta": DURATIONS, "date": "write 2026-11-28", "time": "write 13:30:00"}
        raise _mismatch(text, kind, forms.get(origin.__name__, "write 2026-11-28T13:30:00+01:00")) from None


def _reason(error: Exception, text: str) -> str:
    """What a constructor says of a text that it refuses, unless that says nothing."""
    said = str(error)
    return "" if type(error).__module__ == "decimal" or said in ("", text, repr(text)) else said


def _advice(origin: type) -> str:
    is_record = typing.is_typeddict(origin) or hasattr(origin, "__struct_fields__")
    if is_record or hasattr(origin, "__dataclass_fields__") or hasattr(origin, "_fields"):
        return 'write it as JSON, {"field": value}'
    return "such an object has no text form: call the flow from Python"


def _json(text: str, kind: Any) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise _mismatch(text, kind, str(error)) from None
