"""The folder store in bad luck: full disks, read-only folders, killed writers, forks, leftovers."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import pytest
from blake3 import blake3

from headrace.model.errors import BlobCorruptError, StoreError, StoreFullError
from headrace.model.values import Blob
from headrace.stores.artifacts import local, verified
from headrace.stores.artifacts.cached import CachedStore
from headrace.stores.artifacts.hashing import digest_of
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.artifacts.objects import ObjectStore


def path_of(store: LocalStore, blob: Blob) -> Path:
    return Path(store.url, blob.hex[:2], blob.hex[2:])


def files_under(path: Path) -> list[Path]:
    return [item for item in path.rglob("*") if item.is_file()]


@pytest.mark.parametrize("size", (1000, 1 << 20, 6 << 20))
@pytest.mark.parametrize("code", (errno.ENOSPC, errno.EDQUOT))
def test_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, code: int
) -> None:
    store = LocalStore(tmp_path / "s")
    real = os.write

    def write(descriptor: int, data: memoryview) -> int:
        if len(data) > 500:
            return real(descriptor, data[: len(data) - 500])
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(local.os, "write", write)
        with pytest.raises(StoreFullError, match=rf"{store.url}.*headrace gc"):
            store.put((random.randbytes(size),))
    assert files_under(tmp_path) == []
    store.put((b"there is room again",))


def test_file_size_limit_of_the_process(tmp_path: Path) -> None:
    """The kernel itself refuses, half-way through a large blob."""
    store = LocalStore(tmp_path / "s")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5 << 20, hard))
    try:
        with pytest.raises(StoreFullError):
            store.put((random.randbytes(20 << 20),))
        store.put((random.randbytes(1 << 20),))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [len(item.read_bytes()) for item in files_under(tmp_path)] == [1 << 20]


def test_really_full_file_system(tmp_path: Path) -> None:
    """On a file system of one megabyte, where this user may mount one; the two tests above need no rights."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True).returncode:
        return
    try:
        store = LocalStore(place / "s")
        kept = store.put((b"k" * 300_000,))
        with pytest.raises(StoreFullError):
            store.put((random.randbytes(5 << 20),))
        assert bytes(store.get(kept)) == b"k" * 300_000
        assert len(files_under(place)) == 1
    finally:
        subprocess.run(["umount", place], check=True)


READ_ONLY = """
import os, sys
from headrace.model.errors import StoreReadOnlyError
from headrace.stores.artifacts.local import LocalStore
store = LocalStore(sys.argv[1])
if os.getuid() == 0:
    os.setuid(65534)
held = next(store.list())
from headrace.model.values import Blob
blob = Blob(held.digest, held.size)
assert bytes(store.get(blob)) == b"held"
assert store.put((b"held",)) == blob
for work in (lambda: store.put((b"new",)), lambda: store.put((bytes(6 << 20),)), lambda: store.delete([held.digest])):
    try:
        work()
    except StoreReadOnlyError as exc:
        assert sys.argv[1] in str(exc), exc
    else:
        raise AssertionError("written")
"""


def test_read_only_store_can_be_read() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        store = LocalStore(folder)
        blob = store.put((b"held",))
        old = time.time() - 10_000
        os.utime(path_of(store, blob), (old, old))
        for item in [*folder.rglob("*"), folder]:
            item.chmod(0o555 if item.is_dir() else 0o444)
        ran = subprocess.run([sys.executable, "-c", READ_ONLY, str(folder)], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
    finally:
        for item in [folder, *folder.rglob("*")]:
            item.chmod(0o755)
        shutil.rmtree(folder)


def test_a_file_where_the_store_should_be(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(StoreError, match=str(tmp_path)):
        LocalStore(tmp_path / "f").put((b"x",))
    with pytest.raises(StoreError):
        list(LocalStore(tmp_path / "f").list())


KILLED = """
import random, sys
from headrace.stores.artifacts.local import LocalStore
store = LocalStore(sys.argv[1])
print("ready", flush=True)
for number in range(10_000):
    store.put((random.randbytes((number % 3) * 5_000_000 + 1000),))
"""


def test_a_killed_writer_leaves_whole_blobs_only(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for _ in range(6):
        writer = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(random.uniform(0.01, 0.15))
        writer.kill()
        writer.communicate()
        assert writer.returncode == -signal.SIGKILL
    blobs = [Blob(info.digest, info.size) for info in store.list()]
    assert blobs
    for blob in blobs:
        with store.get(blob) as view:
            assert digest_of([view], blob.size) == blob.digest


def test_leftovers_are_swept_when_they_are_old(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    blob = store.put((b"good",))
    (tmp_path / "tmp" / "left").write_bytes(b"half")
    (tmp_path / "tmp" / "running").write_bytes(b"half")
    bad = path_of(store, blob).with_name("f" * 62 + ".corrupt")
    bad.write_bytes(b"bad")
    old = time.time() - 8 * 86400
    for leftover in (tmp_path / "tmp" / "left", bad):
        os.utime(leftover, (old, old))
    assert [info.digest for info in store.list()] == [blob.digest]
    assert store.delete([]) == len(b"half") + len(b"bad")
    assert sorted(item.name for item in files_under(tmp_path)) == sorted([path_of(store, blob).name, "running"])


def test_storing_again_makes_an_old_blob_young(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    blob = store.put((b"x",))
    old = time.time() - 86400
    os.utime(path_of(store, blob), (old, old))
    assert store.put((b"x",)) == blob
    assert next(store.list()).modified > time.time() - 60


def test_a_large_blob_that_is_there_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = random.randbytes(20 << 20)
    store = LocalStore(tmp_path)
    blob = store.put((data,))
    inode = path_of(store, blob).stat().st_ino

    def forbidden(*_: object) -> int:
        raise AssertionError("written again")

    with monkeypatch.context() as patch:
        patch.setattr(local.os, "write", forbidden)
        assert store.put((data,)) == blob
    assert LocalStore(tmp_path).put((data,)) == blob  # does not know yet: finds out on the way
    assert path_of(store, blob).stat().st_ino == inode
    assert len(files_under(tmp_path)) == 1


def test_same_edges_are_not_same_content(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    one = bytearray(8 << 20)
    two = bytearray(one)
    two[4 << 20] = 1
    assert store.put((one,)) != store.put((two,))
    assert len(list(store.list())) == 2


def test_a_verified_blob_is_hashed_once_even_by_a_forked_sibling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = random.randbytes(1 << 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on: other tests' threads may be about
        sibling = os.fork()
    if not sibling:
        LocalStore(tmp_path).put((data,))
        os._exit(0)
    assert os.waitpid(sibling, 0)[1] == 0
    hashed: list[int] = []
    monkeypatch.setattr(local, "digest_of", lambda parts, size=0: hashed.append(size) or digest_of(parts, size))
    store, blob = LocalStore(tmp_path), Blob(blake3(data).digest(), len(data))
    assert bytes(store.get(blob)) == data
    assert hashed == []
    path_of(store, blob).chmod(0o644)  # any change of the file, even of its mode, and it is looked at again
    store.get(blob)
    store.get(blob)
    assert hashed == [len(data)]


def test_altering_a_verified_file_in_place_is_noticed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    blob = store.put((bytes(200_000),))
    path = path_of(store, blob)
    before = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.write(b"!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(BlobCorruptError, match="set aside"):
        store.get(blob)


def test_a_torn_entry_of_the_table_matches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    verified.remember(b"a" * 32, path.stat())
    assert verified.is_verified(b"a" * 32, path.stat())
    assert not verified.is_verified(b"b" * 32, path.stat())


def test_damage_in_the_cache_is_mended_from_the_store(tmp_path: Path) -> None:
    cache = LocalStore(tmp_path / "cache")
    store = CachedStore(ObjectStore("memory://"), cache)
    data = random.randbytes(100_000)
    blob = store.put((data,))
    path = path_of(cache, blob)
    path.chmod(0o644)
    path.write_bytes(b"short")
    assert bytes(store.get(blob)) == data
    assert path.stat().st_size == len(data)


def test_the_cache_keeps_to_its_limit(tmp_path: Path) -> None:
    cache = LocalStore(tmp_path / "cache")
    store = CachedStore(ObjectStore("memory://"), cache, limit=1_000_000)
    blobs = [store.put((random.randbytes(100_000),)) for _ in range(30)]
    assert sum(info.size for info in cache.list()) <= 1_200_000
    assert all(len(store.get(blob)) == 100_000 for blob in blobs)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    store = CachedStore(ObjectStore("memory://"), LocalStore(tmp_path / "cache"))
    blob = store.put((b"x" * 100_000,))
    assert bytes(store.get(blob)) == b"x" * 100_000
    store.delete([blob.digest])
    assert store.missing([blob]) == [blob]
