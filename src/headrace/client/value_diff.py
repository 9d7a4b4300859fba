"""In what two values differ: numbers and arrays by the largest difference, frames by cells, text by line, models and
other objects by attribute, containers by element.

    for found in differences(before, now): print(found)

Only values that were unpickled already are looked at, and no library is imported that is not loaded.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

from headrace._base.texts import shorten
from headrace.stores.codecs import File, Folder

#: Deeper than this, values are compared by ``==`` alone.
_DEEPEST = 24
#: Parts of one value that are looked at, at most.
_PARTS = 200_000
_LEAVES = (int, float, complex, str, bytes, type(None))
#: Characters of a value in a line.
_SHOWN = 60
#: Larger files are not compared line by line.
_TEXT = 16 << 20


class Difference(NamedTuple):
    """A part that differs: where it is in the value (empty: the value itself), how, and by how much if a number."""

    path: str
    text: str
    size: float | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


def differences(before: object, now: object) -> Iterator[Difference]:
    """The parts in which ``now`` differs from ``before``, in the order of the value; none if they are equal.

    NaN equals NaN. The order of a dictionary or set does not count.
    """
    yield from _Walk().compare("", before, now)


def summary(before: object, now: object, most: int = 5) -> list[str]:
    """At most ``most`` lines on the differences, and one that says how many more there are and which is the largest."""
    found = list(differences(before, now))
    lines = [str(one) for one in found[:most]]
    if len(found) > most:
        largest = max((one for one in found if one.size is not None), key=lambda one: one.size or 0.0, default=None)
        where = f"; the largest difference is {_number(largest.size or 0.0)}, at {largest.path}" if largest else ""
        lines.append(f"and {len(found) - most} more{where}")
    return lines


class _Walk:
    """One comparison: ``seen`` keeps cycles from being followed, ``left`` counts the parts that may be looked at.

    What was seen is kept alive: another object at the same address is another one.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], tuple[object, object]] = {}
        self._left = _PARTS
        self._depth = 0

    def compare(self, path: str, before: Any, now: Any) -> Iterator[Difference]:
        """What differs in the part at ``path``."""
        if before is now:
            return
        self._left -= 1
        pair = (id(before), id(now))
        if pair in self._seen or self._left < 0:
            return
        if not isinstance(before, _LEAVES):
            self._seen[pair] = (before, now)
        if self._depth >= _DEEPEST:
            yield from _plain(path, before, now)
            return
        self._depth += 1
        try:
            yield from self._by_kind(path, before, now)
        finally:
            self._depth -= 1

    def _by_kind(self, path: str, before: Any, now: Any) -> Iterator[Difference]:
        if _is_number(before) and _is_number(now):
            yield from _numbers(path, before, now)
        elif type(before) is not type(now):
            if not _equal(before, now):
                yield Difference(path, f"{_kind(before)} {_shown(before)} before, {_kind(now)} {_shown(now)} now")
        elif isinstance(before, str):
            yield from _texts(path, before, now)
        elif isinstance(before, (bytes, bytearray, memoryview)):
            yield from _bytes(path, bytes(before), bytes(now))
        elif isinstance(before, (File, Folder)):
            yield from self._files(path, before, now)
        elif (arrays := _as_arrays(before, now)) is not None:
            yield from self._arrays(path, *arrays)
        elif (frames := _as_columns(before, now)) is not None:
            yield from self._frames(path, *frames)
        elif isinstance(before, Mapping):
            yield from self._mappings(path, before, now)
        elif isinstance(before, Set):
            yield from _sets(path, before, now)
        elif isinstance(before, (list, tuple)):
            yield from self._sequences(path, before, now)
        else:
            yield from self._objects(path, before, now)

    # --- containers -------------------------------------------------------------------------------------------

    def _mappings(self, path: str, before: Mapping[Any, Any], now: Mapping[Any, Any]) -> Iterator[Difference]:
        yield from _only(
            path, "key", [key for key in before if key not in now], [key for key in now if key not in before]
        )
        for key in before:
            if key in now:
                yield from self.compare(f"{path}[{_shown(key)}]", before[key], now[key])

    def _sequences(self, path: str, before: Sequence[Any], now: Sequence[Any]) -> Iterator[Difference]:
        names: Sequence[str] = getattr(type(before), "_fields", ())
        if len(before) != len(now):
            yield Difference(path, f"{len(before)} elements before, {len(now)} now")
        for at, (one, other) in enumerate(zip(before, now, strict=False)):
            inner = f"{path}.{names[at]}" if names else f"{path}[{at}]"
            yield from self.compare(inner, one, other)

    def _objects(self, path: str, before: Any, now: Any) -> Iterator[Difference]:
        if callable(before) and hasattr(before, "__qualname__"):
            if before.__qualname__ != now.__qualname__:
                yield Difference(path, f"{before.__qualname__} before, {now.__qualname__} now")
            return
        left, right = _state_of(before), _state_of(now)
        if left is None or right is None:
            yield from _plain(path, before, now)
            return
        yield from _only(
            path, "attribute", [one for one in left if one not in right], [o for o in right if o not in left]
        )
        for name in left:
            if name in right:
                inner = f"{path}.{name}" if name.isidentifier() else f"{path}{name}"
                yield from self.compare(inner if path else inner.removeprefix("."), left[name], right[name])

    # --- arrays, frames, files --------------------------------------------------------------------------------

    def _arrays(self, path: str, before: Any, now: Any) -> Iterator[Difference]:
        if before.shape != now.shape:
            yield Difference(path, f"shape {before.shape} before, {now.shape} now")
            return
        if before.dtype != now.dtype:
            yield Difference(path, f"dtype {before.dtype} before, {now.dtype} now")
        if before.dtype.names and before.dtype == now.dtype:
            for name in before.dtype.names:
                yield from self._arrays(f"{path}[{name!r}]", before[name], now[name])
            return
        if before.dtype.kind == "O" or now.dtype.kind == "O":
            yield from _cells(path, before.ravel().tolist(), now.ravel().tolist(), before.shape)
            return
        yield from _array_numbers(path, before, now)

    def _frames(self, path: str, before: _Columns, now: _Columns) -> Iterator[Difference]:
        left, right = before.columns, now.columns
        yield from _only(path, "column", left, right)
        if before.rows != now.rows:
            yield Difference(path, f"{before.rows} rows before, {now.rows} now")
            return
        if list(left) != list(right) and set(left) == set(right):
            yield Difference(path, "the columns are in another order")
        for name in left:
            if name in right:
                yield from self._arrays(f"{path}[{_shown(name)}]", left[name], right[name])

    def _files(self, path: str, before: Any, now: Any) -> Iterator[Difference]:
        if isinstance(before, File):
            if before.name != now.name:
                yield Difference(path, f"called {before.name} before, {now.name} now")
            yield from _contents(path, before, now)
            return
        left, right = before.files(), now.files()
        yield from _only(path, "file", left, right)
        for name in left:
            if name in right:
                yield from _contents(
                    f"{path}/{name}".removeprefix("/"), File(before.path / name), File(now.path / name)
                )


# --- leaves -------------------------------------------------------------------------------------------------------


def _is_number(value: object) -> bool:
    if isinstance(value, (bool, str)):
        return False
    numpy = sys.modules.get("numpy")
    return isinstance(value, (int, float, complex)) or (numpy is not None and isinstance(value, numpy.number))


def _numbers(path: str, before: Any, now: Any) -> Iterator[Difference]:
    if before == now or (before != before and now != now):
        if type(before) is not type(now):
            yield Difference(path, f"{_kind(before)} before, {_kind(now)} now, both {_shown(before)}")
        return
    try:
        size = abs(now - before)
        by = f", a difference of {_number(float(size))}"
    except (TypeError, OverflowError, ValueError):
        size, by = None, ""
    yield Difference(path, f"{before!s} before, {now!s} now{by}", None if size is None else float(size))


def _texts(path: str, before: str, now: str) -> Iterator[Difference]:
    if before == now:
        return
    left, right = before.splitlines(), now.splitlines()
    if len(left) <= 1 and len(right) <= 1:
        yield Difference(path, f"{_shown(before)} before, {_shown(now)} now")
        return
    pairs = list(zip(left, right, strict=False))
    other = [at for at, (one, two) in enumerate(pairs) if one != two]
    at = other[0] if other else len(pairs)
    count = len(other) + abs(len(left) - len(right))
    said = [_shown(lines[at]) if at < len(lines) else "nothing" for lines in (left, right)]
    lines = f"{count} line{'s' * (count != 1)} of {max(len(left), len(right))} differ{'s' * (count == 1)}"
    if not count:  # ends of lines
        yield Difference(path, "the ends of lines differ")
    else:
        yield Difference(path, f"{lines}; line {at + 1}: {said[0]} before, {said[1]} now")


def _bytes(path: str, before: bytes, now: bytes) -> Iterator[Difference]:
    if before == now:
        return
    if len(before) != len(now):
        yield Difference(path, f"{len(before)} bytes before, {len(now)} now")
        return
    at = next(place for place in range(len(before)) if before[place] != now[place])
    count = sum(one != two for one, two in zip(before, now, strict=True))
    yield Difference(path, f"{count} of {len(before)} bytes differ, the first at {at}")


def _contents(path: str, before: File, now: File) -> Iterator[Difference]:
    sizes = [one.path.stat().st_size for one in (before, now)]
    if max(sizes) > _TEXT:
        yield from _large_contents(path, before, now, sizes)
        return
    left, right = before.path.read_bytes(), now.path.read_bytes()
    try:
        texts = [one.decode() for one in (left, right)]
    except UnicodeDecodeError:
        yield from _bytes(path, left, right)
    else:
        yield from _texts(path, *texts)


def _large_contents(path: str, before: File, now: File, sizes: list[int]) -> Iterator[Difference]:
    if sizes[0] != sizes[1]:
        yield Difference(path, f"{sizes[0]} bytes before, {sizes[1]} now")
        return
    at = 0
    with before.path.open("rb") as one, now.path.open("rb") as other:
        while part := one.read(1 << 20):
            same = other.read(len(part))
            if part != same:
                first = next(place for place in range(len(part)) if part[place] != same[place])
                yield Difference(path, f"the first byte that differs is at {at + first} of {sizes[0]}")
                return
            at += len(part)


def _sets(path: str, before: Set[Any], now: Set[Any]) -> Iterator[Difference]:
    yield from _only(path, "element", sorted(before, key=repr), sorted(now, key=repr))


def _only(path: str, what: str, left: Collection[object], right: Collection[object]) -> Iterator[Difference]:
    """What only one of both has."""
    gone, added = [one for one in left if one not in right], [one for one in right if one not in left]
    for names, when in ((gone, "before"), (added, "now")):
        if names:
            listed = ", ".join(_shown(one) for one in names[:5])
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            yield Difference(path, f"{what}{'s' * (len(names) != 1)} only {when}: {listed}{more}")


def _plain(path: str, before: Any, now: Any) -> Iterator[Difference]:
    if not _equal(before, now):
        yield Difference(path, f"{_shown(before)} before, {_shown(now)} now")


def _equal(before: Any, now: Any) -> bool:
    try:
        return bool(before == now) or bool(before != before and now != now)
    except Exception:  # any code may stand behind ==, and arrays have no truth
        return repr(before) == repr(now)


def _cells(path: str, before: list[Any], now: list[Any], shape: tuple[int, ...]) -> Iterator[Difference]:
    other = [at for at, (one, two) in enumerate(zip(before, now, strict=True)) if not _equal(one, two)]
    if other:
        at = other[0]
        place = _place(at, shape)
        said = f"{_shown(before[at])} before, {_shown(now[at])} now"
        yield Difference(path, f"{len(other)} of {len(before)} cells differ; at {place}: {said}")


def _array_numbers(path: str, before: Any, now: Any) -> Iterator[Difference]:
    """Two arrays of one shape: how many elements differ, and where most."""
    numpy = sys.modules["numpy"]
    other = before != now
    if before.dtype.kind in "fcmM" and now.dtype.kind in "fcmM":
        other &= ~((before != before) & (now != now))  # NaN and NaT
    count = int(numpy.count_nonzero(other))
    if not count:
        return
    text = f"{count} of {before.size} elements differ"
    if before.dtype.kind not in "biufc" or now.dtype.kind not in "biufc":
        at = int(numpy.flatnonzero(other)[0])
        said = f"{_shown(before.ravel()[at])} before, {_shown(now.ravel()[at])} now"
        yield Difference(path, f"{text}; at {_place(at, before.shape)}: {said}")
        return
    wide = complex if "c" in (before.dtype.kind, now.dtype.kind) else float
    with numpy.errstate(all="ignore"):
        gap = numpy.abs(now.astype(wide) - before.astype(wide))
    gap[~other] = 0.0
    gap[numpy.isnan(gap)] = math.inf
    at = int(gap.argmax())
    size = float(gap.ravel()[at])
    said = f"{before.ravel()[at]!s} before, {now.ravel()[at]!s} now"
    yield Difference(path, f"{text}, at most by {_number(size)} (at {_place(at, before.shape)}: {said})", size)


def _place(at: int, shape: tuple[int, ...]) -> str:
    if len(shape) < 2:
        return str(at)
    place = []
    for length in reversed(shape):
        at, here = divmod(at, length)
        place.append(here)
    return f"({', '.join(str(one) for one in reversed(place))})"


def _kind(value: object) -> str:
    return type(value).__qualname__


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # any code may stand behind a repr
        text = f"<{_kind(value)}>"
    return shorten(" ".join(text.split()), _SHOWN)


def _number(value: float) -> str:
    return f"{value:.6g}"


# --- what libraries make ------------------------------------------------------------------------------------------


class _Columns(NamedTuple):
    """A frame as arrays by column, with its index where it has one."""

    columns: dict[Any, Any]
    rows: int


def _is_of(value: object, module: str, *names: str) -> bool:
    return any(kind.__name__ in names and kind.__module__.partition(".")[0] == module for kind in type(value).__mro__)


def _as_arrays(before: Any, now: Any) -> tuple[Any, Any] | None:
    """Both as numpy arrays, if they are arrays, tensors or the like."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(before, numpy.ndarray):
        return before, now
    convert: Callable[[Any], Any]
    if _is_of(before, "torch", "Tensor"):

        def convert(one: Any) -> Any:
            return one.detach().cpu().numpy()
    elif _is_of(before, "jaxlib", "ArrayImpl") or _is_of(before, "jax", "Array"):
        convert = numpy.asarray
    elif _is_of(before, "pandas", "Series", "Index", "ExtensionArray"):
        if _is_of(before, "pandas", "Series") and not before.index.equals(now.index):
            return None
        convert = _pandas_array
    elif _is_of(before, "polars", "Series"):

        def convert(one: Any) -> Any:
            return one.to_numpy()
    else:
        return None
    try:
        return convert(before), convert(now)
    except Exception:  # a dtype that numpy has not
        return None


def _pandas_array(values: Any) -> Any:
    """A column as an array; extension types (nullable numbers, strings, categories) cell by cell."""
    dtype = getattr(values, "dtype", None)
    return values.to_numpy() if getattr(dtype, "kind", "O") in "biufcmM" else values.to_numpy(dtype=object)


def _as_columns(before: Any, now: Any) -> tuple[_Columns, _Columns] | None:
    """Both as columns, if they are frames or tables."""
    make: Callable[[Any], _Columns]
    if _is_of(before, "pandas", "DataFrame"):
        make = _pandas_columns
    elif _is_of(before, "polars", "DataFrame"):
        make = _polars_columns
    elif _is_of(before, "pyarrow", "Table", "RecordBatch"):
        make = _arrow_columns
    else:
        return None
    return make(before), make(now)


def _pandas_columns(frame: Any) -> _Columns:
    columns = {name: _pandas_array(frame.iloc[:, at]) for at, name in enumerate(frame.columns)}
    return _Columns({"index": _pandas_array(frame.index), **columns}, len(frame))


def _polars_columns(frame: Any) -> _Columns:
    return _Columns({name: _listed(frame[name].to_list()) for name in frame.columns}, frame.height)


def _arrow_columns(table: Any) -> _Columns:
    return _Columns({name: _listed(table.column(name).to_pylist()) for name in table.schema.names}, table.num_rows)


def _listed(values: list[Any]) -> Any:
    """A column's values as an array: of numbers where all are, else of objects."""
    import numpy

    made = numpy.empty(len(values), dtype=object)
    made[:] = values
    if all(type(one) in (int, float) for one in values):
        return made.astype(float)
    return made


def _state_of(value: Any) -> dict[str, Any] | None:
    """What an object is made of, by name: its attributes, else what pickle would store of it."""
    found: dict[str, Any] = {}
    for kind in type(value).__mro__:
        for name in _slots(kind):
            if hasattr(value, name):
                found[name] = getattr(value, name)
    if isinstance(own := getattr(value, "__dict__", None), dict):
        found.update(own)
    if found:
        return found
    if type(value).__module__ == "builtins":
        return None
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:  # any code may stand behind it
        return None
    if not isinstance(reduced, tuple):
        return None
    parts = {f"<{name}>": part for name, part in zip(("arguments", "state"), reduced[1:3], strict=False)}
    state = parts.pop("<state>", None)
    if isinstance(state, dict):
        parts.update({str(name): part for name, part in state.items()})
    elif state is not None:
        parts["<state>"] = state
    return {
        name: part for name, part in parts.items() if not (part is None or (type(part) is tuple and not part))
    } or None


def _slots(kind: type) -> Sequence[str]:
    slots = kind.__dict__.get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return [name for name in names if name not in ("__dict__", "__weakref__")]
