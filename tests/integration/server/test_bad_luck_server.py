"""A database that goes away, a full disk, a server that is killed, a run that is deleted while it is looked at."""

from __future__ import annotations

import collections
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.integration.server.conftest import Served, environment

from headrace.model.errors import StoreFullError
from headrace.model.records import Tag
from headrace.model.values import Blob
from headrace.stores.artifacts.http import HttpArtifacts
from headrace.stores.http_client import Endpoint
from headrace.stores.metadata.http import HttpMetadata
from headrace.stores.metadata.protocol import NewRun
from headrace.testing.metadata import artifact, task
from headrace.testing.postgres import restartable_postgres

RUNS = "/api/v1/projects/default/runs"
PATIENCE = 60.0
FLOW = """
import time
from pathlib import Path
from headrace import flow, step

@step
def work(n: int) -> int:
    with open("done.txt", "a") as file:
        file.write(f"{n}\\n")
    time.sleep(0.1)
    return n

@flow
def long(count: int = 30) -> int:
    return sum(work(n) for n in range(count))
"""


def wait_for(what: str, check: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < until, f"waited for {what}"
        time.sleep(0.05)


class Listener:
    """Reads the events of a run in a thread, as a browser does: it comes back where it was when a stream ends."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.heard: list[str] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        last = ""
        until = time.monotonic() + 2 * PATIENCE
        while "end" not in self.heard and time.monotonic() < until:
            headers = {"Last-Event-ID": last} if last else {}
            with (
                contextlib.suppress(httpx.HTTPError),
                httpx.stream("GET", self.url, headers=headers, timeout=PATIENCE) as answer,
            ):
                for line in answer.iter_lines():
                    kind, _, text = line.partition(":")
                    if kind == "id":
                        last = text.strip()
                    if kind == "event":
                        self.heard.append(text.strip())
            time.sleep(0.2)


def test_database_that_goes_away_is_said_and_waited_for(tmp_path: Path) -> None:
    """Readers are told at once to come again, streams stay, the driver goes on, and all comes back by itself."""
    laptop = tmp_path / "laptop"
    laptop.mkdir()
    (laptop / "flow.py").write_text(FLOW)
    done = laptop / "done.txt"
    done.touch()
    with restartable_postgres() as postgres:
        server = Served(tmp_path, "--database", postgres.url)
        run = subprocess.Popen(
            [sys.executable, "-m", "headrace", "run", "flow.py"],
            cwd=laptop,
            env=environment(HEADRACE_SERVER=server.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for("some steps", lambda: len(done.read_text().splitlines()) >= 5 or run.poll() is not None)
        listener = Listener(f"{server.url}{RUNS}/long/1/events")
        wait_for("events", lambda: "steps" in listener.heard)
        postgres.stop()
        began = time.monotonic()
        for path in (RUNS, f"{RUNS}/long/1", f"{RUNS}/long/1/logs", "/api/v1/projects", "/readyz"):
            answer = server.client.get(path)
            assert answer.status_code == 503, path
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["detail"] == "the metadata store does not answer; the log of the server says why"
        assert server.client.put(f"{RUNS}/long/1/tags/late", json={"value": "1"}).status_code == 503
        assert server.client.get("/healthz").status_code == 200
        assert time.monotonic() - began < PATIENCE / 2
        assert run.poll() is None
        postgres.start()
        assert server.client.get(f"{RUNS}/long/1").status_code == 200
        _, errors = run.communicate(timeout=2 * PATIENCE)
        assert run.returncode == 0, errors
        assert collections.Counter(done.read_text().split()) == {str(n): 1 for n in range(30)}
        assert server.client.get(f"{RUNS}/long/1").json()["run"]["state"] == "succeeded"
        wait_for("the end of the run", lambda: "end" in listener.heard)
        server.stop()


@contextlib.contextmanager
def no_room(process: subprocess.Popen[str], size: int) -> Iterator[None]:
    """Files of ``process`` cannot grow beyond ``size`` bytes, as on a disk that is full."""
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, hard))


def test_disk_that_is_full_refuses_what_does_not_fit_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    # without bytecode: what it imports while there is no room would be cut off, and stay so
    server = Served(tmp_path, PYTHONDONTWRITEBYTECODE="1")
    endpoint = Endpoint(server.url, lambda: "")
    artifacts, metadata = HttpArtifacts(endpoint, patient=False), HttpMetadata(endpoint, "default").hasty()
    new = NewRun(project="default", flow="long", dialect="native", entry="a.py:f", created=time.time())
    run, lease = metadata.open_run(new, "me:1:1", 600)
    small, large = os.urandom(1_000), os.urandom(3 << 20)
    kept = artifacts.put((small,))
    with no_room(server.process, 1 << 20):
        with pytest.raises(StoreFullError):
            artifacts.put((large,))
        assert artifacts.put((small + b"more",)).size == len(small) + 4
    writes = [task(run.id, number=n) for n in range(1, 400)]
    with no_room(server.process, 16 << 10):
        with pytest.raises(StoreFullError):
            metadata.commit(writes, lease, 600)
        answer = server.client.put(f"{RUNS}/long/1/tags/late", json={"value": "1"})
        assert (answer.status_code, answer.json()["error"]) == (507, "StoreFullError")
        assert server.client.get(f"{RUNS}/long/1/tags").json()["items"] == []
        assert bytes(artifacts.get(kept)) == small  # reading needs no room
    assert metadata.tasks(run.id) == []
    metadata.commit(writes, lease, 600)
    assert len(metadata.tasks(run.id)) == 399
    assert bytes(artifacts.get(artifacts.put((large,)))) == large
    assert not list((tmp_path / ".headrace/artifacts/tmp").iterdir())
    server.stop()


class Restarted:
    """A server on one port, which is killed and started again."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = int(found.getsockname()[1])
        self.folder = folder
        self.now = self._start()

    def _start(self) -> Served:
        return Served(self.folder, "--port", str(self.port))

    def kill(self) -> None:
        self.now.stop(signal.SIGKILL)

    def again(self) -> None:
        self.now = self._start()


def test_server_that_is_killed_in_any_request_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Clients that upload, commit and change runs all the time meet three deaths of the server."""
    server = Restarted(tmp_path)
    endpoint = Endpoint(server.now.url, lambda: "")
    metadata = HttpMetadata(endpoint, "default")
    new = NewRun(project="default", flow="long", dialect="native", entry="a.py:f", created=time.time())
    run, lease = metadata.open_run(new, "me:1:1", 600)
    over = threading.Event()
    stored: list[tuple[Blob, bytes]] = []
    tagged: list[str] = []
    committed: list[int] = []
    failures: list[BaseException] = []

    def upload() -> None:
        artifacts = HttpArtifacts(endpoint)
        while not over.is_set():
            data = os.urandom(1 << 20) * 2
            stored.append((artifacts.put((data,)), data))
            del stored[:-5]

    def commit() -> None:
        while not over.is_set():
            number = len(committed) + 1
            metadata.commit([task(run.id, number=number), artifact(run.id, number=number)], lease, 600)
            committed.append(number)

    def tag() -> None:
        while not over.is_set():
            name = f"t{len(tagged)}"
            with contextlib.suppress(httpx.HTTPError):
                answer = httpx.put(f"{endpoint.url}{RUNS}/long/1/tags/{name}", json={"value": "x"}, timeout=PATIENCE)
                assert answer.status_code < 400, answer.text
                tagged.append(name)

    def watched(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)
            over.set()

    threads = [threading.Thread(target=watched, args=(work,)) for work in (upload, commit, tag)]
    for thread in threads:
        thread.start()
    for pause in (0.5, 0.7, 0.9):
        time.sleep(pause)
        server.kill()
        server.again()
    wait_for("work after the last death", lambda: len(stored) == 5 or bool(failures))
    over.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert not failures, failures
    assert [one.number for one in metadata.tasks(run.id)] == committed
    tags = {one.name for one in metadata.tags([run.id])}
    assert set(tagged) <= tags  # what was answered holds; one that was not may have been made
    artifacts = HttpArtifacts(endpoint)
    assert all(bytes(artifacts.get(blob)) == data for blob, data in stored)
    server.now.stop()


def test_run_that_is_deleted_while_it_is_looked_at_ends_its_streams_and_is_gone(tmp_path: Path) -> None:
    server = Served(tmp_path)
    metadata = HttpMetadata(Endpoint(server.url, lambda: ""), "default")
    new = NewRun(project="default", flow="long", dialect="native", entry="a.py:f", created=time.time())
    run, lease = metadata.open_run(new, "me:1:1", 600)
    metadata.commit([task(run.id, number=n) for n in range(1, 30)] + [Tag(run.id, "a", "b")], lease, 600)
    page = server.client.get(f"{RUNS}/long/1/tasks", params={"limit": "10", "step": "fit"}).json()
    listener = Listener(f"{server.url}{RUNS}/long/1/events")
    wait_for("events", lambda: "steps" in listener.heard)
    metadata.delete_run(run.id)
    wait_for("the end of the stream", lambda: "end" in listener.heard)
    for path in ("", "/tasks", "/logs", "/graph", "/events", "/tasks/fit/1"):
        assert server.client.get(f"{RUNS}/long/1{path}").status_code == 404, path
    query = {"limit": "10", "step": "fit", "cursor": page["next"]}
    assert server.client.get(f"{RUNS}/long/1/tasks", params=query).status_code == 404
    assert server.client.put(f"{RUNS}/long/1/tags/late", json={"value": "1"}).status_code == 404
    server.stop()
