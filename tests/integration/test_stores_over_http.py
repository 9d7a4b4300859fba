"""The stores over HTTP: who may what, versions, limits, broken connections, requests that do not fit."""

from __future__ import annotations

import http.client
import io
import os
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from headrace.model.accounts import Role
from headrace.model.actors import Actor
from headrace.model.errors import (
    HeadraceError,
    NotFoundError,
    StoreAwayError,
    StoreError,
    StoreReadOnlyError,
    StoreVersionError,
)
from headrace.model.records import Request, RunRecord, Tag
from headrace.model.values import Blob
from headrace.server.config import Limits
from headrace.server.principals import Principal
from headrace.server.stores.exchange import version_problem
from headrace.settings import Settings
from headrace.stores.artifacts.http import HttpArtifacts
from headrace.stores.http_client import Endpoint
from headrace.stores.metadata import wire
from headrace.stores.metadata.http import HttpMetadata
from headrace.stores.metadata.protocol import NewRun, RunChange
from headrace.testing._metadata_samples import points, task
from headrace.testing.http_stores import StoreServer, store_server
from headrace.testing.proxy import Fault, HttpProxy, Proxy
from headrace.wiring import Workspace


class Tokens:
    """Knows principals by their tokens."""

    forgotten = 0

    def __init__(self, **principals: Principal) -> None:
        self.principals = principals

    async def authenticate(self, request: HTTPConnection) -> Principal | None:
        return self.principals.get(request.headers.get("authorization", "").removeprefix("Bearer "))

    def forget(self) -> None:
        pass


def principal(name: str, **more: Any) -> Principal:
    return Principal(name=name, actor=Actor(name), **more)


def new_run(project: str = "p", user: str = "") -> NewRun:
    return NewRun(project=project, flow="train", dialect="native", entry="a.py:f", created=1.0, user=user, host="h")


@pytest.fixture(scope="module")
def server() -> Iterator[StoreServer]:
    with store_server() as running:
        yield running


class House:
    """A server with accounts, and stores as its users have them."""

    def __init__(self, server: StoreServer, home: Path, tokens: Tokens) -> None:
        self.tokens = tokens
        self.workspace = Workspace(Settings(home=str(home)))
        self.url = server.add(self.workspace, tokens)

    def metadata(self, token: str, project: str = "p") -> HttpMetadata:
        return HttpMetadata(Endpoint(self.url, lambda: token), project).hasty()

    def artifacts(self, token: str) -> HttpArtifacts:
        return HttpArtifacts(Endpoint(self.url, lambda: token)).hasty()


@pytest.fixture
def house(server: StoreServer, tmp_path: Path) -> House:
    tokens = Tokens(
        root=principal("root", admin=True),
        ed=principal("ed", roles={"p": Role.EDITOR, "q": Role.VIEWER}),
        vi=principal("vi", roles={"p": Role.VIEWER}),
        narrow=principal("ed", roles={"p": Role.EDITOR, "q": Role.EDITOR}, project="p", most=Role.VIEWER),
        nobody=principal("nobody"),
    )
    return House(server, tmp_path, tokens)


# --- who may what -----------------------------------------------------------------------------------------------


def test_roles_are_those_of_the_project(house: House) -> None:
    """Who may not see a project finds nothing there; who may only see it changes nothing."""
    run = house.metadata("ed").create_run(new_run())
    assert house.metadata("vi").run("train", 1) == run
    for token in ("vi", "narrow"):
        with pytest.raises(StoreReadOnlyError, match="role editor"):
            house.metadata(token).commit([Tag(run.id, "t")])
    with pytest.raises(StoreReadOnlyError, match="viewer of project 'q'"):
        house.metadata("ed", "q").create_run(new_run("q"))
    for token, project in (("vi", "q"), ("narrow", "q"), ("nobody", "p")):
        with pytest.raises(NotFoundError, match=f"no project '{project}'"):
            house.metadata(token, project).run("train", 1)
    with pytest.raises(StoreError, match="does not know who you are: run `headrace login http"):
        house.metadata("stranger").run("train", 1)
    assert house.metadata("root").tags([run.id]) == []


def test_run_of_another_project_is_not_there(house: House) -> None:
    """The project of the request is the wall, also for those who may see both sides."""
    theirs = house.metadata("root", "q").create_run(new_run("q"))
    ours = house.metadata("ed")
    assert ours.run_by_id(theirs.id) is None
    assert ours.tasks(theirs.id) == []
    with pytest.raises(NotFoundError, match="has no run with the id"):
        ours.commit([Tag(theirs.id, "t")])
    with pytest.raises(NotFoundError, match="asked to write in project 'q'"):
        ours.create_run(new_run("q"))
    with pytest.raises(NotFoundError, match="has no lease"):
        ours.acquire(f"run:{theirs.id}", "me", 10)
    assert house.metadata("ed", "").projects() == ["q"]
    assert house.metadata("vi", "").projects() == []


def test_what_concerns_all_projects_is_for_admins(house: House) -> None:
    whole = house.metadata("ed", "")
    for call in (lambda: whole.run_by_id(1), lambda: list(whole.referenced_blobs()), whole.compact):
        with pytest.raises(StoreReadOnlyError, match="admins of the server"):
            call()
    blob = house.artifacts("ed").put((b"x",))
    for call in (lambda: house.artifacts("ed").delete([blob.digest]), lambda: list(house.artifacts("ed").list())):
        with pytest.raises(StoreReadOnlyError, match="admins of the server"):
            call()
    assert list(house.metadata("root", "").referenced_blobs()) == []
    assert [one.digest for one in house.artifacts("root").list()] == [blob.digest]


def test_blobs_are_stored_by_editors_and_read_by_viewers_of_any_project(house: House) -> None:
    blob = house.artifacts("ed").put((b"content",))
    assert bytes(house.artifacts("vi").get(blob)) == b"content"
    with pytest.raises(StoreReadOnlyError, match="vi is not editor"):
        house.artifacts("vi").put((b"other",))
    with pytest.raises(StoreReadOnlyError, match="nobody is not viewer"):
        house.artifacts("nobody").get(blob)


def test_names_in_what_is_written_are_those_of_the_principal(house: House) -> None:
    """Whatever a client says of its user."""
    store = house.metadata("ed")
    run, lease = store.open_run(new_run(user="ada"), "me:1:1", 60)
    assert (run.user, run.host) == ("ed", "h")
    asked = Request(run.id, "p", run.name, "tag", "t", "ada@laptop", 2.0)
    store.commit([RunChange(run_id=run.id, user="ada", error="e"), asked], lease)
    changed = store.run_by_id(run.id)
    assert changed is not None
    assert (changed.user, changed.error) == ("ed", "e")
    assert [one.actor for one in store.requests()] == ["ed@laptop"]
    store.send(run.id, "cancel", "", b"", "ada@laptop", 3.0)
    assert [one.sender for one in store.signals(run.id)] == ["ed@laptop"]


def test_token_for_one_run_writes_to_no_other(house: House) -> None:
    """It reads the project, drives its run, and opens none."""
    other, own = house.metadata("ed").create_run(new_run()), house.metadata("ed").create_run(new_run())
    house.tokens.principals["driver"] = principal("ed", roles={"p": Role.EDITOR}, run=own.id)
    store = house.metadata("driver")
    lease = store.acquire(f"run:{own.id}", "me", 60)
    store.commit([Tag(own.id, "mine")], lease, 60)
    elsewhere = house.metadata("ed").acquire(f"run:{other.id}", "me", 60)
    assert [run.id for run in (store.run_by_id(other.id), store.run_by_id(own.id)) if run] == [other.id, own.id]
    for call in (
        lambda: store.commit([Tag(own.id, "t"), Tag(other.id, "t")], lease),
        lambda: store.commit([Tag(own.id, "t")], elsewhere, 60),
        lambda: store.acquire(f"run:{other.id}", "me", 60),
        lambda: store.send(other.id, "cancel", "", b"", "me", 1.0),
        lambda: store.delete_run(other.id),
        lambda: store.open_run(new_run(), "me", 60),
        lambda: store.import_rows({}, "p"),
    ):
        with pytest.raises(StoreReadOnlyError, match=f"for the run with the id {own.id} alone"):
            call()
    assert house.metadata("ed").tags([own.id, other.id]) == [Tag(own.id, "mine")]


# --- versions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "problem"),
    [
        ("1.4.2", ""),
        ("1.4.0", ""),
        ("1.4.2rc1", ""),
        ("1.4.3", "newer Headrace 1.4.3; update the server first, or install headrace==1.4.2"),
        ("1.3.9", "the server is Headrace 1.4.2, this is Headrace 1.3.9; both must be of the same minor version"),
        ("2.4.2", "install headrace==1.4.2 here, or update the server"),
        ("1.4", "this is Headrace 1.4;"),
        ("1.4.\n", "of an unknown version"),
        ("\u0663.4.2", "of an unknown version"),
        ("9" * 400 + ".1.1", "both must be of the same minor version"),
    ],
)
def test_clients_of_the_same_minor_version_up_to_the_server_s_own_are_understood(client: str, problem: str) -> None:
    assert problem in version_problem(client, server="1.4.2")
    assert bool(problem) == bool(version_problem(client, server="1.4.2"))
    assert version_problem(client, "2", server="1.4.2")


def test_client_of_another_version_is_told_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.stores.http_client.__version__", "7.0.0")
    with pytest.raises(StoreVersionError, match="both must be of the same minor version"):
        house.metadata("ed").check()


# --- broken connections -----------------------------------------------------------------------------------------


def proxied(server: StoreServer, url: str, proxy: Any) -> str:
    """``url`` by way of ``proxy``."""
    return url.replace(server.url, f"http://127.0.0.1:{proxy.address[1]}")


def target(server: StoreServer) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(server.url)
    return str(parts.hostname), int(parts.port or 0)


def test_commit_whose_answer_was_lost_is_made_once(server: StoreServer, tmp_path: Path) -> None:
    """The driver commits the same again, over another connection, until it hears that it was made."""
    url = server.add(Workspace(Settings(home=str(tmp_path))))
    answers = iter([Fault(cut_answer=10), Fault(cut_request=60), Fault(status=503), None, Fault(cut_answer=10)])

    def fault(method: str, path: str) -> Fault | None:
        return next(answers, None) if path.endswith("/commit") else None

    with HttpProxy(target(server), fault) as proxy:
        store = HttpMetadata(Endpoint(proxied(server, url, proxy), lambda: "")).hasty()
        run, lease = store.open_run(new_run(), "me:1:1", 60)
        writes = [points(run.id, "loss", 1.0), Tag(run.id, "a")]
        for _ in range(3):
            with pytest.raises(StoreAwayError, match=r"broke off|503|Fault"):
                store.commit(writes, lease, 60)
        store.commit(writes, lease, 60)
        with pytest.raises(StoreAwayError):
            store.commit([points(run.id, "loss", 2.0, first=1)], lease, 60)
        patient = HttpMetadata(Endpoint(proxied(server, url, proxy), lambda: ""))
        patient._commits = store._commits
        patient.commit([points(run.id, "loss", 3.0, first=2)], lease, 60)
        assert [chunk.values for chunk in store.metrics(run.id)] == [(1.0,), (2.0,), (3.0,)]


def test_patient_store_waits_for_a_server_and_a_hasty_one_does_not(server: StoreServer, tmp_path: Path) -> None:
    url = server.add(Workspace(Settings(home=str(tmp_path))))
    with Proxy(target(server)) as proxy:
        store = HttpMetadata(Endpoint(proxied(server, url, proxy), lambda: ""))
        run = store.create_run(new_run())
        proxy.refusing = True
        proxy.cut()
        with pytest.raises(StoreAwayError, match=r"127\.0\.0\.1"):
            store.hasty().run_by_id(run.id)
        threading.Timer(0.5, lambda: setattr(proxy, "refusing", False)).start()
        assert store.run_by_id(run.id) == run


def test_poll_for_signals_ends_when_the_server_stops(tmp_path: Path) -> None:
    """A driver that listens does not keep its server from stopping."""
    with store_server() as own:
        store = HttpMetadata(Endpoint(own.add(Workspace(Settings(home=str(tmp_path)))), lambda: ""))
        run = store.create_run(new_run())
        heard: list[bytes] = []
        poll = threading.Thread(target=lambda: heard.append(store._client.ask(store._poll({run.id: 0}, 100.0))))
        poll.start()
        ask(f"{own.url}/stop", "GET", "/")
        poll.join(60)
        assert heard == [wire.encode([])]
        store.close()


def test_call_that_must_not_be_made_twice_is_not_repeated(server: StoreServer, tmp_path: Path) -> None:
    """A run is opened once, or it is said that this is not known."""
    url = server.add(Workspace(Settings(home=str(tmp_path))))
    with HttpProxy(target(server), lambda _, path: Fault(cut_answer=5) if "create_run" in path else None) as proxy:
        store = HttpMetadata(Endpoint(proxied(server, url, proxy), lambda: ""))
        with pytest.raises(StoreAwayError, match="whether it did what was asked is not known"):
            store.create_run(new_run("default"))
        assert store.flows("default") == [("train", 1, 1.0)]


def test_download_that_breaks_off_goes_on_where_it_was(server: StoreServer, tmp_path: Path) -> None:
    url = server.add(Workspace(Settings(home=str(tmp_path))))
    content = os.urandom(1 << 20) * 33
    blob = HttpArtifacts(Endpoint(url, lambda: "")).put((content,))
    with Proxy(target(server)) as proxy:
        store = HttpArtifacts(Endpoint(proxied(server, url, proxy), lambda: ""))
        store._links_from = float("inf")
        proxy.cut_after_answer = 20 << 20
        assert store.get(blob) == content
        assert proxy.cut_after_answer is None
        assert proxy.accepted == 2


def test_upload_that_arrives_altered_is_not_stored(house: House) -> None:
    store = house.artifacts("ed")
    for size in (10, 300_000):
        blob = Blob(b"\1" * 32, size)
        with pytest.raises(StoreAwayError, match="other bytes than its name promises"):
            store.put_named(blob, (bytes(size),))
        assert store.missing([blob]) == [blob]
    assert list(house.artifacts("root").list()) == []
    assert not list(Path(house.workspace.settings.home, "artifacts", "tmp").iterdir())


# --- requests that are not as they should be --------------------------------------------------------------------


def ask(
    url: str, method: str, path: str, body: Any = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes, dict[str, str]]:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    given = {"Headrace-Version": "0.1.0", "Content-Type": wire.MEDIA_TYPE, **(headers or {})}
    connection.request(method, f"{parts.path}/api/v1{path}", body, {k: v for k, v in given.items() if v})
    answer = connection.getresponse()
    found = answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    connection.close()
    return found


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/store/run_by_id", {"Headrace-Version": ""}, 400),
        ("POST", "/store/run_by_id", {"Content-Type": "text/plain"}, 415),
        ("GET", "/store/run_by_id", {}, 405),
        ("POST", "/store/nothing", {}, 404),
        ("POST", "/store/../../etc", {}, 404),
        ("POST", "/store/hasty", {}, 404),
        ("POST", "/store/commit", {"Content-Length": str(1 << 40)}, 413),
        ("POST", "/store/run_by_id", {"Content-Length": str(1 << 30)}, 413),
        ("PUT", f"/blobs/{'0' * 64}", {"Transfer-Encoding": "chunked"}, 411),
        ("PUT", "/blobs/..%2f..%2fetc", {}, 404),
        ("GET", f"/blobs/{'0' * 64}", {}, 422),
        ("GET", f"/blobs/{'0' * 64}?size=-1", {}, 422),
        ("GET", f"/blobs/{'0' * 64}?size=1", {}, 410),
        ("GET", f"/blobs/{'G' * 64}?size=1", {}, 404),
        ("DELETE", f"/blobs/{'0' * 64}", {}, 405),
    ],
)
def test_what_is_not_a_call_is_refused(
    house: House, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    body = iter([b""]) if "Transfer-Encoding" in headers else None
    found, text, _ = ask(house.url, method, path, body, {"Authorization": "Bearer root", **headers})
    assert (found, msgspec.json.decode(text)["status"]) == (status, status)


def test_body_that_does_not_come_in_time_is_not_waited_for(server: StoreServer, tmp_path: Path) -> None:
    url = server.add(Workspace(Settings(home=str(tmp_path))), limits=Limits(chunk_seconds=0.3))
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    connection.putrequest("PUT", f"{parts.path}/api/v1/blobs/{'0' * 64}")
    connection.putheader("Headrace-Version", "0.1.0")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders(b"x" * 1000)
    began = time.monotonic()
    assert connection.getresponse().status == 408
    assert time.monotonic() - began < 30
    connection.close()


@pytest.mark.parametrize("cuts", [(1,), (100, 70_000, 70_001), (3 << 20, (4 << 20) + 5), ()])
def test_upload_in_any_pieces_leaves_the_connection_for_the_next_request(
    server: StoreServer, tmp_path: Path, cuts: tuple[int, ...]
) -> None:
    """With the bytes of the next request right behind it, and after one that was refused or is there already."""
    url = server.add(Workspace(Settings(home=str(tmp_path))))
    parts = urllib.parse.urlsplit(url)
    content = os.urandom(1 << 20) * 9
    name = blake3(content).hexdigest()
    ends = (*cuts, len(content))

    def head(method: str, path: str, size: int) -> bytes:
        lines = [f"{method} {parts.path}/api/v1{path} HTTP/1.1", "Host: x", "Headrace-Version: 0.1.0"]
        return "\r\n".join([*lines, f"Content-Length: {size}", "\r\n"]).encode()

    def answers(stream: io.BufferedReader, method: str) -> tuple[int, bytes]:
        status = int(stream.readline().split()[1])
        length = 0
        while (line := stream.readline().lower()) != b"\r\n":
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        return status, stream.read(length if method != "HEAD" else 0)

    with socket.create_connection((str(parts.hostname), parts.port), timeout=60) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = client.makefile("rb")
        for digest, status in ((name, 201), ("0" * 64, 422), (name, 201)):
            client.sendall(head("PUT", f"/blobs/{digest}", len(content)))
            for start, end in zip((0, *ends), ends, strict=False):
                time.sleep(0.02)
                following = head("HEAD", f"/blobs/{name}?size=9437184", 0) if end == ends[-1] else b""
                client.sendall(content[start:end] + following)
            assert answers(stream, "PUT")[0] == status
            assert answers(stream, "HEAD") == (200, b"")
        client.sendall(head("GET", f"/blobs/{name}?size=9437184", 0))
        assert answers(stream, "GET") == (200, content)
        stream.close()
    assert not list((tmp_path / "artifacts/tmp").iterdir())


def test_client_that_leaves_within_an_upload_leaves_nothing(server: StoreServer, tmp_path: Path) -> None:
    url = server.add(Workspace(Settings(home=str(tmp_path))))
    parts = urllib.parse.urlsplit(url)
    for sent in (1_000, 5 << 20):
        with socket.create_connection((str(parts.hostname), parts.port), timeout=60) as client:
            lines = [f"PUT {parts.path}/api/v1/blobs/{'0' * 64} HTTP/1.1", "Host: x", "Headrace-Version: 0.1.0"]
            client.sendall("\r\n".join([*lines, "Content-Length: 9000000", "\r\n"]).encode() + bytes(sent))
    until = time.monotonic() + 60
    while not (tmp_path / "artifacts/tmp").exists() or list((tmp_path / "artifacts/tmp").iterdir()):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert ask(url, "POST", "/blobs/missing", wire.encode([]))[0] == 200


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=6)
    | st.binary(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=12,
)
_likely = st.lists(
    st.integers(-3, 2**64 - 1) | st.sampled_from(["", "train", "p", "fit", "run:1", "\0", "\ud7ff"]) | _values,
    max_size=7,
)


def test_arguments_that_do_not_fit_are_refused(server: StoreServer, tmp_path: Path) -> None:
    """Whatever comes, the answer is the client's fault or no fault at all, and the store goes on as before."""
    workspace = Workspace(Settings(home=str(tmp_path)))
    url = server.add(workspace)
    store = HttpMetadata(Endpoint(url, lambda: ""), "p")
    run: RunRecord = store.create_run(new_run())
    store.commit([task(run.id)])
    harmless = [name for name in wire.names() if name not in ("delete_run", "compact")]

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(
        name=st.sampled_from([*harmless, "commit", "commit"]),
        body=st.binary(max_size=30) | st.builds(msgspec.msgpack.encode, _values | _likely),
        pairs=st.none() | st.lists(st.tuples(st.sampled_from(["Tag", "TaskRecord", "Edge", "x"]), _values), max_size=3),
        project=st.sampled_from(["p", "%00", "nowhere"]),
    )
    def check(name: str, body: bytes, pairs: list[tuple[str, Any]] | None, project: str) -> None:
        if pairs is not None and name == "commit":
            body = msgspec.msgpack.encode([pairs])
        status, text, _ = ask(url, "POST", f"/store/{name}", body, {"Headrace-Project": project})
        assert status < 500, text

    check()
    assert store.run_by_id(run.id) == run
    assert store.tasks(run.id) == [task(run.id)]


def test_ranges_are_those_of_the_blob(server: StoreServer, tmp_path: Path) -> None:
    """What is asked for in a way that the protocol has is answered so; all else gets the whole, or 416."""
    url = server.add(Workspace(Settings(home=str(tmp_path))))
    content = bytes(range(200))
    blob = HttpArtifacts(Endpoint(url, lambda: "")).put((content,))
    numbers = st.integers(0, 300).map(str) | st.just("")

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(
        text=st.builds("bytes={}-{}".format, numbers, numbers)
        | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
    )
    def check(text: str) -> None:
        status, body, headers = ask(url, "GET", f"/blobs/{blob.hex}?size=200", None, {"Range": text})
        if status == 200:
            assert body == content
        elif status == 206:
            start, end = headers["content-range"].removeprefix("bytes ").partition("/")[0].split("-")
            assert body == content[int(start) : int(end) + 1]
            first, _, last = text.removeprefix("bytes=").partition("-")
            expected = content[int(first) : int(last) + 1 if last else None] if first else content[-int(last) :]
            assert body == expected
        else:
            assert (status, headers["content-range"]) == (416, "bytes */200")

    check()


def test_server_that_is_none_is_named(server: StoreServer) -> None:
    with pytest.raises(HeadraceError, match=r"is not a Headrace server|cannot be reached"):
        HttpMetadata(Endpoint(f"{server.url}/nothing/here", lambda: "")).hasty().check()
