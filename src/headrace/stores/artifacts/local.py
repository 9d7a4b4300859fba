"""Blobs in a folder: ``<path>/<2 hex>/<62 hex>``, written to ``<path>/tmp`` first and renamed when complete.

Large blobs are hashed while they are written, and mapped copy-on-write when they are read. A large blob that was
verified by this process, or one forked from the same server, is not hashed again while its file stays unaltered.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from blake3 import blake3

from headrace._base.ownership import SHARED_MODE, file_mode, folder_mode, make_folder
from headrace.model.errors import (
    BlobCorruptError,
    BlobMissingError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
)
from headrace.model.values import Blob
from headrace.stores.artifacts import verified
from headrace.stores.artifacts.file_space import reserve
from headrace.stores.artifacts.hashing import PARALLEL_FROM, as_bytes_view, digest_of, hash_threads
from headrace.stores.artifacts.protocol import REFRESH_AFTER, BlobInfo, Buffer
from headrace.stores.artifacts.uploads import FileUpload

#: From this size on a blob is mapped rather than read.
MAP_FROM = 64 * 1024
#: What a writer left behind is swept by ``delete`` once its writer must be dead.
STALE_AFTER = 3600.0
#: Blobs that were set aside as corrupt are kept this long for inspection.
CORRUPT_KEPT = 7 * 86400.0

_CHUNK = 8 << 20
_EDGE = 16 * 1024
_EDGES_KEPT = 10_000
_TMP = "tmp"
_CORRUPT = ".corrupt"

_FULL = {errno.ENOSPC, errno.EDQUOT}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


class LocalStore:
    """An ``ArtifactStore`` in a folder, created on the first ``put``.

    A new folder is for this user alone, with ``shared`` for the group; what is put into one is for whom the folder is.
    With ``durable`` a blob has reached the disk when ``put`` returns; without, a power loss may cost the last
    seconds' blobs (never a half one that goes unnoticed: contents are checked on read).
    """

    def __init__(self, path: str | os.PathLike[str], *, durable: bool = False, shared: bool = False) -> None:
        self._root = os.path.abspath(os.fspath(path))  # noqa: PTH100 - plain strings are several times faster here
        self.url = self._root
        self._durable = durable
        self._shared = shared
        self._modes: tuple[int, int] | None = None  # of new folders and files
        self._edges: set[bytes] = set()

    def __repr__(self) -> str:
        return f"LocalStore({self._root!r})"

    # --- writing ---

    def hasty(self) -> LocalStore:
        """See the protocol."""
        return self

    def put(self, parts: Sequence[Buffer]) -> Blob:
        """Store the concatenation of ``parts``; see the protocol."""
        views = [as_bytes_view(part) for part in parts]
        size = sum([view.nbytes for view in views])
        if size >= PARALLEL_FROM:
            edges = self._edge_digest(views, size)
            blob = self._put_known(views, size) if edges in self._edges else self._put_overlapped(views, size)
            if len(self._edges) > _EDGES_KEPT:
                self._edges.clear()
            self._edges.add(edges)
            return blob
        return self._put_known(views, size)

    def _put_known(self, views: list[memoryview], size: int) -> Blob:
        """Hash first, write only what is not there yet."""
        blob = Blob(digest_of(views, size), size)
        if not self._present(blob):
            self._publish(self._write(views), blob)
        return blob

    def put_verified(self, blob: Blob, parts: Sequence[Buffer]) -> None:
        """Store bytes that were found to be ``blob`` just now: they are not hashed again."""
        if not self._present(blob):
            self._publish(self._write([as_bytes_view(part) for part in parts]), blob)

    def _put_overlapped(self, views: list[memoryview], size: int) -> Blob:
        """Hash in a second thread while this one writes; drop the copy when the blob turns out to be there."""
        hasher = blake3(max_threads=max(1, hash_threads(size) - 1))
        failure: list[BaseException] = []

        def hash_all() -> None:
            try:
                for view in views:
                    hasher.update(view)
            except BaseException as exc:
                failure.append(exc)

        thread = threading.Thread(target=hash_all, name="headrace-hash", daemon=True)
        thread.start()

        def already_there() -> bool:
            return not thread.is_alive() and not failure and self._present(Blob(hasher.digest(), size))

        try:
            temporary = self._write(views, stop=already_there)
        finally:
            thread.join()
        if failure:
            if temporary:
                _unlink(temporary)
            raise failure[0]
        blob = Blob(hasher.digest(), size)
        if temporary and self._present(blob):  # keep the file whose pages are in memory
            _unlink(temporary)
        elif temporary:
            self._publish(temporary, blob)
        return blob

    def _edge_digest(self, views: list[memoryview], size: int) -> bytes:
        """A cheap sign that this process has met these bytes before, so that hashing first is likely to pay."""
        hasher = blake3(size.to_bytes(8, "little"))
        hasher.update(views[0][:_EDGE])
        hasher.update(views[-1][-_EDGE:])
        return hasher.digest(16)

    def _present(self, blob: Blob) -> bool:
        path = self._path(blob.digest)
        try:
            status = os.stat(path)  # noqa: PTH116
            if status.st_size != blob.size:
                return False
            if time.time() - status.st_mtime > REFRESH_AFTER:
                os.utime(path)  # garbage collection, which goes by age, may not take what was just put again
        except FileNotFoundError:
            return False
        except OSError as exc:
            if exc.errno in _READ_ONLY:  # cannot be touched, so cannot be collected from here either
                return True
            raise self._error(exc, "look for", blob) from exc
        return True

    def _write(self, views: list[memoryview], stop: Callable[[], bool] | None = None) -> str:
        """Write a temporary file and return its path; ``""`` when ``stop()`` said the work is not needed."""
        temporary = f"{self._root}/{_TMP}/{os.urandom(12).hex()}"
        complete = False
        try:
            descriptor = self._create(temporary)
            try:
                reserve(descriptor, 0, sum(view.nbytes for view in views))
                complete = _write_all(descriptor, views, stop)
                if complete and self._durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as exc:
            raise self._error(exc, "write to") from exc
        finally:
            if not complete:
                _unlink(temporary)
        return temporary if complete else ""

    def upload(self, size: int) -> FileUpload:
        """See ``TakesUploads``."""
        temporary = f"{self._root}/{_TMP}/{os.urandom(12).hex()}"
        try:
            descriptor = self._create(temporary)
        except OSError as exc:
            raise self._error(exc, "write to") from exc
        return FileUpload(temporary, descriptor, size, self._publish_upload, self._error)

    def _publish_upload(self, temporary: str, descriptor: int, blob: Blob) -> None:
        if self._durable:
            os.fsync(descriptor)
        if self._present(blob):
            _unlink(temporary)
        else:
            self._publish(temporary, blob)

    def _create(self, temporary: str) -> int:
        """Open a new file of the right mode for writing."""
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        for_folders, for_files = self._modes or self._find_modes()
        try:
            descriptor = os.open(temporary, flags, for_files)
        except FileNotFoundError:
            self._make_root()
            for_folders, for_files = self._find_modes()
            self._make_folder(f"{self._root}/{_TMP}", for_folders)
            descriptor = os.open(temporary, flags, for_files)
        if for_files & 0o077:  # whatever the umask is
            os.fchmod(descriptor, for_files)
        return descriptor

    def _make_root(self) -> None:
        os.makedirs(os.path.dirname(self._root), exist_ok=True)  # noqa: PTH103, PTH120
        try:
            make_folder(self._root, SHARED_MODE if self._shared else 0o700)
        except FileExistsError:
            pass  # another process was faster

    def _find_modes(self) -> tuple[int, int]:
        try:
            self._modes = folder_mode(self._root), file_mode(self._root)
        except FileNotFoundError:
            return 0o700, 0o400  # there is no folder yet
        return self._modes

    @staticmethod
    def _make_folder(path: str, mode: int) -> None:
        try:
            os.mkdir(path, mode)  # noqa: PTH102
            if mode & 0o077:  # whatever the umask is
                os.chmod(path, mode)  # noqa: PTH101
        except FileExistsError:
            pass  # another process was faster

    def _publish(self, temporary: str, blob: Blob) -> None:
        path = self._path(blob.digest)
        try:
            try:
                os.rename(temporary, path)  # noqa: PTH104
            except FileNotFoundError:
                self._make_folder(os.path.dirname(path), (self._modes or self._find_modes())[0])  # noqa: PTH120
                os.rename(temporary, path)  # noqa: PTH104
            if self._durable:
                _sync_folder(os.path.dirname(path))  # noqa: PTH120
            if blob.size >= MAP_FROM:
                verified.remember(blob.digest, os.stat(path))  # noqa: PTH116
        except OSError as exc:
            _unlink(temporary)
            raise self._error(exc, "write to", blob) from exc

    # --- reading ---

    def get(self, blob: Blob) -> memoryview:
        """The verified bytes of ``blob``; see the protocol."""
        descriptor, status = self._open(blob)
        try:
            if blob.size < MAP_FROM:
                return self._read(descriptor, blob)
            return self._verified(descriptor, status, blob)
        except OSError as exc:
            raise self._error(exc, "read", blob) from exc
        finally:
            os.close(descriptor)

    def open_file(self, blob: Blob) -> int:
        """See ``GivesFiles``."""
        descriptor, status = self._open(blob)
        try:
            if blob.size < MAP_FROM:
                self._read(descriptor, blob)
            else:
                self._verified(descriptor, status, blob)
        except BaseException as exc:
            os.close(descriptor)
            if isinstance(exc, OSError):
                raise self._error(exc, "read", blob) from exc
            raise
        return descriptor

    def _open(self, blob: Blob) -> tuple[int, os.stat_result]:
        """The file of ``blob``, of the right size."""
        path = self._path(blob.digest)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise BlobMissingError(f"blob {blob.hex} is not in {self.url}", blob.digest) from None
        except OSError as exc:
            raise self._error(exc, "read", blob) from exc
        status = os.fstat(descriptor)
        if status.st_size != blob.size:
            os.close(descriptor)
            raise self._set_aside(blob, f"it has {status.st_size} bytes instead of {blob.size}")
        return descriptor, status

    def _verified(self, descriptor: int, status: os.stat_result, blob: Blob) -> memoryview:
        view = memoryview(mmap.mmap(descriptor, blob.size, access=mmap.ACCESS_COPY))
        if not verified.is_verified(blob.digest, status):
            if digest_of([view], blob.size) != blob.digest:
                raise self._set_aside(blob, "its content is not what its name promises")
            verified.remember(blob.digest, status)
        return view

    def _read(self, descriptor: int, blob: Blob) -> memoryview:
        content = bytearray(blob.size)
        view = memoryview(content)
        done = 0
        while done < blob.size:
            count = os.readv(descriptor, [view[done:]])
            if not count:
                raise self._set_aside(blob, f"it has {done} bytes instead of {blob.size}")
            done += count
        if blake3(content).digest() != blob.digest:
            raise self._set_aside(blob, "its content is not what its name promises")
        return view

    def _set_aside(self, blob: Blob, problem: str) -> BlobCorruptError:
        path = self._path(blob.digest)
        self._edges.clear()
        try:
            os.replace(path, path + _CORRUPT)  # noqa: PTH105
            fate = f"it was set aside as {path}{_CORRUPT}; storing the right bytes again repairs the store"
        except OSError as exc:
            fate = f"it could not be set aside ({exc.strerror}), remove {path} by hand"
        return BlobCorruptError(f"blob {blob.hex} in {self.url} is damaged: {problem}; {fate}", blob.digest)

    # --- keeping house ---

    def missing(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Those of ``blobs`` that are not here with the right size."""
        absent = []
        for blob in blobs:
            try:
                if os.stat(self._path(blob.digest)).st_size != blob.size:  # noqa: PTH116
                    absent.append(blob)
            except FileNotFoundError:
                absent.append(blob)
            except OSError as exc:
                raise self._error(exc, "look for", blob) from exc
        return absent

    def renew(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Like ``missing``; those that are held count as put again now."""
        return [blob for blob in blobs if not self._present(blob)]

    def delete(self, digests: Iterable[bytes], before: float = math.inf) -> int:
        """Remove blobs, and what writers that died long ago left behind; returns the bytes freed."""
        freed = 0
        for digest in digests:
            path = self._path(digest)
            try:
                status = os.stat(path)  # noqa: PTH116
                if status.st_mtime >= before:
                    continue
                os.unlink(path)  # noqa: PTH108
                freed += status.st_size
            except FileNotFoundError:
                continue
            except OSError as exc:
                raise self._error(exc, "delete from") from exc
        return freed + self._sweep()

    def list(self) -> Iterator[BlobInfo]:
        """Every blob in the folder, in no order."""
        for folder, entry in self._entries():
            name = entry.name
            if len(name) != 62:
                continue
            try:
                digest = bytes.fromhex(folder + name)
                status = entry.stat()
            except (ValueError, FileNotFoundError):
                continue  # not a blob, or deleted by another process meanwhile
            yield BlobInfo(digest, status.st_size, status.st_mtime)

    def _entries(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Everything in the folders of blobs, with the name of the folder."""
        try:
            with os.scandir(self._root) as folders:
                found = [(folder.name, folder.path) for folder in folders if len(folder.name) == 2 and folder.is_dir()]
            for name, path in found:
                with os.scandir(path) as entries:
                    for entry in entries:
                        yield name, entry
        except FileNotFoundError:
            return
        except OSError as exc:
            raise self._error(exc, "list") from exc

    def _sweep(self) -> int:
        now = time.time()
        leftovers = [(entry, CORRUPT_KEPT) for _, entry in self._entries() if entry.name.endswith(_CORRUPT)]
        try:
            with os.scandir(f"{self._root}/{_TMP}") as entries:
                leftovers += [(entry, STALE_AFTER) for entry in entries]
        except OSError:
            pass  # nothing was ever written here
        freed = 0
        for entry, age in leftovers:
            try:
                status = entry.stat()
                if now - status.st_mtime > age:
                    os.unlink(entry.path)  # noqa: PTH108
                    freed += status.st_size
            except OSError:
                continue  # another collector was faster, or it is not ours to remove
        return freed

    def _path(self, digest: bytes) -> str:
        name = digest.hex()
        return f"{self._root}/{name[:2]}/{name[2:]}"

    def _error(self, exc: OSError, action: str, blob: Blob | None = None) -> StoreError:
        what = f"cannot {action} the artifact store {self.url}" + (f" (blob {blob.hex})" if blob else "")
        reason = exc.strerror or str(exc)
        if exc.errno == errno.EFBIG:
            return StoreFullError(
                f"{what}: {reason}; raise the limit (`ulimit -f`) or choose another place for artifacts"
            )
        if exc.errno in _FULL:
            return StoreFullError(f"{what}: {reason}; make room (`headrace gc`) or choose another place for artifacts")
        if exc.errno in _READ_ONLY and action != "read":
            return StoreReadOnlyError(f"{what}: {reason}; check the folder's owner and mode")
        return StoreError(f"{what}: {reason}")


def _write_all(descriptor: int, views: list[memoryview], stop: Callable[[], bool] | None) -> bool:
    """Write everything; ``False`` when ``stop()`` turned true on the way."""
    for view in views:
        done, size = 0, view.nbytes
        while done < size:
            if stop is not None and stop():
                return False
            done += os.write(descriptor, view[done : done + _CHUNK])
    return True


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unlink(path: str) -> None:
    try:
        Path(path).unlink()
    except OSError:
        pass  # it was never made, or cannot be removed; ``delete`` sweeps it when it is old
