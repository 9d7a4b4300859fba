"""Tables and record batches of pyarrow as Arrow IPC streams: any language reads them, and nothing is unpickled.

Only what a stream keeps exactly is written so, chunks included. Extension types, unions and dictionaries that differ
between chunks are left to pickle. The buffers are written from where they lie and mapped back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.stores.artifacts.protocol import Buffer

if TYPE_CHECKING:
    from typing import Any


class _Parts:
    """A file that keeps what is written to it, in pieces."""

    closed = False

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.write = self.parts.append

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """The pieces stay."""


def encode_table(value: Any) -> tuple[bytes, list[Buffer]] | None:
    """A header of Headrace, and the parts of an Arrow stream; ``None`` if that would not give back exactly
    ``value``."""
    import pyarrow as pa

    kind = type(value)
    if kind is pa.RecordBatch:
        batches = [value]
    elif kind is pa.Table:
        columns = value.columns
        lengths = [[len(chunk) for chunk in column.chunks] for column in columns]
        if not columns or any(other != lengths[0] for other in lengths[1:]):
            return None
        batches = [
            pa.RecordBatch.from_arrays([column.chunk(place) for column in columns], schema=value.schema)
            for place in range(len(lengths[0]))
        ]
    else:
        return None
    if not all(_is_kept(field.type, len(batches)) for field in value.schema):
        return None
    sink = _Parts()
    with pa.ipc.new_stream(pa.PythonFile(sink, "w"), value.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return kind.__name__.encode() + b"\n", [memoryview(part).cast("B") for part in sink.parts]


def _is_kept(kind: Any, batches: int) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return batches == 1 and _is_kept(kind.value_type, batches)
    if types.is_struct(kind) or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return all(_is_kept(kind.field(place).type, batches) for place in range(kind.num_fields))
    return any(test(kind) for test in _plain_tests(types))


def _plain_tests(types: Any) -> Sequence[Any]:
    return (
        types.is_primitive,  # numbers, booleans, dates, times, durations
        types.is_string,
        types.is_large_string,
        types.is_binary,
        types.is_large_binary,
        types.is_fixed_size_binary,
        types.is_decimal128,
        types.is_decimal256,
        types.is_null,
    )


def decode_table(header: bytes, data: memoryview) -> object:
    """What ``encode_table`` was given, over the memory of ``data``."""
    import pyarrow as pa

    reader = pa.ipc.open_stream(pa.py_buffer(data))
    return reader.read_next_batch() if header == b"RecordBatch\n" else reader.read_all()
