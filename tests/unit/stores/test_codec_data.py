"""Arrays, frames, tables and models come back exactly, writable, and without detours through memory."""

from __future__ import annotations

import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pytest

from headrace.stores.artifacts.local import LocalStore
from headrace.stores.codecs import pack, preview, unpack


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def trip(value: Any, store: LocalStore) -> Any:
    packed = pack(value, store)
    assert pack(value, LocalStore(store.url)) == packed
    loaded = unpack(packed, store)
    # a library's first pickle may share dtypes and names otherwise than what is loaded from it; then it is fixed
    again = pack(loaded, store)
    assert pack(unpack(again, store), store).digest == again.digest
    return loaded


ARRAYS = {
    "float": np.arange(100_000.0),
    "small": np.arange(3, dtype="i2"),
    "fortran": np.asfortranarray(np.arange(60_000.0).reshape(200, 300)),
    "strided": np.arange(100_000)[::3],
    "negative": np.arange(100_000)[::-1],
    "transposed": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
    "scalar": np.array(5.0),
    "empty": np.zeros((0, 7)),
    "empty fortran": np.zeros((3, 0), order="F"),
    "bool": np.array([True, False]),
    "complex": np.array([1 + 2j]),
    "half": np.arange(5, dtype="f2"),
    "big endian": np.arange(9000, dtype=">i4"),
    "text": np.array(["a", "bcé"]),
    "no text": np.array(["", ""]),
    "bytes": np.array([b"a", b"bc"]),
    "times": np.array(["2024-01-01", "NaT"], "M8[ns]"),
    "many times": np.arange(20_000).astype("M8[s]"),
    "durations": np.arange(20_000).astype("m8[25us]"),
    "records": np.zeros(2000, dtype=[("a", "i4"), ("b", "f8", (2,))]),
    "objects": np.array([1, None, "x"], dtype=object),
    "metadata": np.zeros(3, dtype=np.dtype("f8", metadata={"unit": "m"})),
    "void": np.zeros(3, dtype="V8"),
    "read-only": np.broadcast_to(np.arange(5000.0), (3, 5000)),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("nested", (False, True))
def test_arrays(store: LocalStore, name: str, nested: bool) -> None:
    array = ARRAYS[name]
    loaded = trip({"x": array}, store)["x"] if nested else trip(array, store)
    assert nested or pack(loaded, store).digest == pack(array, store).digest
    assert type(loaded) is np.ndarray
    assert loaded.dtype == array.dtype
    assert loaded.dtype.metadata == array.dtype.metadata
    assert loaded.shape == array.shape
    np.testing.assert_array_equal(loaded, array)
    assert loaded.flags.writeable
    if loaded.size:
        loaded[...] = loaded
    if array.flags.f_contiguous and array.ndim > 1:
        assert loaded.flags.f_contiguous


def test_bits_of_nan_survive(store: LocalStore) -> None:
    bits = np.array([0x7FF8000000000001, 0xFFF8000000000002, 0x8000000000000000], dtype="u8")
    assert (trip(bits.view("f8"), store).view("u8") == bits).all()


def test_subclasses_keep_their_type(store: LocalStore) -> None:
    masked = np.ma.masked_array(np.arange(5000.0), mask=np.arange(5000) % 2)
    loaded: Any = unpack(pack(masked, store), store)
    assert type(loaded) is type(masked)
    assert (loaded.mask == masked.mask).all()
    memmap = np.memmap(Path(store.url) / "m", dtype="f8", mode="w+", shape=(2000,))
    memmap[:] = 7
    assert (np.asarray(trip(memmap, store)) == 7).all()


def test_a_loaded_array_is_the_mapped_file_and_private(store: LocalStore) -> None:
    packed = pack(np.zeros(100_000), store)
    first: Any = unpack(packed, store)
    first += 1
    assert (unpack(packed, store) == 0).all()  # type: ignore[attr-defined]
    assert pack(first, store).digest != packed.digest


def test_large_arrays_are_not_copied_into_the_stream(store: LocalStore) -> None:
    for array in (np.arange(100_000), np.arange(100_000)[::2], np.arange(100_000).astype("M8[s]")):
        packed = pack({"inner": [array]}, store)
        assert len(packed.inline) < 1000
        assert [blob.size for blob in packed.blobs] == [array.nbytes]


FRAMES = {
    "mixed": pd.DataFrame(
        {
            "f": [1.5, np.nan],
            "i": [1, 2],
            "s": ["a", None],
            "o": pd.Series([None, np.nan], dtype=object),
            "c": pd.Categorical(["x", "y"], ordered=True, categories=["y", "x", "z"]),
            "t": pd.to_datetime(["2024-01-01", None]),
            "z": pd.to_datetime(["2024-01-01", "2024-07-01"]).tz_localize("Europe/Berlin"),
            "d": pd.to_timedelta([1, 2], "s"),
            "I": pd.array([1, None], dtype="Int64"),
            "B": pd.array([True, None], dtype="boolean"),
            "S": pd.array(["a", None], dtype="string"),
            "p": pd.period_range("2024", periods=2, freq="M"),
            "v": pd.interval_range(0, 2),
            "b": [b"x", b"y"],
            "l": [[1], {"a": 2}],
        }
    ),
    "multi index": pd.DataFrame(
        np.arange(6).reshape(2, 3),
        index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["k", None]),
        columns=pd.Index(["x", "x", 3], name="cols"),
    ),
    "range index": pd.DataFrame({"a": np.arange(5000.0)}, index=pd.RangeIndex(10, 15_010, 3)),
    "empty": pd.DataFrame(),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="int8"), "b": pd.Series([], dtype="datetime64[ms]")}),
    "sparse": pd.DataFrame({"a": pd.arrays.SparseArray([0, 0, 1])}),
    "arrow": pd.DataFrame({"a": pd.array([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64())))}),
    "numbers in objects": pd.DataFrame({"a": pd.Series([1, 1.0, True, "1"], dtype=object)}),
    "long": pd.DataFrame({"x": np.arange(50_000.0), "s": [f"item-{number}" for number in range(50_000)]}),
    "slice": pd.DataFrame({"x": np.arange(50_000.0), "y": np.arange(50_000.0)}).iloc[100:30_000:2],
}


@pytest.mark.parametrize("name", FRAMES)
def test_pandas_frames(store: LocalStore, name: str) -> None:
    frame = FRAMES[name].copy()
    frame.attrs["source"] = {"made": "here"}
    loaded = trip(frame, store)
    pd.testing.assert_frame_equal(loaded, frame, check_freq=True, check_flags=True, check_exact=True)
    assert loaded.attrs == frame.attrs
    assert list(map(str, loaded.dtypes)) == list(map(str, frame.dtypes))
    assert type(loaded.index) is type(frame.index)
    if len(loaded):
        loaded["new"] = 1
        if name not in ("arrow", "sparse"):  # which pandas itself cannot assign this to
            loaded.iloc[0, 0] = frame.iloc[0, 0]
    for column in range(frame.shape[1]):
        if frame.dtypes.iloc[column].kind == "O":
            kinds = [type(item) for item in frame.iloc[:, column]]
            assert [type(item) for item in loaded.iloc[:, column]] == kinds


def test_pandas_series_and_index(store: LocalStore) -> None:
    series = pd.Series(np.arange(5000.0), name=("a", 1), index=pd.date_range("2024", periods=5000, freq="h"))
    pd.testing.assert_series_equal(trip(series, store), series, check_freq=True)
    index = pd.Index(["a", "b"], name="n")
    pd.testing.assert_index_equal(trip(index, store), index)


def test_frames_that_share_columns_share_blobs(store: LocalStore) -> None:
    column = np.arange(50_000.0)
    first = pack(pd.DataFrame({"a": column}), store)
    second = pack({"again": pd.DataFrame({"b": column})}, store)
    assert {blob.digest for blob in first.blobs} & {blob.digest for blob in second.blobs}


def test_polars(store: LocalStore) -> None:
    frame = pl.DataFrame(
        {
            "f": [1.5, float("nan"), None],
            "s": ["a", None, ""],
            "c": pl.Series(["x", "y", "x"], dtype=pl.Categorical),
            "e": pl.Series(["x", "y", "x"], dtype=pl.Enum(["y", "x"])),
            "l": [[1], [], None],
            "st": [{"a": 1}, {"a": None}, {"a": 3}],
            "d": pl.Series([1, 2, None], dtype=pl.Datetime("ns", "Europe/Berlin")),
            "n": [None, None, None],
            "dec": pl.Series(["1.10", "2", None]).cast(pl.Decimal(10, 2)),
            "i8": pl.Series([1, 2, 3], dtype=pl.Int8),
        }
    )
    loaded = trip(frame, store)
    polars.testing.assert_frame_equal(loaded, frame)
    assert loaded.schema == frame.schema
    polars.testing.assert_series_equal(trip(frame["e"], store), frame["e"])
    large = pl.DataFrame({"x": np.arange(100_000.0), "y": np.arange(100_000, dtype="u1"), "s": ["a"] * 100_000})
    loaded = trip(large, store)
    polars.testing.assert_frame_equal(loaded, large)
    assert loaded.schema == large.schema
    assert [blob.size for blob in pack(large.select("x", "y"), store).blobs] == [800_000, 100_000]
    loaded[0, "x"] = 5.0
    polars.testing.assert_frame_equal(trip(large[5:10], store), large[5:10])
    pieces = pl.concat([large, large], rechunk=False)
    polars.testing.assert_frame_equal(trip(pieces, store), pieces)


NUMBERS = [pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64]


@pytest.mark.parametrize("dtype", [*NUMBERS, pl.Float32, pl.Float64, pl.Decimal(10, 2)], ids=str)
def test_polars_numbers(store: LocalStore, dtype: Any) -> None:
    for values in ([1, 2, 3], [1, None, 3], []):
        series = pl.Series("n", values).cast(dtype)
        loaded = trip(series, store)
        assert loaded.dtype == series.dtype
        polars.testing.assert_series_equal(loaded, series)


def test_arrow(store: LocalStore) -> None:
    table = pa.table(
        {"a": pa.chunked_array([[1], [2, None]]), "d": pa.array(["x", None, "x"]).dictionary_encode()},
        metadata={"k": "v"},
    )
    loaded = trip(table, store)
    assert loaded.equals(table, check_metadata=True)
    assert loaded.column("a").num_chunks == 2
    large = pa.table({"x": np.arange(100_000.0)})
    packed = pack(large, store)
    assert len(packed.inline) < 2000
    assert unpack(packed, store) == large


ARROW: dict[str, Any] = {
    "numbers": pa.table({"a": [1, None], "b": [1.5, float("nan")]}, metadata={"k": "v"}),
    "chunks": pa.table({"a": pa.chunked_array([[1], [], [2, None]]), "b": pa.chunked_array([["x"], [], ["y", None]])}),
    "no rows": pa.table({"a": pa.array([], pa.int8())}),
    "no chunks": pa.schema([pa.field("a", pa.string(), nullable=False, metadata={"u": "m"})]).empty_table(),
    "same names": pa.Table.from_arrays([pa.array([1]), pa.array(["x"])], names=["a", "a"]),
    "dictionary": pa.table({"d": pa.array(["x", None, "x"]).dictionary_encode()}),
    "nested": pa.table({"l": [[{"a": 1}], None], "s": [{"b": [1, None]}, {"b": None}]}),
    "times": pa.table(
        {
            "t": pa.array([1, None], pa.timestamp("ns", "Europe/Berlin")),
            "d": pa.array([1, None], pa.duration("us")),
            "m": pa.array([decimal.Decimal("1.10"), None]),
            "n": pa.nulls(2),
            "b": pa.array([b"ab", None], pa.binary(2)),
            "h": pa.array([1, None], pa.float16()),
        }
    ),
    "batch": pa.record_batch({"a": [1, None], "s": ["x", None]}),
    "part of a batch": pa.record_batch({"a": np.arange(10_000), "s": ["x", None] * 5000}).slice(7, 8000),
}


def chunk_lengths(table: Any) -> list[list[int]]:
    return [[len(chunk) for chunk in column.chunks] for column in table.columns] if type(table) is pa.Table else []


@pytest.mark.parametrize("name", ARROW)
@pytest.mark.parametrize("rows", (1, 2000))
def test_arrow_streams(store: LocalStore, name: str, rows: int) -> None:
    value = ARROW[name]
    if rows > 1 and type(value) is pa.Table and len(value):
        value = pa.concat_tables([value.combine_chunks()] * rows).combine_chunks() if name != "chunks" else value
    packed = pack(value, store)
    assert packed.codec == "arrow"
    loaded = trip(value, store)
    assert type(loaded) is type(value)
    assert loaded.equals(value, check_metadata=True) or name in ("numbers", "times")  # NaN is not equal to itself
    assert str(loaded.to_pydict()) == str(value.to_pydict())
    assert loaded.schema.equals(value.schema, check_metadata=True)
    assert chunk_lengths(loaded) == chunk_lengths(value)
    loaded.validate(full=True)
    if packed.blobs:  # anybody can read it
        assert pa.ipc.open_stream(store.get(packed.blobs[0])).read_all().num_rows == len(value)


def test_what_an_arrow_stream_would_not_keep_is_pickled(store: LocalStore) -> None:
    one, other = pa.array(["x"]).dictionary_encode(), pa.array(["y"]).dictionary_encode()
    odd = [
        pa.table({"a": pa.chunked_array([[1], [2]]), "b": pa.chunked_array([[1, 2]])}),
        pa.table({"a": pa.chunked_array([one, other])}),
        pa.table({}),
        pa.table(
            {"a": pa.array([1, 1, 2]).cast(pa.int32()), "e": pa.ExtensionArray.from_storage(pa.uuid(), _uuids(3))}
        ),
        pa.table({"a": pa.array(["x"], pa.string_view())}),
        pa.table({"a": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))}),
    ]
    for value in odd:
        assert pack(value, store).codec == "pickle-canonical"
        loaded = trip(value, store)
        assert loaded.equals(value, check_metadata=True)
        assert chunk_lengths(loaded) == chunk_lengths(value)


def _uuids(count: int) -> Any:
    return pa.array([bytes(16)] * count, pa.binary(16))


def test_a_slice_of_a_table_is_stored_without_the_rest(store: LocalStore) -> None:
    numbers = np.arange(100_000)
    table = pa.table(
        {
            "n": numbers,
            "s": [str(number) for number in numbers],
            "l": [[number, None] for number in numbers],
            "d": pa.array(["x", None] * 50_000).dictionary_encode(),
        }
    )
    part = table.slice(50_001, 10)
    packed = pack({"part": part}, store)
    assert packed.size < 10_000
    loaded = trip(part, store)
    assert loaded.equals(part, check_metadata=True)
    assert loaded.schema == part.schema


def test_scikit_learn(store: LocalStore) -> None:
    from sklearn.ensemble import RandomForestClassifier

    inputs = np.random.default_rng(0).random((200, 5))
    model = RandomForestClassifier(5, random_state=0).fit(inputs, inputs[:, 0] > 0.5)
    loaded = trip(model, store)
    assert (loaded.predict(inputs) == model.predict(inputs)).all()
    assert preview(model).text == "RandomForestClassifier(n_estimators=5, random_state=0)"


def test_previews_of_data() -> None:
    shown = preview(np.arange(6.0).reshape(2, 3))
    assert dict(shown.facts) == {
        "shape": "(2, 3)",
        "dtype": "float64",
        "size": "48 bytes",
        "min": "0",
        "max": "5",
        "mean": "2.5",
    }
    assert shown.text == "float64 (2, 3): [[0., 1., 2.], [3., 4., 5.]]"
    assert preview(np.zeros((569, 30))).text == "float64 (569, 30)"
    frame = pd.DataFrame({"a": range(10), "b": list("abcdefghij")})
    shown = preview(frame)
    assert shown.type == "pandas.DataFrame"
    assert shown.text == "DataFrame 10 x 2"
    assert preview(frame["a"]).text == "Series 10 x int64"
    assert preview(pl.DataFrame({"a": [1]})).text == "DataFrame 1 x 1"
    assert preview(pa.table({"a": [1]})).text == "Table 1 x 1"
    assert (
        preview({"x": np.zeros((3, 4)), "f": frame}).text == "{'x': <ndarray float64 (3, 4)>, 'f': <DataFrame 10 x 2>}"
    )
    assert shown.table[0] == ("", "a", "b")
    assert shown.table[1] == ("0", "0", "a")
    assert len(shown.table) == 6
    assert ("shape", "(10, 2)") in shown.facts
    assert preview(frame["a"]).table[1] == ("0", "0")
    assert preview(pl.DataFrame({"a": [1]})).table == (("a",), ("1",))
    assert preview(pa.table({"a": [1]})).table == (("a",), ("1",))
    for odd in [*ARRAYS.values(), *FRAMES.values(), pl.DataFrame(), pa.table({})]:
        assert "no preview" not in preview(odd).text


def test_preview_of_a_figure() -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(20, 10))
    axes = figure.subplots()
    axes.plot([1, 2])
    axes.set_title("loss")
    shown = preview(figure)
    assert shown.type == "matplotlib.figure.Figure"
    assert shown.text == "Figure of 1 axes: loss"
    assert shown.png.startswith(b"\x89PNG")
    assert len(shown.png) < 100_000
