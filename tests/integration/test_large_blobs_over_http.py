"""Large blobs through a server: straight between socket and file, and what breaks on the way."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from headrace.model.errors import BlobCorruptError, StoreAwayError, StoreFullError
from headrace.model.values import Blob
from headrace.server.config import Limits
from headrace.settings import Settings
from headrace.stores.artifacts.cached import CachedStore
from headrace.stores.artifacts.http import HttpArtifacts
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.artifacts.objects import ObjectStore
from headrace.stores.http_client import Endpoint
from headrace.testing.http_stores import StoreServer, store_server
from headrace.wiring import Workspace

MIB = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[StoreServer]:
    with store_server() as running:
        yield running


@pytest.fixture
def url(server: StoreServer, tmp_path: Path) -> str:
    return server.add(Workspace(Settings(home=str(tmp_path))), limits=Limits(chunk_seconds=1.0))


def remote(url: str) -> HttpArtifacts:
    return HttpArtifacts(Endpoint(url, lambda: ""))


def content(size: int, seed: bytes = b"x") -> bytes:
    return blake3(seed).digest(min(size, MIB)) * (size // MIB) + bytes(size % MIB)


def request(url: str, method: str, path: str, size: int | None = None) -> bytes:
    lines = [f"{method} {urllib.parse.urlsplit(url).path}/api/v1{path} HTTP/1.1", "Host: x", "Headrace-Version: 0.1.0"]
    if size is not None:
        lines.append(f"Content-Length: {size}")
    return "\r\n".join([*lines, "\r\n"]).encode()


def connected(url: str) -> socket.socket:
    parts = urllib.parse.urlsplit(url)
    return socket.create_connection((str(parts.hostname), parts.port), timeout=60)


def wait_until(condition: Any) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def leftovers(home: Path) -> list[Path]:
    folder = home / "artifacts/tmp"
    return list(folder.iterdir()) if folder.exists() else []


def test_large_blob_goes_up_with_its_digest_behind_it(url: str, tmp_path: Path) -> None:
    parts = (content(9 * MIB + 5), b"", content(3 * MIB, b"y"))
    blob = remote(url).put(parts)
    whole = b"".join(parts)
    assert blob == Blob(blake3(whole).digest(), len(whole))
    assert LocalStore(tmp_path / "artifacts").get(blob) == whole
    assert remote(url).get(blob) == whole


def test_upload_whose_digest_is_another_is_refused_and_the_connection_goes_on(url: str, tmp_path: Path) -> None:
    data = content(5 * MIB)
    with connected(url) as client:
        stream = client.makefile("rb")
        for end, status in ((b"\1" * 32, b"422"), (blake3(data).digest(), b"201")):
            client.sendall(request(url, "POST", "/blobs/upload", len(data) + 32) + data + end)
            assert stream.readline().split()[1] == status
            length = 0
            while (line := stream.readline().lower()) != b"\r\n":
                length = int(line[15:]) if line.startswith(b"content-length:") else length
            stream.read(length)
        stream.close()
    assert not leftovers(tmp_path)


def test_upload_of_what_is_there_already_is_broken_off(url: str, tmp_path: Path, monkeypatch: Any) -> None:
    data = content(40 * MIB)
    store = remote(url)
    store.put((data,))
    sent = 0
    send = socket.socket.sendall

    def slowly(self: socket.socket, piece: Any) -> None:
        nonlocal sent
        sent += len(piece)
        time.sleep(0.5 if len(piece) == MIB else 0)
        send(self, piece)

    monkeypatch.setattr(socket.socket, "sendall", slowly)
    assert store.put((data,)).digest == blake3(data).digest()
    assert sent < len(data) // 2
    wait_until(lambda: not leftovers(tmp_path))


def test_slow_clients_hold_no_thread(url: str, tmp_path: Path) -> None:
    """More uploads that stand still than there are threads, while another one and its download go through."""
    data = content(6 * MIB)
    with contextlib.ExitStack() as open_ones:
        for _ in range(40):
            client = open_ones.enter_context(connected(url))
            client.sendall(request(url, "PUT", f"/blobs/{'0' * 64}", 9 * MIB) + bytes(100_000))
        store = remote(url).hasty()
        assert store.get(store.put((data,))) == data
    wait_until(lambda: not leftovers(tmp_path))


def test_client_that_takes_nothing_is_left(url: str) -> None:
    data = content(60 * MIB)
    blob = remote(url).put((data,))
    before = len(os.listdir("/proc/self/fd"))
    with connected(url) as client:
        client.sendall(request(url, "GET", f"/blobs/{blob.hex}?size={blob.size}"))
        assert client.recv(12) == b"HTTP/1.1 200"
        time.sleep(3)  # longer than a client may take nothing
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while part := client.recv(MIB):
                received += len(part)
    assert received < len(data)
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before)


def test_upload_that_stands_still_is_answered_in_time(url: str, tmp_path: Path) -> None:
    with connected(url) as client:
        client.sendall(request(url, "POST", "/blobs/upload", 9 * MIB) + bytes(3 * MIB))
        assert client.recv(12) == b"HTTP/1.1 408"
    wait_until(lambda: not leftovers(tmp_path))


def test_full_disk_of_the_server_is_told_to_the_client(url: str, tmp_path: Path, monkeypatch: Any) -> None:
    """Also where far more is still to come than the server reads to the end."""
    write = os.write

    def full(descriptor: int, piece: Any) -> int:
        if len(piece) > 100_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, piece)

    data = content(90 * MIB)
    monkeypatch.setattr(os, "write", full)
    for size in (9 * MIB, 90 * MIB):
        with pytest.raises(StoreFullError, match="No space left"):
            remote(url).put((data[:size],))
    monkeypatch.undo()
    assert not leftovers(tmp_path)
    assert remote(url).put((data,)).size == len(data)


def test_without_a_direct_socket_all_is_the_same(url: str, tmp_path: Path, monkeypatch: Any) -> None:
    """As with TLS, where the kernel cannot."""
    monkeypatch.delattr("headrace.server.serve.PROTOCOL")
    monkeypatch.setattr("headrace.server.serve.PROTOCOL", "elsewhere", raising=False)
    data = content(9 * MIB + 7)
    store = remote(url)
    blob = store.put((data,))
    assert store.get(blob) == data
    with pytest.raises(StoreAwayError, match="other bytes"):
        store.hasty().put_named(Blob(b"\1" * 32, len(data)), (data,))
    with connected(url) as client:
        client.sendall(request(url, "POST", "/blobs/upload", 9 * MIB) + bytes(3 * MIB))
        assert client.recv(12) == b"HTTP/1.1 408"
    wait_until(lambda: not leftovers(tmp_path))


def test_download_comes_into_the_cache_without_being_held(url: str, tmp_path: Path) -> None:
    data = content(12 * MIB + 1)
    far = remote(url)
    blob = far.put((data,))
    cache = LocalStore(tmp_path / "cache")
    assert CachedStore(far, cache).get(blob) == data
    assert cache.missing([blob]) == []
    full = LocalStore(tmp_path / "full")

    class Full(LocalStore):
        def upload(self, size: int) -> Any:
            raise StoreFullError("no room")

        def put(self, parts: Sequence[Any]) -> Blob:
            raise StoreFullError("no room")

    assert CachedStore(far, Full(tmp_path / "full")).get(blob) == data
    assert full.missing([blob]) == [blob]


def test_damaged_blob_of_the_server_is_no_blob_of_the_cache(url: str, tmp_path: Path) -> None:
    far = remote(url)
    blob = far.put((content(5 * MIB),))
    [path] = (tmp_path / "artifacts" / blob.hex[:2]).iterdir()
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.write(b"damage")
    with pytest.raises(BlobCorruptError):
        CachedStore(far, LocalStore(tmp_path / "cache")).get(blob)
    assert not list((tmp_path / "cache/tmp").iterdir())


def test_blobs_behind_a_bucket_are_sent_from_the_cache(server: StoreServer, tmp_path: Path) -> None:
    bucket = ObjectStore(f"file://{tmp_path}/bucket")
    (tmp_path / "bucket").mkdir()
    url = server.add(Workspace(Settings(home=str(tmp_path / "home"), artifacts=bucket.url)))
    data = content(7 * MIB)
    blob = bucket.put((data,))
    assert remote(url).get(blob) == data
    assert remote(url).put((data[:-1],)).size == len(data) - 1
    assert bucket.missing([Blob(blake3(data[:-1]).digest(), len(data) - 1)]) == []


def test_many_transfers_at_once_are_each_whole(url: str) -> None:
    store, failures = remote(url), []

    def transfer(number: int) -> None:
        data = content(5 * MIB + number, str(number).encode())
        if remote(url).get(store.put((data,))) != data:
            failures.append(number)

    threads = [threading.Thread(target=transfer, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
