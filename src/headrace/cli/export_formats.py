"""Objects to the terminal and to files in the formats that others read."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from headrace._base.attributes import on_type, own
from headrace.model.errors import UsageError

_PICKLES = (".pkl", ".pickle")
_FIGURES = (".png", ".svg", ".pdf", ".jpg")


def show_object(value: Any) -> None:
    """Print texts as they are, files as their path, everything else as its repr."""
    if isinstance(value, str):
        click.echo(value)
    elif type(value).__name__ in ("File", "Folder") and own(value, "path") is not None:
        click.echo(str(value.path))
    else:
        click.echo(repr(value))


def save_object(value: Any, target: Path, *, overwrite: bool) -> Path | None:
    """Save ``value`` to ``target``, which is there whole or not at all; returns the path, None for stdout (``-``).

    Raises:
        UsageError: the file exists, cannot be written, or its extension is none for such an object.
    """
    if str(target) == "-":
        _to_stdout(value)
        return None
    if target.is_dir() and not isinstance(value, str) and type(value).__name__ in ("File", "Folder"):
        target /= value.name
    if (target.exists() or target.is_symlink()) and not overwrite:
        raise UsageError(f"{target} exists; choose another name, or replace it with --force")
    if target.is_dir():
        raise UsageError(f"{target} is a folder; name a file in it")
    write = _writer(value, target.suffix.lower())
    temporary = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        write(temporary)
        temporary.replace(target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror or error}") from None
    except ImportError as error:
        raise UsageError(f"{target.suffix} needs a package that is not installed here: {error}") from None
    finally:
        _remove(temporary)
    return target


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _to_stdout(value: Any) -> None:
    if isinstance(value, str):
        data = value.encode()
    elif isinstance(value, (bytes, bytearray)):
        data = bytes(value)
    elif type(value).__name__ == "File":
        data = value.path.read_bytes()
    else:
        data = pickle.dumps(value)
    if sys.stdout.isatty() and not isinstance(value, str):
        raise UsageError("bytes are not written to a terminal; name a file: -o FILE")
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _writer(value: Any, suffix: str) -> Callable[[Path], Any]:
    """What writes such an object with such an extension."""
    if suffix in _PICKLES:
        return lambda path: path.write_bytes(pickle.dumps(value))
    if isinstance(value, str):
        return lambda path: path.write_text(value, encoding="utf-8")
    if isinstance(value, (bytes, bytearray)):
        return lambda path: path.write_bytes(value)
    if type(value).__module__.startswith("headrace.") and hasattr(value, "copy_to"):
        copy: Callable[[Path], Any] = value.copy_to
        return copy
    package = type(value).__module__.partition(".")[0]
    if package in ("pandas", "polars", "pyarrow"):
        return _frame_writer(value, suffix, package)
    if package == "numpy" and suffix == ".npy":
        return lambda path: _save_array(value, path)
    if suffix == ".npy":
        raise UsageError(f"cannot save a {type(value).__name__} as .npy; use .pkl, or the format of its library")
    if on_type(value, "savefig") and suffix in _FIGURES:
        return lambda path: value.savefig(path, format=suffix[1:])
    if suffix == ".json":
        return _json_writer(value)
    if suffix in (".csv", ".parquet", *_FIGURES):
        raise UsageError(f"a {type(value).__name__} cannot be saved as {suffix}; take another extension, or .pkl")
    return lambda path: path.write_bytes(pickle.dumps(value))


def _json_writer(value: Any) -> Callable[[Path], Any]:
    import msgspec

    try:
        data = msgspec.json.format(msgspec.json.encode(value), indent=2)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a {type(value).__name__} cannot be saved as JSON: {error}") from None
    return lambda path: path.write_bytes(data + b"\n")


def _save_array(value: Any, path: Path) -> None:
    import numpy as np

    with path.open("wb") as file:
        np.save(file, value, allow_pickle=False)


def _frame_writer(value: Any, suffix: str, package: str) -> Callable[[Path], Any]:
    if suffix not in (".csv", ".parquet"):
        raise UsageError(f"a frame is saved as .csv or .parquet (or .pkl), not {suffix or 'without an extension'}")
    csv = suffix == ".csv"
    if package == "pandas":
        if not hasattr(value, "to_parquet"):
            value = value.to_frame() if hasattr(value, "to_frame") else value
        named = value.index.name is not None or type(value.index).__name__ != "RangeIndex"
        return lambda path: value.to_csv(path, index=named) if csv else value.to_parquet(path)
    if package == "polars":
        frame = value.collect() if hasattr(value, "collect") else value
        frame = frame.to_frame() if hasattr(frame, "to_frame") else frame
        return lambda path: frame.write_csv(path) if csv else frame.write_parquet(path)
    return lambda path: _save_table(value, path, csv=csv)


def _save_table(value: Any, path: Path, *, csv: bool) -> None:
    if csv:
        from pyarrow import csv as writer

        writer.write_csv(value, path)
    else:
        from pyarrow import parquet

        parquet.write_table(value, path)
