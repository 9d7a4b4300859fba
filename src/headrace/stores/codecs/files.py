"""``headrace.File`` and ``headrace.Folder``: files as values. A task returns one, another gets it, on any machine.

Each file's content is a blob, so what two folders share is stored once. The manifest (codecs ``file`` and ``folder``)
is a ``Record`` as msgpack: names, modes, sizes, digests and metadata, without any pickle. Inside other values they are
part of the pickle (``_restore``). A loaded one is brought to disk when its path is first asked for, read-only, under a
cache folder that all tasks of this user share; ``open`` reads from the store.
"""

from __future__ import annotations

import errno
import io
import mmap
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import msgspec

from headrace.model.errors import NotStorableError, StoreError
from headrace.model.values import Blob
from headrace.stores.artifacts.hashing import digest_of
from headrace.stores.artifacts.protocol import ArtifactStore, Buffer
from headrace.stores.codecs.context import current


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One file of a folder: its path below the folder, whether it may be executed, its content.

    ``link`` is the target of a symbolic link within the folder; a path that ends in ``/`` is an empty folder.
    """

    path: str
    executable: bool = False
    blob: Blob | None = None
    link: str = ""


class Record(msgspec.Struct, frozen=True, array_like=True):
    """What is stored of a file (one entry without a path) or folder, beside the contents."""

    name: str
    entries: tuple[Entry, ...]
    metadata: dict[str, Any] = {}


class FileEntry(NamedTuple):
    """A file of a folder: its path below the folder, its size in bytes and the BLAKE3 of its content as hex digits."""

    path: str
    size: int
    digest: str


class _Stored:
    """Where the contents of a loaded file or folder are, until they are on disk."""

    __slots__ = ("entries", "name", "store")

    def __init__(self, store: ArtifactStore, name: str, entries: tuple[Entry, ...]) -> None:
        self.store = store
        self.name = name
        self.entries = entries

    def open(self, entry: Entry, mode: str, options: dict[str, Any]) -> IO[Any]:
        """Read the content of an entry from the store."""
        assert entry.blob is not None
        raw = io.BufferedReader(_BlobReader(self.store.get(entry.blob)))
        if "b" in mode:
            return raw
        options.pop("buffering", None)
        return io.TextIOWrapper(raw, **options)

    def place(self) -> Path:
        """The path in the cache, named by all that it contains."""
        key = digest_of([msgspec.msgpack.encode((self.name, self.entries))]).hex()
        return cache_folder() / "files" / key[:2] / key[2:] / self.name


class _OnDisk:
    """What ``File`` and ``Folder`` share: a path here, or contents in a store."""

    _path: Path | None
    _stored: _Stored | None

    #: What is noted of it, as JSON can hold it; stored with it.
    metadata: dict[str, Any]

    def __init__(self, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
        self._path = Path(path).absolute()
        self._stored = None
        self.metadata = dict(metadata or {})

    @property
    def name(self) -> str:
        """The last part of the path."""
        if self._stored is not None:
            return self._stored.name
        assert self._path is not None
        return self._path.name

    @property
    def path(self) -> Path:
        """Where it is on this machine. What was loaded from a store is read-only: copy it to change it."""
        if self._path is None:
            assert self._stored is not None
            self._path = _bring(self._stored, folder=isinstance(self, Folder))
        return self._path

    def __fspath__(self) -> str:
        return str(self.path)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, _OnDisk)
        if self._stored is not None and other._stored is not None:
            return (self.name, self._stored.entries) == (other.name, other._stored.entries)
        return self._path is not None and self._path == other._path

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._path or self.name)!r})"

    @property
    def uri(self) -> str:
        """Where its content is: of a file in a store the URL of the blob, else that of the path on this machine."""
        if self._stored is not None and isinstance(self, File):
            blob = self._stored.entries[0].blob
            assert blob is not None
            return blob_uri(self._stored.store.url, blob)
        return self.path.as_uri()

    def _refuse_writing(self, mode: str) -> None:
        if self._stored is not None and set(mode) & set("wax+"):
            raise PermissionError(f"{self!r} came from a store and is read-only: copy_to() makes a copy to change")

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        packing = current.packing
        if packing is None:  # a plain pickle, to another process of this machine
            return type(self), (str(self.path),)
        name, entries = packing.once(self, self._record)
        packing.blobs += [entry.blob for entry in entries if entry.blob is not None]
        arguments = (type(self).__name__, name, msgspec.msgpack.encode(entries))
        return _restore, (*arguments, self._encoded_metadata()) if self.metadata else arguments

    def _encoded_metadata(self) -> bytes:
        try:
            return msgspec.json.encode(self.metadata)
        except (TypeError, ValueError, RecursionError) as error:
            raise NotStorableError(f"{self!r}: its metadata cannot be stored as JSON: {error}") from None

    def _record(self, to: ArtifactStore | None = None) -> tuple[str, tuple[Entry, ...]]:
        """The name and entries, with all contents in the store ``to``, or that of the ``pack`` that is going on."""
        store = to
        if store is None:
            assert current.packing is not None
            store = current.packing.store
        if self._stored is not None:
            held = [entry.blob for entry in self._stored.entries if entry.blob is not None]
            for blob in store.missing(held):
                store.put((self._stored.store.get(blob),))
            return self._stored.name, self._stored.entries
        assert self._path is not None
        return self._path.name, tuple(self._scan(self._path, store))

    def _scan(self, path: Path, store: Putting) -> list[Entry]:
        raise NotImplementedError


class File(_OnDisk):
    """A file as a value. ``File("model.bin")`` names one on this machine; storing it stores its contents.

    Changing the file while it is being stored is an error of the caller. Two loaded files are equal when their names
    and contents are.
    """

    @property
    def size(self) -> int:
        """Its size in bytes."""
        if self._stored is not None:
            blob = self._stored.entries[0].blob
            return blob.size if blob is not None else 0
        return self.path.stat().st_size

    def open(self, mode: str = "r", **options: Any) -> IO[Any]:
        """Open it, like the built-in ``open``; what came from a store is read from there and cannot be changed."""
        self._refuse_writing(mode)
        if self._path is None and self._stored is not None:
            return self._stored.open(self._stored.entries[0], mode, options)
        return self.path.open(mode, **options)

    def copy_to(self, path: str | os.PathLike[str]) -> Path:
        """Copy it to ``path`` (into it, when that is a folder), writable; returns where it is now."""
        import shutil

        target = Path(path)
        if target.is_dir():
            target /= self.name
        shutil.copyfile(self.path, target)
        target.chmod(0o755 if os.access(self.path, os.X_OK) else 0o644)
        return target

    def _scan(self, path: Path, store: Putting) -> list[Entry]:
        return [_entry(path, "", store)]


class Folder(_OnDisk):
    """A folder with all that is in it, as a value; links inside of it are kept, links out of it are refused."""

    def open(self, path: str, mode: str = "r", **options: Any) -> IO[Any]:
        """Open the file ``path`` below the folder, like the built-in ``open``; a stored one is read from the store."""
        self._refuse_writing(mode)
        if self._path is None and self._stored is not None:
            wanted = os.path.normpath(path)
            for entry in self._stored.entries:
                if entry.path == wanted and entry.blob is not None:
                    return self._stored.open(entry, mode, options)
        return (self.path / path).open(mode, **options)

    def files(self) -> list[str]:
        """The paths of the files below the folder, sorted; nothing is brought to disk for it."""
        if self._stored is not None:
            return sorted(entry.path for entry in self._stored.entries if not entry.path.endswith("/"))
        return sorted(
            str(item.relative_to(self.path)) for item in self.path.rglob("*") if item.is_symlink() or not item.is_dir()
        )

    def entries(self) -> list[FileEntry]:
        """The files below the folder, sorted by path, with sizes and digests; links are left out.

        Of a folder in a store nothing is read; of one on this machine every file is.
        """
        found = self._stored.entries if self._stored is not None else self._scan(self.path, _Hashes())
        return [FileEntry(one.path, one.blob.size, one.blob.hex) for one in found if one.blob is not None]

    def copy_to(self, path: str | os.PathLike[str]) -> Path:
        """Copy it to ``path``, which must not exist, with files and folders writable; returns ``path``."""
        import shutil

        target = Path(path)
        shutil.copytree(self.path, target, symlinks=True)
        for folder, _, names in os.walk(target):
            Path(folder).chmod(0o755)
            for name in names:
                copy = Path(folder, name)
                if not copy.is_symlink():
                    copy.chmod(copy.stat().st_mode | 0o200)
        return target

    def _scan(self, path: Path, store: Putting) -> list[Entry]:
        if not path.is_dir():
            raise NotStorableError(f"Folder({str(path)!r}) cannot be stored: there is no such folder")
        entries = []

        def refuse(exc: OSError) -> None:
            raise NotStorableError(f"Folder({str(path)!r}) cannot be stored: {exc}")

        for parent, folders, names in os.walk(path, onerror=refuse):
            here = Path(parent)
            links = [name for name in folders if (here / name).is_symlink()]
            for name in sorted([*names, *links]):
                item = here / name
                relative = str(item.relative_to(path))
                entries.append(_link(path, item, relative) if item.is_symlink() else _entry(item, relative, store))
            if not folders and not names and here != path:
                entries.append(Entry(f"{here.relative_to(path)}/"))
        return sorted(entries, key=lambda entry: entry.path)


def cache_folder() -> Path:
    """Where loaded files are brought to: ``$HEADRACE_CACHE``, or ``headrace`` in the user's own cache folder."""
    own = os.environ.get("HEADRACE_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace"


def _entry(path: Path, name: str, store: Putting) -> Entry:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before it is opened: opening a pipe would wait for its writer
            raise NotStorableError(f"{path} cannot be stored: it is not a regular file")
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if not status.st_size:
                blob = store.put((b"",))
            else:
                with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as view:
                    blob = store.put((view,))
    except OSError as exc:
        raise NotStorableError(f"{path} cannot be stored: {exc.strerror or exc}") from exc
    return Entry(name, bool(status.st_mode & 0o100), blob)


def _link(root: Path, item: Path, name: str) -> Entry:
    target = str(item.readlink())
    if target.startswith("/") or not item.resolve().is_relative_to(root.resolve()):
        raise NotStorableError(f"{item} cannot be stored: it is a link to {target}, outside of the folder {root}")
    return Entry(name, link=target)


def _restore(kind: str, name: str, entries: bytes, metadata: bytes = b"{}") -> _OnDisk:
    """Called by the unpickler. Stored pickles name this function."""
    unpacking = current.unpacking
    if unpacking is None:
        raise StoreError(f"the file {name} can only be loaded from the store it was put in")
    found = msgspec.msgpack.decode(entries, type=tuple[Entry, ...])
    return _loaded(kind == "Folder", Record(name, found, msgspec.json.decode(metadata)), unpacking.store)


def _loaded(folder: bool, record: Record, store: ArtifactStore) -> _OnDisk:
    loaded: _OnDisk = object.__new__(Folder if folder else File)
    loaded._path = None
    loaded._stored = _Stored(store, record.name, record.entries)
    loaded.metadata = dict(record.metadata)
    return loaded


# --- the codecs -------------------------------------------------------------------------------------------------


def encode_files(value: _OnDisk, store: ArtifactStore) -> tuple[bytes, tuple[Blob, ...]]:
    """The record of a file or folder, and the blobs of its contents, which are in ``store`` then, each once.

    Raises:
        NotStorableError: something in it cannot be stored; the message names it.
    """
    metadata = msgspec.json.decode(value._encoded_metadata())
    record = Record(*value._record(store), metadata)
    blobs = {entry.blob.digest: entry.blob for entry in record.entries if entry.blob is not None}
    return msgspec.msgpack.encode(record), tuple(blobs.values())


def decode_files(codec: str, data: bytes | memoryview, store: ArtifactStore) -> object:
    """What ``encode_files`` was given; its contents stay in ``store`` until they are asked for."""
    return _loaded(codec == "folder", decode_record(data), store)


def decode_record(data: bytes | memoryview) -> Record:
    """What a manifest says."""
    return msgspec.msgpack.decode(data, type=Record)


def blob_uri(store: str, blob: Blob) -> str:
    """The URL of a blob in the store at a folder or URL ``store``."""
    base = store if "://" in store else Path(store).absolute().as_uri()
    return f"{base.rstrip('/')}/{blob.hex[:2]}/{blob.hex[2:]}"


class Putting(Protocol):
    """What takes the content of files: a store."""

    def put(self, parts: Sequence[Buffer]) -> Blob:
        """See ``ArtifactStore``."""


class _Hashes:
    """Takes contents for their digests alone."""

    def put(self, parts: Sequence[Buffer]) -> Blob:
        size = sum(memoryview(part).nbytes for part in parts)
        return Blob(digest_of(parts, size), size)


class _BlobReader(io.RawIOBase):
    """A file over bytes in memory, which are not copied as a whole."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read from anywhere."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See ``io.RawIOBase``."""
        part = self._data[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See ``io.RawIOBase``."""
        start = (0, self._at, len(self._data))[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, "a position before the beginning of a file")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        """See ``io.RawIOBase``."""
        return self._at


# --- bringing to disk -------------------------------------------------------------------------------------------

#: What this process has brought to disk or checked there.
_checked: set[Path] = set()


def _bring(stored: _Stored, *, folder: bool) -> Path:
    """The path in the cache; made when it is not there, made again when someone changed it."""
    place = stored.place()
    if place in _checked and place.exists():
        return place
    if not _is_intact(place, stored.entries):
        temporary = place.parent.with_name(f".{os.urandom(8).hex()}")
        try:
            _write(temporary / stored.name, stored, folder=folder)
            _replace(temporary, place.parent)
        except OSError as exc:
            raise StoreError(f"cannot bring {stored.name} to {place}: {exc.strerror or exc}") from exc
        finally:
            _remove(temporary)
    _checked.add(place)
    return place


def _write(target: Path, stored: _Stored, *, folder: bool) -> None:
    (target if folder else target.parent).mkdir(parents=True)
    for entry in stored.entries:
        path = target / entry.path if entry.path else target
        if entry.path.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.blob is None:
            path.symlink_to(entry.link)
            continue
        path.write_bytes(stored.store.get(entry.blob))
        path.chmod(0o555 if entry.executable else 0o444)


def _is_intact(place: Path, entries: tuple[Entry, ...]) -> bool:
    if place.is_dir():
        found = {os.path.relpath(Path(parent, name), place) for parent, _, names in os.walk(place) for name in names}
        if found - {entry.path for entry in entries}:
            return False
    for entry in entries:
        path = place / entry.path if entry.path else place
        if entry.blob is None:
            if not (path.is_symlink() if entry.link else path.is_dir()):
                return False
            continue
        try:
            if path.stat().st_size != entry.blob.size:
                return False
            with path.open("rb") as stream:
                if entry.blob.size:
                    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as view:
                        if digest_of([view], entry.blob.size) != entry.blob.digest:
                            return False
        except FileNotFoundError:
            return False
    return place.exists()


def _replace(made: Path, target: Path) -> None:
    """Put ``made`` where ``target`` is. Of two processes that do this at once, either wins: both are right."""
    for _ in range(100):
        try:
            made.rename(target)
        except OSError:
            aside = target.with_name(f".{os.urandom(8).hex()}")
            try:
                target.rename(aside)
            except FileNotFoundError:
                continue
            _remove(aside)
        else:
            return
    raise StoreError(f"cannot replace {target}: others keep writing it")


def _remove(path: Path) -> None:
    import shutil

    shutil.rmtree(path, ignore_errors=True)
