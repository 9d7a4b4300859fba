"""Commits that follow each other on one connection, and what else comes on it."""

from __future__ import annotations

import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.requests import HTTPConnection

from headrace.model.accounts import Role
from headrace.model.actors import Actor
from headrace.model.errors import LeaseLostError, StoreError, StoreReadOnlyError
from headrace.model.records import TaskId
from headrace.server.principals import Principal
from headrace.server.stores import commit_lane
from headrace.settings import Settings
from headrace.stores.http_client import Endpoint
from headrace.stores.metadata import wire
from headrace.stores.metadata.http import HttpMetadata
from headrace.stores.metadata.protocol import NewRun
from headrace.testing._metadata_samples import task
from headrace.testing.http_stores import StoreServer, store_server
from headrace.wiring import Workspace

NEW = NewRun(project="p", flow="train", dialect="native", entry="a.py:f", created=1.0, user="ed", host="h")


class Tokens:
    """Knows principals by their tokens."""

    def __init__(self) -> None:
        self.forgotten = 0
        self.roles = {"ed": Role.EDITOR, "vi": Role.VIEWER}

    async def authenticate(self, request: HTTPConnection) -> Principal | None:
        name = request.headers.get("authorization", "").removeprefix("Bearer ")
        found = self.roles.get(name)
        return None if found is None else Principal(name=name, actor=Actor(name), roles={"p": found})

    def forget(self) -> None:
        self.forgotten += 1


class Driver:
    """A store as a driver has it, the run it drives, and the commits that its lane made."""

    def __init__(self, url: str, tokens: Tokens, straight: list[str]) -> None:
        self.url, self.tokens, self.straight = url, tokens, straight
        self.store = HttpMetadata(Endpoint(url, lambda: "ed"), "p").hasty()
        self.run, self.lease = self.store.open_run(NEW, "me:1:1", 600)

    def commit(self, *numbers: int) -> None:
        for number in numbers:
            self.store.commit([task(self.run.id, number=number)], self.lease)

    def has(self, *numbers: int) -> bool:
        return all(self.store.task(self.run.id, TaskId("fit", number)) is not None for number in numbers)


@pytest.fixture(scope="module")
def server() -> Iterator[StoreServer]:
    with store_server() as running:
        yield running


@pytest.fixture
def driver(server: StoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    straight: list[str] = []
    answer = commit_lane._Lane._answer

    def counted(self: Any, commit: Callable[[], None]) -> bool:
        straight.append(threading.current_thread().name)
        return answer(self, commit)

    monkeypatch.setattr(commit_lane._Lane, "_answer", counted)
    tokens = Tokens()
    return Driver(server.add(Workspace(Settings(home=str(tmp_path))), tokens), tokens, straight)


def request(driver: Driver, number: int, *headers: str) -> bytes:
    """A commit as it travels."""
    lease = driver.lease
    held = (lease.name, lease.owner, lease.token, lease.note, 0.0, number)
    body = wire.encode_fit((wire.encode_writes([task(driver.run.id, number=number)]), *held))
    lines = [
        f"POST {urllib.parse.urlsplit(driver.url).path}/api/v1/store/commit HTTP/1.1",
        *("Host: x", "Headrace-Version: 0.1.0", f"Content-Type: {wire.MEDIA_TYPE}", "Headrace-Project: p"),
        *("Headrace-Hasty: 1", *(headers or ("Authorization: Bearer ed",)), f"Content-Length: {len(body)}"),
    ]
    return "\r\n".join([*lines, "\r\n"]).encode() + body


class Connection:
    """One connection, whose answers are read."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((str(parts.hostname), parts.port), timeout=60)
        self._stream = self.socket.makefile("rb")

    def ask(self, *pieces: bytes) -> int:
        """The status of the answer to what is sent."""
        for piece in pieces:
            self.socket.sendall(piece)
            time.sleep(0.02 if len(pieces) > 1 else 0)
        return self.status()

    def status(self) -> int:
        """Of the next answer."""
        status, length = int(self._stream.readline().split()[1]), 0
        while (line := self._stream.readline().lower()) != b"\r\n":
            length = int(line[15:]) if line.startswith(b"content-length:") else length
        self._stream.read(length)
        return status

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self.socket.close()


def test_commits_in_a_row_go_straight_and_other_calls_between_them_are_answered(driver: Driver) -> None:
    driver.commit(*range(1, 30))
    assert len(driver.straight) > 10
    assert driver.has(*range(1, 30))
    for number in range(30, 50):
        driver.commit(number)
        assert driver.has(number)


def test_error_of_a_commit_is_that_of_the_store_and_the_connection_goes_on(driver: Driver) -> None:
    driver.commit(1, 2, 3, 4)
    before = len(driver.straight)
    with pytest.raises(LeaseLostError):
        driver.store.commit([task(driver.run.id, number=5)], msgspec.structs.replace(driver.lease, token=99))
    driver.commit(6, 7, 8)
    assert len(driver.straight) > before
    assert driver.has(6, 7, 8)
    assert not driver.has(5)


def test_who_loses_a_role_commits_no_more(driver: Driver) -> None:
    driver.commit(1, 2, 3, 4)
    assert driver.straight
    driver.tokens.roles["ed"] = Role.VIEWER
    driver.tokens.forget()
    with pytest.raises(StoreReadOnlyError, match="viewer"):
        driver.commit(5)
    del driver.tokens.roles["ed"]
    driver.tokens.forget()
    with pytest.raises(StoreError, match="does not know who you are"):
        driver.commit(5)
    driver.tokens.roles["ed"] = Role.EDITOR
    assert not driver.has(5)


def test_request_with_other_headers_on_the_connection_is_checked_anew(driver: Driver) -> None:
    with Connection(driver.url) as connection:
        assert [connection.ask(request(driver, number)) for number in (1, 2, 3, 4)] == [200] * 4
        assert driver.straight
        assert connection.ask(request(driver, 5, "Authorization: Bearer vi")) == 403
        assert [connection.ask(request(driver, number)) for number in (6, 7, 8)] == [200] * 3
        assert connection.ask(request(driver, 9, "Authorization: Bearer ed", "Content-Length: 0")) in (400, 403, 422)
    assert driver.has(1, 2, 3, 4, 6, 7, 8)
    assert not driver.has(5)


def test_commit_that_comes_in_pieces_or_with_the_next_one_goes_the_usual_way(driver: Driver) -> None:
    with Connection(driver.url) as connection:
        assert [connection.ask(request(driver, number)) for number in (1, 2, 3)] == [200] * 3
        whole = request(driver, 4)
        for cut in (5, whole.index(b"\r\n\r\n") + 2, len(whole) - 3):
            assert connection.ask(whole[:cut], whole[cut:]) == 200
        connection.socket.sendall(request(driver, 5) + request(driver, 6) + request(driver, 7))
        assert [connection.status() for _ in range(3)] == [200] * 3
        time.sleep(0.7)  # longer than a thread waits for the next commit
        assert [connection.ask(request(driver, number)) for number in (8, 9, 10)] == [200] * 3
    assert driver.has(*range(1, 11))


def test_more_drivers_than_lanes_commit_all_the_same(driver: Driver) -> None:
    connections = [Connection(driver.url) for _ in range(commit_lane._LANES + 8)]
    number = 0
    for _ in range(4):
        for connection in connections:
            number += 1
            assert connection.ask(request(driver, number)) == 200
    for connection in connections:
        connection.__exit__()
    assert driver.has(*range(1, number + 1))
    until = time.monotonic() + 60
    before = len(driver.straight)
    while len(driver.straight) < before + 3:  # threads are free again
        assert time.monotonic() < until
        number += 1
        driver.commit(number)
