"""Stored values in formats that others read, made of their bytes: nothing is unpickled, no code of anybody is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from headrace.model.errors import UsageError
from headrace.model.values import Packed
from headrace.stores.artifacts.protocol import ArtifactStore, Buffer
from headrace.stores.codecs import files, manifests, objects, plain


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """A value as the bytes of a file: its ``parts``, their media type, and the ending of a name."""

    parts: Sequence[Buffer]
    media: str
    suffix: str


#: Formats by codec, the natural one first.
FORMATS: dict[str, tuple[str, ...]] = {
    "json": ("json",),
    "str": ("txt", "json"),
    "bytes": ("bin",),
    "bytearray": ("bin",),
    "numpy": ("npy",),
    "safetensors": ("safetensors",),
    "arrow": ("arrow", "csv", "parquet"),
    "file": ("file",),
    "folder": ("tar",),
}
_MEDIA = {
    "json": "application/json",
    "txt": "text/plain; charset=utf-8",
    "bin": "application/octet-stream",
    "npy": "application/octet-stream",
    "safetensors": "application/octet-stream",
    "arrow": "application/vnd.apache.arrow.stream",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "file": "application/octet-stream",
    "tar": "application/x-tar",
}

#: All media types of exports, and of previews.
MEDIA_TYPES = tuple(sorted({one.partition(";")[0] for one in _MEDIA.values()} | {"image/png"}))


def export(packed: Packed, store: ArtifactStore, form: str = "") -> Export:
    """``packed`` in the format ``form``, or in its natural one.

    Raises:
        UsageError: it has no such format: what was pickled is read by the code that it is of alone.
        BlobError: its bytes are gone or damaged.
    """
    known = FORMATS.get(packed.codec, ())
    if not known:
        raise UsageError(
            "it is stored as a pickle, which only its own code reads: `headrace get` makes a file of it, and "
            "`/raw` has its bytes"
        )
    form = form or known[0]
    if form not in known:
        raise UsageError(f"it has no format {form!r}; it has {', '.join(known)}")
    made = _MAKERS[packed.codec](packed, store, form)
    return Export(parts=made, media=_MEDIA[form], suffix="" if form == "file" else form)


def name_of(packed: Packed, store: ArtifactStore) -> str:
    """The name of a stored file or folder; empty for other values.

    Raises:
        BlobError: its manifest is gone or damaged.
    """
    return (
        files.decode_record(objects.record_of_files(packed, store)).name if packed.codec in ("file", "folder") else ""
    )


def _json(packed: Packed, store: ArtifactStore, form: str) -> list[Buffer]:
    return [
        msgspec.json.format(msgspec.json.encode(plain.decode_json(manifests.payload(packed, store))), indent=2),
        b"\n",
    ]


def _text(packed: Packed, store: ArtifactStore, form: str) -> list[Buffer]:
    data = manifests.payload(packed, store)
    return [data] if form == "txt" else [msgspec.json.encode(str(data, "utf-8"))]


def _bytes(packed: Packed, store: ArtifactStore, form: str) -> list[Buffer]:
    return [manifests.payload(packed, store)]


def _array(packed: Packed, store: ArtifactStore, form: str) -> list[Buffer]:
    """A file of ``numpy.save``, whose header is written as NEP 1 says (version 1.0)."""
    line, data = objects.header_and_data(packed, store)
    dtype, order, sizes = line.decode().rstrip("\n").split(" ")
    shape = tuple(int(one) for one in sizes.split(",") if one)
    text = f"{{'descr': {dtype!r}, 'fortran_order': {order == 'F'}, 'shape': {shape}, }}"
    text = text.ljust(-(-(len(text) + 11) // 64) * 64 - 11) + "\n"
    return [b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1"), data]


def _behind_header(packed: Packed, store: ArtifactStore, form: str) -> list[Buffer]:
    return [objects.header_and_data(packed, store)[1]]


def _table(packed: Packed, store: ArtifactStore, form: str) -> list[Buffer]:
    data = objects.header_and_data(packed, store)[1]
    if form == "arrow":
        return [data]
    try:
        import pyarrow as pa
        from pyarrow import csv, parquet
    except ImportError:
        raise UsageError(f"{form} needs the package pyarrow where the server runs; `arrow` does not") from None
    table = pa.ipc.open_stream(pa.py_buffer(data)).read_all()
    sink = pa.BufferOutputStream()
    if form == "csv":
        csv.write_csv(table, sink)
    else:
        parquet.write_table(table, sink)
    return [memoryview(sink.getvalue())]


def _file(packed: Packed, store: ArtifactStore, form: str) -> list[Buffer]:
    record = files.decode_record(objects.record_of_files(packed, store))
    return [store.get(one.blob) for one in record.entries if one.blob is not None]


def _folder(packed: Packed, store: ArtifactStore, form: str) -> list[Buffer]:
    """A tar file; owners and times are not those of anything."""
    import tarfile

    record = files.decode_record(objects.record_of_files(packed, store))
    parts: list[Buffer] = []
    for one in record.entries:
        info = tarfile.TarInfo(f"{record.name}/{one.path}".rstrip("/"))
        info.mode = 0o755 if one.executable or one.path.endswith("/") else 0o644
        content: Buffer = b""
        if one.link:
            info.type, info.linkname = tarfile.SYMTYPE, one.link
        elif one.path.endswith("/"):
            info.type = tarfile.DIRTYPE
        elif one.blob is not None:
            info.size, content = one.blob.size, store.get(one.blob)
        parts += [info.tobuf(tarfile.PAX_FORMAT), content, bytes(-info.size % tarfile.BLOCKSIZE)]
    return [*parts, bytes(2 * tarfile.BLOCKSIZE)]


def raw_parts(packed: Packed, store: ArtifactStore) -> list[Buffer]:
    """The bytes of a value as they are stored: what its manifest holds, then its blobs.

    Raises:
        BlobError: some are gone or damaged.
    """
    return [packed.inline, *(store.get(blob) for blob in packed.blobs)]


_MAKERS: dict[str, Callable[[Packed, ArtifactStore, str], list[Buffer]]] = {
    "json": _json,
    "str": _text,
    "bytes": _bytes,
    "bytearray": _bytes,
    "numpy": _array,
    "safetensors": _behind_header,
    "arrow": _table,
    "file": _file,
    "folder": _folder,
}
