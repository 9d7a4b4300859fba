"""How picklers write columns of pyarrow and polars inside whatever holds them; both libraries alone would waste.

pyarrow writes the whole buffers that a slice points into; polars copies every column into the stream.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

#: A column whose buffers are larger than its values by this much is copied before it is written.
_SLACK = 64 * 1024
#: The types of polars that NumPy has too, with the same layout.
_NUMBERS = frozenset({"Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64"})


def reduce_chunked(column: Any) -> Any:
    """A ``pyarrow.ChunkedArray``, cut down to what it shows; types, chunks and values stay the same."""
    if column.get_total_buffer_size() > 2 * column.nbytes + _SLACK:
        pyarrow = sys.modules["pyarrow"]
        chunks = [pyarrow.concat_arrays([chunk]) for chunk in column.chunks]
        column = pyarrow.chunked_array(chunks, type=column.type)
    return column.__reduce__()


def reduce_series(series: Any) -> Any:
    """A ``polars.Series``: plain numbers without gaps as their own memory, all else as polars does it."""
    if str(series.dtype) in _NUMBERS and series.n_chunks() == 1 and not series.null_count():
        return restore_series, (series.name, series.to_numpy(allow_copy=False))
    return series.__reduce_ex__(5)


def reduce_frame(frame: Any) -> Any:
    """A ``polars.DataFrame`` as its columns, so that equal ones are stored once."""
    if not frame.width:
        return frame.__reduce_ex__(5)
    return restore_frame, (frame.get_columns(),)


def restore_frame(columns: list[Any]) -> Any:
    """A ``polars.DataFrame``. Stored pickles name this function."""
    import polars

    return polars.DataFrame(columns)


def restore_series(name: str, values: Any) -> Any:
    """A ``polars.Series`` of numbers. Stored pickles name this function."""
    import polars

    return polars.Series(name, values)
