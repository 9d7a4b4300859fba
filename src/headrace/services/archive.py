"""A run with all its artifacts as one file: written, checked, brought into another store.

The file is an uncompressed zip: ``headrace-run.json`` says what is in it and what the rows' digests are,
``rows/TABLE`` holds rows as a msgpack array, ``blobs/HEX`` a blob under its digest. Nothing in it is ever a path.
"""

from __future__ import annotations

import mmap
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
from blake3 import blake3

from headrace._version import __version__
from headrace.model.errors import NotFoundError, StoreDamagedError, UsageError
from headrace.model.records import RunRecord
from headrace.services.garbage import named_blobs
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore

FORMAT = 1
_HEAD = "headrace-run.json"
_HEAD_LIMIT = 1 << 24
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LOCAL_HEADER = struct.Struct("<4s22xHH")


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive says of itself. ``tables``: digest of each table's rows; ``blobs``: sizes by digest."""

    format: int
    headrace: str
    run: str
    tables: dict[str, str]
    blobs: dict[str, int]


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """What was written or brought in."""

    run: str
    file: str
    blobs: int
    bytes: int


# --- writing ------------------------------------------------------------------------------------------------------


def export_run(
    metadata: MetadataStore, artifacts: ArtifactStore, run: RunRecord, target: Path, *, overwrite: bool = False
) -> Archived:
    """Write ``run`` to ``target``, which is there whole or not at all.

    Raises:
        NotFoundError: the run is not there any more.
        UsageError: the file exists and ``overwrite`` is not set, or cannot be written.
        BlobError: an artifact's bytes are gone or damaged.
    """
    if target.is_dir() or (target.exists() and not overwrite):
        raise UsageError(f"{target} exists; choose another name, or overwrite it with --force")
    rows = metadata.export(run.id)
    if not rows:
        raise NotFoundError(f"run {run.name} was deleted, or is another project's")
    blobs = list(dict.fromkeys(named_blobs(metadata, artifacts, run.id)))
    bodies = {table: msgspec.msgpack.encode(list(content)) for table, content in rows.items()}
    head = Head(
        format=FORMAT,
        headrace=__version__,
        run=run.name,
        tables={table: blake3(body).hexdigest() for table, body in bodies.items()},
        blobs={blob.hex: blob.size for blob in blobs},
    )
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            _add(archive, _HEAD, msgspec.json.encode(head))
            for table, body in bodies.items():
                _add(archive, f"rows/{table}", body)
            for blob in blobs:
                _add(archive, f"blobs/{blob.hex}", artifacts.get(blob))
        temporary.replace(target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return Archived(run=run.name, file=str(target), blobs=len(blobs), bytes=target.stat().st_size)


def _add(archive: zipfile.ZipFile, name: str, content: bytes | memoryview) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.external_attr = 0o644 << 16
    with archive.open(info, "w", force_zip64=len(content) > 1 << 30) as entry:
        entry.write(content)


# --- reading ------------------------------------------------------------------------------------------------------


def import_run(metadata: MetadataStore, artifacts: ArtifactStore, source: Path, project: str) -> tuple[RunRecord, int]:
    """Bring the run in ``source`` in, and return it with the number of its blobs.

    Everything is checked before anything is stored, and the rows come in one transaction after the blobs.

    Raises:
        UsageError: there is no such file, or it is no exported run.
        StoreDamagedError: it is damaged.
        StoreVersionError: a newer Headrace made it.
    """
    try:
        with source.open("rb") as file, zipfile.ZipFile(file) as archive:
            head = _read_head(archive, source)
            # Not closed by hand: an error on the way out holds views of it. It goes when the last of them does.
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            return _bring_in(metadata, artifacts, _Checked(archive, head, view, source), project)
    except zipfile.BadZipFile:
        raise UsageError(f"{source} is not a Headrace export, or it is truncated") from None
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror or error}") from None


def _bring_in(
    metadata: MetadataStore, artifacts: ArtifactStore, checked: _Checked, project: str
) -> tuple[RunRecord, int]:
    rows = checked.rows()
    blobs = checked.check_blobs()
    for digest in blobs:
        content = checked.content(f"blobs/{digest}")
        artifacts.put((content,))
        content.release()
    return metadata.import_rows(rows, project), len(blobs)


def _read_head(archive: zipfile.ZipFile, source: Path) -> Head:
    try:
        info = archive.getinfo(_HEAD)
        if info.file_size > _HEAD_LIMIT or info.compress_type != zipfile.ZIP_STORED:
            raise KeyError(_HEAD)
        head = msgspec.json.decode(archive.read(info), type=Head)
    except (KeyError, msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        raise UsageError(f"{source} is not a Headrace export: it was not made by `headrace export`") from None
    if head.format > FORMAT:
        raise UsageError(f"{source} was made by a newer Headrace ({head.headrace}); upgrade this one to import it")
    expected = {_HEAD} | {f"rows/{table}" for table in head.tables} | {f"blobs/{name}" for name in head.blobs}
    names = archive.namelist()
    strange = [name for name in names if name not in expected]
    if strange:
        raise UsageError(f"{source} is refused: an exported run has no entry {strange[0]!r}")
    missing = expected - set(names)
    if missing or len(names) != len(expected):
        raise StoreDamagedError(f"{source} is damaged: {len(missing) or 'double'} entries are missing or repeated")
    return head


class _Checked:
    """The contents of an archive, handed out only as what they should be; mapped, never copied whole."""

    def __init__(self, archive: zipfile.ZipFile, head: Head, view: memoryview, source: Path) -> None:
        self._archive = archive
        self._head = head
        self._view = view
        self._source = source

    def rows(self) -> Mapping[str, list[bytes]]:
        """The rows of all tables."""
        found = {}
        for table, digest in self._head.tables.items():
            content = self.content(f"rows/{table}")
            if blake3(content).hexdigest() != digest:
                raise self._damaged(f"the rows of {table} are not what was exported")
            try:
                found[table] = msgspec.msgpack.decode(content, type=list[bytes])
            except (msgspec.DecodeError, msgspec.ValidationError):
                raise self._damaged(f"the rows of {table} cannot be read") from None
            content.release()
        return found

    def check_blobs(self) -> list[str]:
        """The names of all blobs, whose bytes are what the names promise."""
        for name, size in self._head.blobs.items():
            content = self.content(f"blobs/{name}")
            if content.nbytes != size or blake3(content).hexdigest() != name:
                raise self._damaged(f"blob {name} is not what was exported")
            content.release()
        return list(self._head.blobs)

    def content(self, name: str) -> memoryview:
        """The bytes of an entry."""
        info = self._archive.getinfo(name)
        start = info.header_offset
        if info.compress_type != zipfile.ZIP_STORED or start + _LOCAL_HEADER.size > len(self._view):
            raise self._damaged(f"entry {name} is not as `headrace export` writes it")
        mark, name_length, extra_length = _LOCAL_HEADER.unpack(self._view[start : start + _LOCAL_HEADER.size])
        begin = start + _LOCAL_HEADER.size + name_length + extra_length
        if mark != b"PK\x03\x04" or begin + info.file_size > len(self._view):
            raise self._damaged(f"entry {name} is cut off")
        return self._view[begin : begin + info.file_size]

    def _damaged(self, problem: str) -> StoreDamagedError:
        return StoreDamagedError(f"{self._source} is damaged: {problem}; nothing was imported")
