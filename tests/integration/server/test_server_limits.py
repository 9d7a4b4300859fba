"""Requests that are too large, too slow or unfinished end by themselves, and cost others nothing."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn

from headrace import wiring
from headrace.server.app import build_app
from headrace.server.call import Call
from headrace.server.config import Limits, ServerConfig
from headrace.server.ranges import BytesResponse
from headrace.server.routes import Media, change, get
from headrace.server.serve import patient_protocol
from headrace.settings import Settings


class Said(msgspec.Struct):
    """A body."""

    text: str


def _echo(call: Call[Any, Said]) -> Said:
    return call.body


def _endless(call: Call[Any, None]) -> BytesResponse:
    return BytesResponse(call.request, [bytes(200 << 20)], "x", {"Content-Type": "text/plain"}, patience=1.0)


def _broken(call: Call[Any, None]) -> Said:
    raise ZeroDivisionError("the password is hunter2")


_search_may_end = threading.Event()


def _search(call: Call[Any, None]) -> Said:
    assert _search_may_end.wait(60)
    return Said("found")


ROUTES = (
    get("/search", _search, "A search that takes long", needs=None, result=Said, slow=True),
    change("POST", "/echo", _echo, "Echo", needs=None, body=Said, result=Said),
    get("/endless", _endless, "Bytes", needs=None, result=Media(types=("text/plain",))),
    get("/broken", _broken, "A defect", needs=None, result=Said),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A server with limits of a second, and routes of this module beside its own."""
    limits = Limits(body=10_000, body_seconds=1.0, head_seconds=1.0, stop_seconds=1.0)
    config = ServerConfig(port=0, limits=limits)
    scope = wiring.scope_at(Settings(home=str(tmp_path_factory.mktemp("home"))))
    app = build_app(config, scope, more=ROUTES)
    options = uvicorn.Config(app, http=patient_protocol(1.0), lifespan="off", log_config=None, port=0)
    server = uvicorn.Server(options)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield listener.getsockname()
    server.should_exit = True
    thread.join(20)
    listener.close()
    scope.workspace.close()


@pytest.fixture
def client(place: tuple[str, int]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{place[1]}/api/v1", timeout=30) as made:
        yield made


def until_closed(connection: socket.socket, seconds: float = 20.0) -> bytes:
    """What comes before the other side closes."""
    connection.settimeout(seconds)
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def head(place: tuple[str, int], *lines: str) -> bytes:
    """A POST to ``/echo`` without its body."""
    own = ("POST /api/v1/echo HTTP/1.1", f"Host: 127.0.0.1:{place[1]}", "Content-Type: application/json")
    return "\r\n".join([*own, *lines, "", ""]).encode()


def test_body_comes_back(client: httpx.Client) -> None:
    assert client.post("/echo", json={"text": "x"}).json() == {"text": "x"}
    packed = {"Content-Type": "application/x-msgpack"}
    assert client.post("/echo", content=msgspec.msgpack.encode(Said("y")), headers=packed).json() == {"text": "y"}


def test_announced_body_beyond_the_limit_is_refused_unread(place: tuple[str, int]) -> None:
    with socket.create_connection(place) as connection:
        connection.sendall(head(place, "Content-Length: 99999999999"))
        answer = until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"limit":10000' in answer


def test_body_that_grows_beyond_the_limit_is_refused(client: httpx.Client) -> None:
    answer = client.post("/echo", content=iter([b" " * 6_000] * 3), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:headrace:problem:too-large")


def test_body_that_does_not_come_is_refused(place: tuple[str, int]) -> None:
    with socket.create_connection(place) as connection:
        connection.sendall(head(place, "Content-Length: 100") + b'{"text"')
        assert until_closed(connection).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("part", [b"", b"GET / HT", b"GET /api/v1/about HTTP/1.1\r\nHost: 127"])
def test_connection_without_a_whole_head_is_closed(place: tuple[str, int], part: bytes) -> None:
    with socket.create_connection(place) as connection:
        connection.sendall(part)
        assert until_closed(connection) == b""


def test_reader_that_takes_nothing_is_cut_off(place: tuple[str, int], client: httpx.Client) -> None:
    with socket.create_connection(place) as connection:
        connection.sendall(f"GET /api/v1/endless HTTP/1.1\r\nHost: 127.0.0.1:{place[1]}\r\n\r\n".encode())
        time.sleep(3)
        assert client.get("/about").status_code == 200
        try:
            assert len(until_closed(connection)) < 100 << 20
        except ConnectionResetError:
            pass


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"text": 1}', "application/json", 400),
        (b"[" * 9_000, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"\xc1", "application/x-msgpack", 400),
        (b"", "application/json", 400),
        (b"text=x", "application/x-www-form-urlencoded", 415),
        (b"{}", "", 415),
    ],
)
def test_body_that_cannot_be_read_is_refused(client: httpx.Client, body: bytes, kind: str, status: int) -> None:
    answer = client.post("/echo", content=body, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_searches_that_take_long_hold_up_no_other_request(client: httpx.Client) -> None:
    with concurrent.futures.ThreadPoolExecutor(20) as readers:
        searches = [readers.submit(client.get, "/search", timeout=60) for _ in range(20)]
        try:
            assert client.post("/echo", json={"text": "x"}, timeout=60).json() == {"text": "x"}
            assert not any(one.done() for one in searches)
        finally:
            _search_may_end.set()
        assert [one.result().json() for one in searches] == [{"text": "found"}] * 20


def test_defect_says_nothing_of_itself(client: httpx.Client) -> None:
    answer = client.get("/broken")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:headrace:problem:defect")
    assert "hunter2" not in answer.text


def test_request_id_cannot_forge_headers_or_log_lines(client: httpx.Client, place: tuple[str, int]) -> None:
    assert client.get("/about", headers={"X-Request-ID": "x" * 500}).headers["x-request-id"] != "x" * 500
    answer = client.get("/a%0D%0ASet-Cookie:%20x=1")
    assert "set-cookie" not in answer.headers
