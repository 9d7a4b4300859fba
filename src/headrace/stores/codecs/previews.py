"""What is shown of a value without loading it. Never fails, never takes long: containers are counted, not printed.

``text`` is the best answer in one line (of a text, the text itself); ``facts``, ``table`` and ``png`` come on top.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from headrace._base.attributes import instance_dict, on_type, own
from headrace.model.values import Packed, Preview

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    import pandas as pd

_TEXT = 2000
_JSON_TEXT = 200
_ROWS, _COLUMNS, _CELL = 5, 20, 60
_ITEMS, _ITEMS_INSIDE, _VALUES = 10, 4, 20
_STATS_BYTES = 64 << 20

_Facts = tuple[tuple[str, str], ...]


def preview(value: object, packed: Packed | None = None) -> Preview:
    """A short description of ``value``. ``packed``, its manifest, makes that of small plain values nearly free."""
    if packed is not None and packed.codec == "json" and len(packed.inline) <= _JSON_TEXT and not packed.blobs:
        return Preview(type(value).__name__, repr(value))
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
        return Preview(kind, _cut(_items(value, _ITEMS), _TEXT), (("length", str(len(value))),))
    if isinstance(value, int) and value.bit_length() > _TEXT:
        return Preview(kind, f"<{type(value).__qualname__} of {value.bit_length():,} bits>")
    own = type(value).__repr__
    if own is object.__repr__:
        names = sorted(instance_dict(value))
        return Preview(kind, f"<{type(value).__qualname__}>", (("attributes", _cut(", ".join(names), 200)),))
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None and hasattr(own, "__wrapped__"):  # the one that a dataclass gets, which prints everything
        return Preview(kind, _cut(_fields(value, [name for name in fields if fields[name].repr]), _TEXT))
    return Preview(kind, _cut(re.sub(r"\s*\n\s*", " ", repr(value)), _TEXT))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _of_text(value: str | bytes | bytearray, kind: str) -> Preview:
    text = value[:_TEXT] if isinstance(value, str) else repr(bytes(value[:400]))
    return Preview(kind, _cut(text, _TEXT), (("length", str(len(value))),))


def _items(value: Any, limit: int) -> str:
    """A container as Python would write it, with no more than ``limit`` items."""
    if isinstance(value, tuple) and on_type(value, "_fields"):
        return _fields(value, on_type(value, "_fields"))
    inside = _ITEMS_INSIDE if limit > _ITEMS_INSIDE else 0
    shown = []
    for number, item in enumerate(value.items() if isinstance(value, dict) else value):
        if number == limit:
            shown.append("...")
            break
        if isinstance(value, dict):
            shown.append(f"{_brief(item[0], inside)}: {_brief(item[1], inside)}")
        else:
            shown.append(_brief(item, inside))
    if not shown and isinstance(value, (set, frozenset)):
        return f"{type(value).__name__}()"
    if len(shown) == 1 and isinstance(value, tuple):
        shown.append("")
    left, right = "()" if isinstance(value, tuple) else "[]" if isinstance(value, list) else "{}"
    return left + ", ".join(shown).rstrip(" ") + right


def _fields(value: object, names: Iterable[str]) -> str:
    shown = [f"{name}={_brief(getattr(value, name, None), _ITEMS_INSIDE)}" for name in names]
    return f"{type(value).__qualname__}({', '.join(shown)})"


def _brief(item: object, inside: int = 0) -> str:
    """A few characters for a part of something; of a container, its items if there are at most ``inside``."""
    if item is None or isinstance(item, (bool, int, float, complex)):
        return repr(item) if not isinstance(item, int) or item.bit_length() < 256 else "<int>"
    if isinstance(item, (str, bytes)):
        return _cut(repr(item[:_CELL]), _CELL)
    name = type(item).__qualname__
    shape = own(item, "shape")
    if isinstance(shape, tuple):
        dtype = own(item, "dtype")
        return f"<{name} {_array_line(dtype, shape)}>" if dtype is not None else f"<{name} {_dimensions(shape)}>"
    if isinstance(item, (list, tuple, dict, set, frozenset)):
        return _items(item, inside) if len(item) <= inside else f"<{name} of {len(item)}>"
    return f"<{name}>"


def _array_line(dtype: object, shape: Iterable[int]) -> str:
    return f"{str(dtype).removeprefix('torch.')} {tuple(shape)}"


def _dimensions(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))


def _of_array(value: np.ndarray[Any, Any], kind: str) -> Preview:
    import numpy as np

    facts = [("shape", str(value.shape)), ("dtype", str(value.dtype)), ("size", f"{value.nbytes} bytes")]
    if value.dtype.kind in "iuf" and 0 < value.nbytes <= _STATS_BYTES:
        with np.errstate(all="ignore"):
            facts += [(name, f"{getattr(value, name)():.6g}") for name in ("min", "max", "mean")]
    text = _array_line(value.dtype, value.shape)
    if value.size > 0 and not value.dtype.hasobject:
        few = value.size <= _VALUES
        shown = value if few else value.reshape(-1)[:_VALUES] if value.flags.c_contiguous else value[:3]
        line = re.sub(r"\s*\n\s*", " ", np.array2string(shown, threshold=_VALUES, edgeitems=3, separator=", "))
        if few:
            text += f": {line}"
        else:
            facts.append(("head", _cut(line, 400)))
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
    return Preview(kind, _frame_line(value, value.shape), tuple(facts), ((index, *names), *rows))


def _of_series(value: pd.Series[Any], kind: str) -> Preview:
    inner = _of_pandas(value.to_frame("values" if value.name is None else value.name), kind)
    return Preview(
        kind,
        f"{type(value).__name__} {len(value)} x {value.dtype}",
        (("shape", str(value.shape)), *inner.facts[1:]),
        inner.table,
    )


def _of_polars(value: Any, kind: str) -> Preview:
    facts = [("shape", str(value.shape))]
    names = value.columns[:_COLUMNS]
    facts += [(f"dtype {name}"[:_CELL], str(value.schema[name])) for name in names]
    rows = [tuple(_cut(str(cell), _CELL) for cell in row) for row in value.head(_ROWS).select(names).rows()]
    return Preview(kind, _frame_line(value, value.shape), tuple(facts), (tuple(names), *rows))


def _of_arrow(value: Any, kind: str) -> Preview:
    names = value.schema.names[:_COLUMNS]
    facts = [("shape", str((value.num_rows, value.num_columns)))]
    facts += [(f"dtype {name}"[:_CELL], str(value.schema.types[place])) for place, name in enumerate(names)]
    columns = [
        [_cut(str(cell), _CELL) for cell in value.column(place).slice(0, _ROWS).to_pylist()]
        for place in range(len(names))
    ]
    rows = zip(*columns, strict=True)
    line = _frame_line(value, (value.num_rows, value.num_columns))
    return Preview(kind, line, tuple(facts), (tuple(names), *rows))


def _frame_line(value: object, shape: Iterable[int]) -> str:
    return f"{type(value).__name__} {_dimensions(shape)}"


def _of_figure(value: Any, kind: str) -> Preview:
    import io

    stream = io.BytesIO()
    width, height = value.get_size_inches()
    value.savefig(stream, format="png", dpi=min(80.0, 640 / max(width, height, 1e-6)))
    png = stream.getvalue()
    facts = (("size", f"{width:g} x {height:g} in"), ("axes", str(len(value.axes))))
    titles = [title for axes in value.axes if (title := axes.get_title())]
    text = f"Figure of {len(value.axes)} axes" + (f": {', '.join(titles)}" if titles else "")
    return Preview(kind, _cut(text.replace("\n", " "), _TEXT), facts, png=png if len(png) <= 256 * 1024 else b"")


def _of_tensor(value: Any, kind: str) -> Preview:
    line, shape, device = _array_line(value.dtype, value.shape), tuple(value.shape), str(value.device)
    size = f"{value.numel() * value.element_size()} bytes"
    facts = (("shape", str(shape)), ("dtype", str(value.dtype)), ("device", device), ("size", size))
    if device == "cpu" and 0 < value.numel() <= _VALUES:
        line += f": {value.tolist()}"
    return Preview(kind, line, facts)


def _of_jax(value: Any, kind: str) -> Preview:
    import numpy as np

    return _of_array(np.asarray(value), kind)


def _of_module(value: Any, kind: str) -> Preview:
    parameters = list(value.parameters())
    count, trained = (sum(one.numel() for one in parameters if one.requires_grad or whole) for whole in (True, False))
    facts = [("trained", f"{trained:,}"), ("mode", "training" if value.training else "evaluation")]
    facts += [
        (name, _cut(re.sub(r"\s*\n\s*", " ", repr(child)), 200))
        for name, child in list(value.named_children())[:_ITEMS]
    ]
    return Preview(kind, f"{type(value).__qualname__} of {count:,} parameters", tuple(facts))


def _of_file(value: Any, kind: str) -> Preview:
    return Preview("headrace.File", value.name, (("bytes", f"{value.size:,}"), *_noted(value)))


def _of_folder(value: Any, kind: str) -> Preview:
    files = value.files()
    text = _cut(f"{value.name}: {', '.join(files[:_VALUES])}", 200)
    return Preview("headrace.Folder", text, (("files", str(len(files))), *_noted(value)))


def _noted(value: Any) -> _Facts:
    """The metadata of a file or folder."""
    return tuple((str(name), _cut(str(text), _CELL)) for name, text in list(value.metadata.items())[:_ITEMS])


_DESCRIBERS: dict[str, Callable[[Any, str], Preview]] = {
    "numpy.ndarray": _of_array,
    "pandas.DataFrame": _of_pandas,
    "pandas.Series": _of_series,
    "polars.DataFrame": _of_polars,
    "pyarrow.Table": _of_arrow,
    "pyarrow.RecordBatch": _of_arrow,
    "matplotlib.Figure": _of_figure,
    "torch.Tensor": _of_tensor,
    "torch.Module": _of_module,
    "jaxlib.ArrayImpl": _of_jax,
    "headrace.File": _of_file,
    "headrace.Folder": _of_folder,
}
