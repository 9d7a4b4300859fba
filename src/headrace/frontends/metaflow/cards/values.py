"""Any Python object as something that a card can show: a text, a table, a picture."""

from __future__ import annotations

import base64
import pprint
import reprlib
from typing import Any

_TIME = "%Y-%m-%d %I:%M:%S %p"
_STAMP = "%Y-%m-%dT%H:%M:%S%Z"
_FRAMES = ("pandas.core.frame.DataFrame", "pandas.DataFrame")
_CELL = 30
_HEAD = 5


def type_name(value: Any) -> str:
    """The class of ``value`` by its full name; that of a frame is the same under all versions of pandas."""
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return _FRAMES[0] if name in _FRAMES else name


def is_frame(value: Any) -> bool:
    """Whether it is a frame of pandas."""
    return type_name(value) == _FRAMES[0]


class _Short(reprlib.Repr):
    """Cuts long reprs short in their middle; those of several lines, such as a series has, between lines."""

    def repr_instance(self, x: Any, level: int) -> str:
        text = super().repr_instance(x, level)
        if level < self.maxlevel or len(text) < self.maxother:
            return text
        try:
            lines = repr(x).splitlines()
        except Exception:
            return text
        if len(lines) == 1:
            return text
        kept = lines if len(lines) <= _HEAD + 2 else [*lines[:_HEAD], "...", lines[-1]]
        return "\n".join(line if len(line) <= self.maxother else line[: self.maxother] + "..." for line in kept)


def _short() -> reprlib.Repr:
    short = _Short()
    short.maxarray = short.maxstring = short.maxother = short.maxtuple = short.maxlist = 100
    short.maxdict = short.maxset = short.maxfrozenset = 100
    short.maxlevel = 3
    return short


def shown(value: Any) -> str:
    """A text of limited length; over several lines where that reads better."""
    text = _short().repr(value)
    if "..." in text:
        return text
    try:
        return pprint.pformat(value, indent=2, width=50, compact=True)
    except Exception:  # pformat looks into values in more ways than repr does
        return text


def described(value: Any, name: str | None, *, only_repr: bool) -> dict[str, Any]:
    """An artifact as a component of type ``artifacts`` holds it."""
    kind = type_name(value)
    supported = not only_repr and (kind in _NATIVE or is_frame(value) or kind == "numpy.ndarray")
    data = native(value) if supported else shown(value) if only_repr else _short().repr(value)
    return {
        "type": kind,
        "data": data,
        "large_object": False,
        "supported_type": supported,
        "only_repr": only_repr,
        "name": name,
    }


def native(value: Any) -> Any:
    """``value`` in types that JSON has, where it is of a usual type; else its short repr."""
    if is_frame(value):
        return frame_table(value)
    if type_name(value) == "numpy.ndarray":
        return value.tolist()
    convert = _NATIVE.get(type_name(value))
    return convert(value) if convert is not None else _short().repr(value)


def _texts(value: Any) -> str:
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        return _short().repr(value)


_NATIVE: dict[str, Any] = {
    **dict.fromkeys(("NoneType", "str", "bool", "float", "int"), lambda value: value),
    **dict.fromkeys(("tuple", "list", "set", "frozenset"), lambda value: [native(one) for one in value]),
    **dict.fromkeys(("range", "Exception"), lambda value: _short().repr(value)),
    "dict": lambda value: {key: native(one) for key, one in value.items()},
    "bytearray": _texts,
    "datetime.datetime": lambda value: value.strftime(_TIME),
    "decimal.Decimal": float,
    "type": lambda value: value.__name__,
    "complex": str,
    "bytes": lambda value: base64.encodebytes(value).decode(),
}


# --- pictures -----------------------------------------------------------------------------------------------------


def picture_kind(data: bytes) -> str | None:
    """``png``, ``jpeg``, ``gif`` or ``webp``, by the first bytes; None: no picture that browsers show."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def picture_source(data: bytes) -> str | None:
    """A picture as the ``src`` of an image; None when it is none."""
    kind = picture_kind(data)
    return None if kind is None else f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


# --- tables -------------------------------------------------------------------------------------------------------


def frame_table(frame: Any, *, truncate: bool = True) -> dict[str, Any]:
    """The head of a frame, or all of it, in plain values; the index is the first column."""
    part = frame.head(_HEAD) if truncate else frame
    columns = [_cells(part.index.to_series()), *(_cells(part.iloc[:, at]) for at in range(part.shape[1]))]
    return {
        "full_size": (len(frame), len(frame.columns)),
        "headers": ["", *(one if isinstance(one, (str, int, float)) else str(one) for one in frame.columns)],
        "data": [list(row) for row in zip(*columns, strict=True)],
        "truncated": truncate,
    }


def _cells(column: Any) -> list[Any]:
    kind = str(column.dtype)
    empty = column.isna().tolist()
    if "timedelta" in kind:
        column = column.dt.total_seconds()
    values = column.tolist()
    if "datetime" in kind:
        values = [one if none else one.strftime(_STAMP) for one, none in zip(values, empty, strict=True)]
    return ["null" if none else _cell(one) for one, none in zip(values, empty, strict=True)]


def _cell(value: Any) -> Any:
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, tuple):  # a row of an index with several levels
        return ", ".join(str(_cell(one)) for one in value)
    text = str(value)
    return text if len(text) <= _CELL else text[:_CELL] + "..."
