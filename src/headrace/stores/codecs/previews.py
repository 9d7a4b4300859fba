"""What is shown of a value without loading it. Never fails, never takes long: containers are counted, not printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.model.values import Packed, Preview

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    import pandas as pd

_TEXT = 2000
_JSON_TEXT = 200
_ROWS, _COLUMNS, _CELL = 5, 20, 60
_STATS_BYTES = 64 << 20

_Facts = tuple[tuple[str, str], ...]


def preview(value: object, packed: Packed | None = None) -> Preview:
    """A short description of ``value``. ``packed``, its manifest, makes that of small plain values nearly free."""
    if packed is not None and packed.codec == "json" and len(packed.inline) <= _JSON_TEXT and not packed.blobs:
        return Preview(type(value).__name__, packed.inline.decode())
    kind = _type_name(type(value))
    try:
        return _describe(value, kind)
    except Exception as exc:  # code of the value's own class ran; whatever it does, the value itself is stored
        return Preview(kind, f"<no preview: {type(exc).__name__}>")


def _type_name(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def _describe(value: object, kind: str) -> Preview:
    for base in type(value).__mro__:
        describe = _DESCRIBERS.get(f"{base.__module__.partition('.')[0]}.{base.__name__}")
        if describe is not None:
            return describe(value, kind)
    if isinstance(value, (str, bytes, bytearray)):
        return _of_text(value, kind)
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        return _of_container(value, kind)
    if type(value).__repr__ is object.__repr__:
        names = sorted(getattr(value, "__dict__", ()))
        return Preview(kind, f"<{type(value).__qualname__}>", (("attributes", _cut(", ".join(names), 200)),))
    return Preview(kind, _cut(repr(value), _TEXT))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _of_text(value: str | bytes | bytearray, kind: str) -> Preview:
    text = value[:_TEXT] if isinstance(value, str) else repr(bytes(value[:400]))
    return Preview(kind, _cut(text, _TEXT), (("length", str(len(value))),))


def _of_container(value: Any, kind: str) -> Preview:
    facts: _Facts = (("length", str(len(value))),)
    shown = []
    for number, item in enumerate(value.items() if isinstance(value, dict) else value):
        if number == 10:
            shown.append("...")
            break
        shown.append(f"{_brief(item[0])}: {_brief(item[1])}" if isinstance(value, dict) else _brief(item))
    left, right = "()" if isinstance(value, tuple) else "[]" if isinstance(value, list) else "{}"
    return Preview(kind, _cut(left + ", ".join(shown) + right, _TEXT), facts)


def _brief(item: object) -> str:
    """A few characters for a part of a container; never the repr of something large."""
    if item is None or isinstance(item, (bool, int, float, complex)):
        return repr(item) if not isinstance(item, int) or item.bit_length() < 256 else "<int>"
    if isinstance(item, (str, bytes)):
        return _cut(repr(item[:_CELL]), _CELL)
    name = type(item).__qualname__
    shape = getattr(item, "shape", None)
    if isinstance(shape, tuple):
        return f"<{name} {shape}>"
    if isinstance(item, (list, tuple, dict, set, frozenset)):
        return f"<{name} of {len(item)}>"
    return f"<{name}>"


def _of_array(value: np.ndarray[Any, Any], kind: str) -> Preview:
    import numpy as np

    facts = [("shape", str(value.shape)), ("dtype", str(value.dtype)), ("size", f"{value.nbytes} bytes")]
    if value.dtype.kind in "iuf" and 0 < value.nbytes <= _STATS_BYTES:
        with np.errstate(all="ignore"):
            facts += [(name, f"{getattr(value, name)():.6g}") for name in ("min", "max", "mean")]
    head = value.reshape(-1)[:20] if value.flags.c_contiguous else value[:3]
    text = np.array2string(head, threshold=20, edgeitems=3) if not value.dtype.hasobject else ""
    return Preview(kind, _cut(text, _TEXT), tuple(facts))


def _of_pandas(value: pd.DataFrame, kind: str) -> Preview:
    facts: list[tuple[str, str]] = [("shape", str(value.shape))]
    dtypes = value.dtypes
    names = [str(name) for name in value.columns[:_COLUMNS]]
    head = value.iloc[:_ROWS, :_COLUMNS]
    rows = [
        (_cut(str(label), _CELL), *(_cut(str(head.iat[row, column]), _CELL) for column in range(head.shape[1])))
        for row, label in enumerate(head.index)
    ]
    for position, name in enumerate(names):
        facts.append((f"dtype {name}"[:_CELL], str(dtypes.iloc[position])))
        column = value.iloc[:, position]
        if getattr(column.dtype, "kind", "O") in "iuf" and len(column) * len(names) * 8 <= _STATS_BYTES:
            facts.append(
                (f"range {name}"[:_CELL], f"{column.min():.6g} .. {column.max():.6g}, mean {column.mean():.6g}")
            )
    index = str(value.index.name) if value.index.name is not None else ""
    return Preview(kind, f"{value.shape[0]} rows x {value.shape[1]} columns", tuple(facts), ((index, *names), *rows))


def _of_series(value: pd.Series[Any], kind: str) -> Preview:
    inner = _of_pandas(value.to_frame("values" if value.name is None else value.name), kind)
    return Preview(kind, f"{len(value)} values", (("shape", str(value.shape)), *inner.facts[1:]), inner.table)


def _of_polars(value: Any, kind: str) -> Preview:
    facts = [("shape", str(value.shape))]
    names = value.columns[:_COLUMNS]
    facts += [(f"dtype {name}"[:_CELL], str(value.schema[name])) for name in names]
    rows = [tuple(_cut(str(cell), _CELL) for cell in row) for row in value.head(_ROWS).select(names).rows()]
    return Preview(kind, f"{value.shape[0]} rows x {value.shape[1]} columns", tuple(facts), (tuple(names), *rows))


def _of_arrow(value: Any, kind: str) -> Preview:
    names = value.column_names[:_COLUMNS]
    facts = [("shape", str((value.num_rows, value.num_columns)))]
    facts += [(f"dtype {name}"[:_CELL], str(value.schema.types[place])) for place, name in enumerate(names)]
    columns = [
        [_cut(str(cell), _CELL) for cell in value.column(place).slice(0, _ROWS).to_pylist()]
        for place in range(len(names))
    ]
    rows = zip(*columns, strict=True)
    return Preview(kind, f"{value.num_rows} rows x {value.num_columns} columns", tuple(facts), (tuple(names), *rows))


def _of_figure(value: Any, kind: str) -> Preview:
    import io

    stream = io.BytesIO()
    width, height = value.get_size_inches()
    value.savefig(stream, format="png", dpi=min(80.0, 640 / max(width, height, 1e-6)))
    png = stream.getvalue()
    facts = (("size", f"{width:g} x {height:g} in"), ("axes", str(len(value.axes))))
    return Preview(kind, repr(value), facts, png=png if len(png) <= 256 * 1024 else b"")


def _of_tensor(value: Any, kind: str) -> Preview:
    facts = (("shape", str(tuple(value.shape))), ("dtype", str(value.dtype)), ("device", str(value.device)))
    return Preview(kind, "", facts)


_DESCRIBERS: dict[str, Callable[[Any, str], Preview]] = {
    "numpy.ndarray": _of_array,
    "pandas.DataFrame": _of_pandas,
    "pandas.Series": _of_series,
    "polars.DataFrame": _of_polars,
    "pyarrow.Table": _of_arrow,
    "matplotlib.Figure": _of_figure,
    "torch.Tensor": _of_tensor,
}
