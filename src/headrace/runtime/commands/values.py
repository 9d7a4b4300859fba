"""Values of inputs as files and texts for a command, and what it wrote as values again, type by type."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from headrace._base.attributes import on_type, own
from headrace.stores.codecs.files import File, Folder

#: Endings of files that Headrace names, so that programs know the format by it.
ENDINGS = {"json": ".json", "text": ".txt", "csv": ".csv", "arrow": ".arrow", "frame": ".arrow"}
_TRUE, _FALSE = ("true", "1", "yes", "TRUE", "True", "T"), ("false", "0", "no", "FALSE", "False", "F")
#: Characters of a wrong text that an error shows.
_SHOWN = 60


def to_text(kind: str, value: Any) -> str:
    """The text of a scalar input on a command line.

    Raises:
        ValueError: the value is not of that type; the message says what it is.
    """
    if own(value, "ndim") == 0 and callable(own(value, "item")):
        value = value.item()  # of numpy or torch
    if kind == "str" and isinstance(value, (str, os.PathLike)):
        text = os.fspath(value)
    elif kind == "bool" and isinstance(value, bool):
        text = "true" if value else "false"
    elif kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    elif kind == "float" and isinstance(value, (int, float)) and not isinstance(value, bool):
        text = repr(float(value))
    else:
        raise ValueError(_is_not(kind, value))
    if "\0" in text:
        raise ValueError("it holds a NUL character, which no command line can")
    return str(text)


def write(kind: str, value: Any, path: Path) -> None:
    """Write an input to ``path``.

    Raises:
        ValueError: the value is not of that type; the message says what it is.
    """
    _WRITERS[kind](value, path)


def read(kind: str, path: Path) -> Any:
    """Read an output from ``path``.

    Raises:
        ValueError: what is there is not of that type; the message says what is wrong.
    """
    return _READERS[kind](path)


def _is_not(kind: str, value: Any) -> str:
    return f"it is declared as {kind}, but the value is a {type(value).__name__}: {repr(value)[:_SHOWN]}"


# --- writing ----------------------------------------------------------------------------------------------------


def _write_scalar(kind: str) -> Callable[[Any, Path], None]:
    def write_it(value: Any, path: Path) -> None:
        path.write_text(to_text(kind, value), encoding="utf-8")

    return write_it


def _write_json(value: Any, path: Path) -> None:
    try:
        path.write_bytes(msgspec.json.encode(value, enc_hook=_plain))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise ValueError(f"it is declared as json, but the {type(value).__name__} has no JSON: {error}") from None


def _plain(value: Any) -> Any:
    """What JSON takes in place of an object of NumPy, pandas, polars or Arrow."""
    if on_type(value, "to_dicts") is not None:  # a frame of polars
        return value.to_dicts()
    if on_type(value, "to_pylist") is not None:
        return value.to_pylist()
    if on_type(value, "to_dict") is not None and own(value, "columns") is not None:
        return value.to_dict(orient="records")
    if on_type(value, "tolist") is not None:
        return value.tolist()
    if on_type(value, "__fspath__") is not None:
        return os.fspath(value)
    raise TypeError(f"objects of type {type(value).__qualname__}")


def _write_text(value: Any, path: Path) -> None:
    if not isinstance(value, str):
        raise ValueError(_is_not("text", value))
    path.write_bytes(value.encode())


def _write_csv(value: Any, path: Path) -> None:
    if on_type(value, "to_csv") is not None:
        value.to_csv(path, index=False)
    elif on_type(value, "write_csv") is not None:
        value.write_csv(path)
    else:
        import pyarrow.csv

        pyarrow.csv.write_csv(_table(value), path)


def _write_arrow(value: Any, path: Path) -> None:
    import pyarrow as pa

    table = _table(value)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _table(value: Any) -> Any:
    """``value`` as a table of Arrow: a frame, a table, a dictionary of columns or a list of rows."""
    import pyarrow as pa

    try:
        if isinstance(value, pa.Table):
            return value
        if isinstance(value, pa.RecordBatch):
            return pa.Table.from_batches([value])
        if on_type(value, "to_arrow") is not None:
            return value.to_arrow()
        if isinstance(value, dict):
            return pa.table(value)
        if isinstance(value, list):
            return pa.Table.from_pylist(value)
        if own(value, "columns") is not None:
            return pa.Table.from_pandas(value)
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"the {type(value).__name__} cannot be written as a table: {error}") from None
    raise ValueError(_is_not("a table", value))


# --- reading ----------------------------------------------------------------------------------------------------


def _read_json(path: Path) -> Any:
    data = path.read_bytes()
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ValueError(f"it is not JSON: {error}{_sample(data)}") from None


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not text in UTF-8: {error}") from None


def _read_str(path: Path) -> str:
    return _read_text(path).removesuffix("\n").removesuffix("\r")


def _read_bool(path: Path) -> bool:
    text = _read_text(path).strip()
    if text not in _TRUE + _FALSE:
        raise ValueError(f"it is not true or false{_sample(text.encode())}")
    return text in _TRUE


def _read_number(kind: type[int] | type[float]) -> Callable[[Path], Any]:
    def read_it(path: Path) -> Any:
        data = path.read_bytes()
        try:
            number = kind(data.decode())
        except ValueError:
            raise ValueError(f"it is not one {kind.__name__}{_sample(data)}") from None
        return number

    return read_it


def _read_csv(path: Path) -> Any:
    import pandas as pd

    try:
        return pd.read_csv(path)
    except (ValueError, UnicodeError) as error:
        raise ValueError(f"it is not a CSV file with a line of names: {error}") from None


def _read_arrow(path: Path) -> Any:
    """A table of an Arrow IPC file, or of an Arrow stream, which many libraries write."""
    import pyarrow as pa

    try:
        source = pa.memory_map(str(path))  # the table keeps it open, also when the file has been removed
        begins = source.read(6)
        source.seek(0)
        return (pa.ipc.open_file if begins == b"ARROW1" else pa.ipc.open_stream)(source).read_all()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"it is not an Arrow IPC file: {error}") from None


def _read_frame(path: Path) -> Any:
    return _read_arrow(path).to_pandas()


def _read_file(path: Path) -> File:
    if not path.is_file():
        raise ValueError("it is not a file")
    return File(path)


def _read_folder(path: Path) -> Folder:
    if not path.is_dir():
        raise ValueError("it is not a folder")
    return Folder(path)


def _sample(data: bytes) -> str:
    """The beginning of a wrong text, for an error."""
    if not data:
        return "; it is empty"
    text = data[:_SHOWN].decode(errors="backslashreplace")
    return f"; it begins with {text!r}"


_WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "json": _write_json,
    "text": _write_text,
    "csv": _write_csv,
    "arrow": _write_arrow,
    "frame": _write_arrow,
    **{kind: _write_scalar(kind) for kind in ("int", "float", "str", "bool")},
}
_READERS: dict[str, Callable[[Path], Any]] = {
    "file": _read_file,
    "folder": _read_folder,
    "json": _read_json,
    "text": _read_text,
    "csv": _read_csv,
    "arrow": _read_arrow,
    "frame": _read_frame,
    "int": _read_number(int),
    "float": _read_number(float),
    "str": _read_str,
    "bool": _read_bool,
}
