"""How picklers write pandas objects: as arrays and what they mean, so that another version of pandas can read them.

pandas itself pickles its internals, which differ between versions. Here a frame is its blocks (each the columns that it
stands for and one array), its two indexes and its attributes; strings of Arrow are offsets and bytes, so that they need
no pyarrow to be read. Frames come back as they were, over the memory of the stored arrays. What is not known here
(subclasses, periods, intervals, frequencies of one's own) is written as pandas does it.

Between versions: the strings of pandas 3 (dtype ``str``) are objects in older ones, and columns of objects that were
made there and hold nothing but text are ``str`` in pandas 3; times of pandas 1 are nanoseconds.

Stored pickles name the functions ``restore_...``.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Reducer = Callable[[Any], Any]

#: Types that have a reducer here, for the pandas that is loaded.
_table: dict[type, Reducer] = {}
#: (data, offsets, whether each is there or None for all) of one chunk; of a small one its texts.
Chunk = tuple[Any, Any, Any] | list[Any]
#: Texts of up to so many bytes are cheaper as such.
_SMALL = 4096


def reducers() -> dict[type, Reducer]:
    """The reducers of all types of pandas that have one; none while pandas is not loaded."""
    if not _table:
        pandas: Any = sys.modules.get("pandas")
        if not hasattr(pandas, "MultiIndex") or not hasattr(pandas, "arrays"):  # not loaded, or not quite
            return {}
        found = {
            pandas.DataFrame: reduce_frame,
            pandas.Series: reduce_series,
            pandas.RangeIndex: reduce_range,
            pandas.MultiIndex: reduce_multi,
            pandas.Index: reduce_index,
            pandas.CategoricalIndex: reduce_index,
            pandas.DatetimeIndex: reduce_times_index,
            pandas.TimedeltaIndex: reduce_times_index,
            pandas.Categorical: reduce_categorical,
        }
        for name, reduce in _ARRAYS.items():
            if hasattr(pandas.arrays, name):
                found[getattr(pandas.arrays, name)] = reduce
        for name in ("Int64Index", "UInt64Index", "Float64Index"):
            kind = getattr(sys.modules.get("pandas.core.indexes.numeric"), name, None)  # of pandas 1
            if isinstance(kind, type):
                found[kind] = reduce_index
        _table.update(found)
    return _table


def _major() -> int:
    return int(sys.modules["pandas"].__version__.partition(".")[0])


# --- frames and series ---------------------------------------------------------------------------------------------


def reduce_frame(frame: Any) -> Any:
    """A ``DataFrame``, block by block."""
    manager = frame._mgr
    if type(manager).__name__ != "BlockManager":
        return frame.__reduce_ex__(5)
    blocks = [(_places_of(block.mgr_locs), _bare(block.values)) for block in manager.blocks]
    more = _attributes(frame)
    return restore_frame, (_major(), blocks, frame.index, frame.columns, *([more] if more else []))


def _places_of(places: Any) -> Any:
    """The numbers of a block's columns: first, end and step where these say all."""
    found = places.indexer
    return (found.start, found.stop, found.step) if isinstance(found, slice) else places.as_array


def restore_frame(
    major: int, blocks: list[tuple[Any, Any]], index: Any, columns: Any, attributes: tuple[Any, bool] | None = None
) -> Any:
    """A ``DataFrame`` over the memory of its blocks, which pandas ``major`` wrote."""
    import numpy as np
    import pandas as pd

    here = _major()
    made = []
    for given_places, given in blocks:
        places, values = np.arange(*given_places) if isinstance(given_places, tuple) else given_places, given
        if major < 3 <= here and isinstance(values, np.ndarray) and values.dtype == object:
            texts, others = _split_texts(values, places)
            made += texts
            if others is None:
                continue
            places, values = others[0], others[1]
        if isinstance(values, np.ndarray):
            values = _times_for(values.reshape(1, -1) if values.ndim == 1 else values, here)
        made.append((values, places))
    frame = _from_blocks(pd, made, index, columns)
    return _with_attributes(frame, attributes)


def _from_blocks(pd: Any, blocks: list[tuple[Any, Any]], index: Any, columns: Any) -> Any:
    if _major() >= 3:
        from pandas.api.internals import create_dataframe_from_blocks

        return create_dataframe_from_blocks(blocks, index=index, columns=columns)
    from pandas.core.internals import BlockManager, make_block

    made = tuple([make_block(values, placement=places, ndim=2) for values, places in blocks])
    manager = BlockManager(made, [columns, index])
    make = getattr(pd.DataFrame, "_from_mgr", None)
    return pd.DataFrame(manager) if make is None else make(manager, manager.axes)


def reduce_series(series: Any) -> Any:
    """A ``Series``: values, index, name."""
    more = _attributes(series)
    values = _bare(series._values)
    return restore_series, (_major(), values, series.index, series.name, *([more] if more else []))


def restore_series(major: int, values: Any, index: Any, name: Any, attributes: tuple[Any, bool] | None = None) -> Any:
    """A ``Series`` over the memory of its values."""
    import pandas as pd

    values = _value_for(values, major)
    return _with_attributes(pd.Series(values, index=index, name=name, dtype=values.dtype, copy=False), attributes)


def _attributes(thing: Any) -> tuple[Any, bool] | None:
    duplicates = thing.flags.allows_duplicate_labels
    return (thing.attrs, duplicates) if thing.attrs or not duplicates else None


def _with_attributes(thing: Any, attributes: tuple[Any, bool] | None) -> Any:
    if attributes is not None:
        thing.attrs, thing.flags.allows_duplicate_labels = attributes
    return thing


# --- indexes -------------------------------------------------------------------------------------------------------


def reduce_range(index: Any) -> Any:
    """A ``RangeIndex``."""
    return restore_range, (index.start, index.stop, index.step, index.name)


def restore_range(start: int, stop: int, step: int, name: Any) -> Any:
    """A ``RangeIndex``."""
    import pandas as pd

    return pd.RangeIndex(start, stop, step, name=name)


def reduce_index(index: Any) -> Any:
    """An index that is its values and a name."""
    return restore_index, (_major(), _bare(index._values), index.name)


def restore_index(major: int, values: Any, name: Any) -> Any:
    """An index that is its values and a name."""
    import pandas as pd

    values = _value_for(values, major)
    if isinstance(values, pd.Categorical):
        return pd.CategoricalIndex(values, name=name)
    return pd.Index(values, dtype=values.dtype, name=name, copy=False)


def reduce_multi(index: Any) -> Any:
    """A ``MultiIndex``: levels, codes, names."""
    return restore_multi, (list(index.levels), [*map(_writable, index.codes)], list(index.names))


def restore_multi(levels: list[Any], codes: list[Any], names: list[Any]) -> Any:
    """A ``MultiIndex``."""
    import pandas as pd

    return pd.MultiIndex(levels=levels, codes=codes, names=names, verify_integrity=False)


def reduce_times_index(index: Any) -> Any:
    """A ``DatetimeIndex`` or ``TimedeltaIndex``, with its frequency where that is a name."""
    freq = index.freqstr if index.freq is not None else None
    if freq is not None and not _is_name_of(freq, index.freq):
        return index.__reduce_ex__(5)
    return restore_times_index, (index._data._ndarray, getattr(index, "tz", None), freq, index.name)


def restore_times_index(values: Any, zone: Any, freq: str | None, name: Any) -> Any:
    """A ``DatetimeIndex`` or ``TimedeltaIndex``."""
    import pandas as pd

    values = _times_for(values, _major())
    kind = pd.DatetimeIndex if values.dtype.kind == "M" else pd.TimedeltaIndex
    if zone is not None:
        index: Any = pd.DatetimeIndex(restore_times_array(values, zone), name=name)
    else:
        index = kind(values, name=name)
    for one in (freq, *_OTHER_NAMES.get(freq or "", ())):
        try:
            index.freq = one
            break
        except ValueError:  # another version has another name for it, or none
            continue
    return index


#: What versions of pandas before and since 2.2 call the same.
_OTHER_NAMES: dict[str, tuple[str, ...]] = {
    **{new: (old,) for old, new in (("M", "ME"), ("Q-DEC", "QE-DEC"), ("A-DEC", "YE-DEC"), ("H", "h"), ("T", "min"))},
    **{old: (new,) for old, new in (("M", "ME"), ("Q-DEC", "QE-DEC"), ("A-DEC", "YE-DEC"), ("H", "h"), ("T", "min"))},
    "S": ("s",),
    "s": ("S",),
    "L": ("ms",),
    "ms": ("L",),
    "U": ("us",),
    "us": ("U",),
    "N": ("ns",),
    "ns": ("N",),
}


def _is_name_of(freq: str, offset: Any) -> bool:
    from pandas.tseries.frequencies import to_offset

    try:
        return bool(to_offset(freq) == offset)
    except ValueError:
        return False


# --- arrays --------------------------------------------------------------------------------------------------------


def reduce_categorical(array: Any) -> Any:
    """A ``Categorical``: codes, categories, whether they are ordered."""
    return restore_categorical, (_writable(array.codes), array.categories, array.ordered)


def restore_categorical(codes: Any, categories: Any, ordered: bool | None) -> Any:
    """A ``Categorical``."""
    import pandas as pd

    return pd.Categorical.from_codes(codes, categories=categories, ordered=ordered)


def reduce_times_array(array: Any) -> Any:
    """A ``DatetimeArray`` or ``TimedeltaArray``; times without a zone are arrays of numpy already."""
    freq = getattr(array, "freq", None)  # until pandas 3 arrays had one too
    if freq is not None and not _is_name_of(freq.freqstr, freq):
        return array.__reduce_ex__(5)
    zone = getattr(array, "tz", None)
    return restore_times_array, (array._ndarray, zone, *([] if freq is None else [freq.freqstr]))


def restore_times_array(values: Any, zone: Any, freq: str | None = None) -> Any:
    """A ``DatetimeArray`` or ``TimedeltaArray``."""
    import numpy as np
    import pandas as pd

    values = _times_for(values, _major())
    unit = np.datetime_data(values.dtype)[0]
    kind: Any = pd.arrays.DatetimeArray if values.dtype.kind == "M" else pd.arrays.TimedeltaArray
    dtype = values.dtype if zone is None else pd.DatetimeTZDtype(unit=unit, tz=zone)
    array = kind._simple_new(values, dtype=dtype)
    if freq is not None:
        array._freq = pd.tseries.frequencies.to_offset(freq)
    return array


def reduce_masked(array: Any) -> Any:
    """Numbers or truth values that may be missing: ``Int64``, ``boolean``."""
    return restore_masked, (type(array).__name__, array._data, array._mask)


def restore_masked(kind: str, data: Any, mask: Any) -> Any:
    """Numbers or truth values that may be missing."""
    import pandas as pd

    return getattr(pd.arrays, kind)(data, mask)


def reduce_strings(array: Any) -> Any:
    """Strings: those of Arrow as offsets and bytes."""
    dtype = array.dtype
    missing_is_nan = isinstance(getattr(dtype, "na_value", None), float)
    storage = "" if missing_is_nan and dtype.storage == _usual_storage() else dtype.storage
    if dtype.storage == "python":
        return restore_strings, (array._ndarray, storage, missing_is_nan)
    column = getattr(array, "_pa_array", None)
    if column is None:
        return array.__reduce_ex__(5)
    return restore_strings, ([_chunk_of(one) for one in column.chunks], storage, missing_is_nan)


@functools.cache
def _usual_storage() -> str:
    """Where pandas 3 keeps strings by default, which depends on whether there is pyarrow."""
    import pandas as pd

    return str(pd.StringDtype(na_value=float("nan")).storage) if _major() >= 3 else ""


def _chunk_of(chunk: Any) -> Chunk:
    import numpy as np

    kind = np.dtype("i8" if str(chunk.type) == "large_string" else "i4")
    if chunk.nbytes <= _SMALL:
        return chunk.to_pylist()  # type: ignore[no-any-return]
    _, offsets, data = chunk.buffers()
    if offsets is None or not len(chunk):
        return b"", np.zeros(1, kind), None
    places = np.frombuffer(offsets, kind)[chunk.offset : chunk.offset + len(chunk) + 1]
    first, last = int(places[0]), int(places[-1])
    texts = np.frombuffer(data, np.uint8)[first:last] if data is not None else np.zeros(0, np.uint8)
    valid = chunk.is_valid().to_numpy(zero_copy_only=False) if chunk.null_count else None
    return texts, places - first if first else places, valid


def restore_strings(values: Any, storage: str, missing_is_nan: bool) -> Any:
    """Strings, over the memory of their bytes where pyarrow is at hand. No ``storage``: the usual one."""
    import pandas as pd

    here = _major()
    if isinstance(values, list):
        arrow = _arrow() if here >= 3 or not missing_is_nan else None
        if arrow is not None:
            column = arrow.chunked_array([_to_arrow(arrow, one) for one in values], type=arrow.large_string())
            dtype = pd.StringDtype("pyarrow", na_value=float("nan")) if missing_is_nan else pd.StringDtype("pyarrow")
            made: Any = pd.arrays.ArrowStringArray
            return made(column, dtype=dtype) if here >= 3 else made(column)
        values, storage = _texts_of(values, float("nan") if missing_is_nan else pd.NA), "python"
    if here >= 3:
        storage = storage or _usual_storage()
        dtype = pd.StringDtype(storage, na_value=float("nan")) if missing_is_nan else pd.StringDtype(storage)
        return pd.array(values, dtype=dtype, copy=False)
    return values if missing_is_nan else pd.array(values, dtype="string")


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        return None
    return pyarrow


def _to_arrow(arrow: Any, chunk: Chunk) -> Any:
    if isinstance(chunk, list):
        return arrow.array(chunk, arrow.large_string())
    texts, places, valid = chunk
    mask = None if valid is None else arrow.array(valid).buffers()[1]
    kind = arrow.large_string() if places.dtype.itemsize == 8 else arrow.string()
    buffers = [mask, arrow.py_buffer(places), arrow.py_buffer(texts)]
    made = arrow.Array.from_buffers(kind, len(places) - 1, buffers)
    return made if places.dtype.itemsize == 8 else made.cast(arrow.large_string())


def _texts_of(chunks: list[Chunk], missing: object) -> Any:
    import numpy as np

    found: list[object] = []
    for chunk in chunks:
        if isinstance(chunk, list):
            found += [missing if one is None else one for one in chunk]
            continue
        texts, places, valid = chunk
        data, ends = bytes(texts), places.tolist()
        part: list[object] = [data[start:end].decode() for start, end in itertools.pairwise(ends)]
        if valid is not None:
            part = [one if there else missing for one, there in zip(part, valid.tolist(), strict=True)]
        found += part
    array = np.empty(len(found), object)
    array[:] = found
    return array


def reduce_arrow(array: Any) -> Any:
    """A column that is one of Arrow's."""
    return restore_arrow, (array._pa_array,)


def restore_arrow(column: Any) -> Any:
    """A column that is one of Arrow's."""
    import pandas as pd

    return pd.arrays.ArrowExtensionArray(column)


_ARRAYS: dict[str, Callable[[Any], Any]] = {
    "DatetimeArray": reduce_times_array,
    "TimedeltaArray": reduce_times_array,
    "IntegerArray": reduce_masked,
    "FloatingArray": reduce_masked,
    "BooleanArray": reduce_masked,
    "StringArray": reduce_strings,
    "ArrowStringArray": reduce_strings,
    "ArrowExtensionArray": reduce_arrow,
}


# --- values --------------------------------------------------------------------------------------------------------


def _bare(values: Any) -> Any:
    """Times without a zone, and their differences, as arrays of numpy; arrays of numpy in pandas's clothes as these."""
    kind = type(values).__name__
    if kind in ("DatetimeArray", "TimedeltaArray") and getattr(values, "tz", None) is None:
        return values._ndarray if getattr(values, "freq", None) is None else values
    return values


def _value_for(values: Any, major: int) -> Any:
    """A one-dimensional array as the pandas here has it, where pandas ``major`` wrote it."""
    import numpy as np

    if isinstance(values, np.ndarray):
        if major < 3 <= _major() and values.dtype == object:
            return _texts_or(values)
        return _times_for(values, _major())
    return values


def _times_for(values: Any, major: int) -> Any:
    """Times in a unit that pandas ``major`` knows.

    Raises:
        OutOfBoundsDatetime: they do not fit.
    """
    if major >= 2 or values.dtype.kind not in "mM" or values.dtype.str.endswith("[ns]"):
        return values
    import numpy as np
    import pandas as pd

    exact = values.astype(f"{values.dtype.kind}8[ns]")
    if not np.array_equal(exact.astype(values.dtype), values, equal_nan=True):
        raise pd.errors.OutOfBoundsDatetime(
            f"times of unit {np.datetime_data(values.dtype)[0]} are out of the range of pandas {pd.__version__}, which "
            "has nanoseconds alone (the years 1678 to 2262)"
        )
    return exact


def _split_texts(values: Any, places: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, Any] | None]:
    """Rows of a block of objects that hold nothing but text, each as a column of strings, and the rest."""
    rows = values.reshape(1, -1) if values.ndim == 1 else values
    made = [_texts_or(row) for row in rows]
    texts = [(one, places[at : at + 1]) for at, one in enumerate(made) if one is not rows[at] and one.dtype != object]
    if not texts:
        return [], (places, values)
    left = [at for at, one in enumerate(made) if one.dtype == object]
    return texts, (places[left], rows[left]) if left else None


def _texts_or(values: Any) -> Any:
    """``values`` as strings of pandas 3, where they hold nothing but text, else as they are."""
    import pandas as pd

    if not len(values) or pd.api.types.infer_dtype(values, skipna=True) != "string":
        return values
    return pd.array(values, dtype="str")


def _writable(values: Any) -> Any:
    """A view of ``values`` that may be written to by who loads it: pandas gives out views that may not."""
    return values.view() if values.flags.writeable else values.copy()
