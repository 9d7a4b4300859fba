"""Live events: what a driver does reaches every listener once, in order, also across reconnections and restarts."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.integration.server.conftest import Served, environment, headrace

FLOW = """
import time
from pathlib import Path
from headrace import flow, step, log_metric

@step
def talk(count: int) -> int:
    for i in range(count):
        print(f"line {i}", flush=True)
        log_metric("loss", 1.0 / (i + 1), step=i)
        while i == count // 2 and not Path("go").exists():
            time.sleep(0.05)
    return count

@flow
def chat(count: int = 40) -> int:
    return talk(count)
"""
EVENTS = "/api/v1/projects/default/runs/chat/1/events"


class Heard:
    """The events of one stream."""

    def __init__(self, client: httpx.Client, path: str = EVENTS, last: str = "") -> None:
        self.events: list[tuple[str, dict]] = []
        self.last = last
        self.client, self._path = client, path

    def until(self, kind: str, seconds: float = 60) -> Heard:
        """Listen until an event of that kind comes."""
        headers = {"Last-Event-ID": self.last} if self.last else {}
        stop = time.monotonic() + seconds
        with self.client.stream("GET", self._path, headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            name = ""
            pending = False
            for line in answer.iter_lines():
                assert time.monotonic() < stop, self.events
                if line.startswith("id: "):
                    self.last = line[4:]
                elif line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    self.events.append((name, json.loads(line[6:])))
                    pending = pending or name == kind
                elif not line and pending and self.last:
                    break
        return self

    def of(self, kind: str) -> list[dict]:
        return [data for name, data in self.events if name == kind]

    @property
    def lines(self) -> list[str]:
        """The whole output, pieces that came twice left out."""
        pieces = {}
        for data in self.of("log"):
            for one in data["items"]:
                pieces.setdefault((one["task"], one["attempt"], one["stream"], one["seq"]), one["text"])
        return "".join(pieces.values()).splitlines()


@pytest.fixture
def chatting(tmp_path: Path) -> Iterator[tuple[Path, Served, subprocess.Popen]]:
    """A run that waits in its middle for the file ``go``, and a server."""
    (tmp_path / "chat.py").write_text(FLOW)
    server = Served(tmp_path)
    run = subprocess.Popen([sys.executable, "-m", "headrace", "run", "chat.py"], cwd=tmp_path, env=environment())
    while server.client.get(EVENTS.removesuffix("/events")).status_code != 200:
        time.sleep(0.1)
    yield tmp_path, server, run
    (tmp_path / "go").touch()
    run.wait(60)
    if server.process.returncode is None:
        server.stop()


def test_listener_misses_nothing_across_a_restart_of_the_server(chatting) -> None:
    folder, server, run = chatting
    heard = Heard(server.client).until("run")
    assert heard.of("run")[0]["state"] == "running"
    server.stop()
    (folder / "go").touch()
    assert run.wait(60) == 0
    again = Served(folder)
    try:
        heard.client = again.client
        heard.until("run")
        assert heard.of("run")[-1]["state"] == "succeeded"
        whole = "".join(item["text"] for item in again.client.get(EVENTS.replace("events", "logs")).json()["items"])
        assert len(heard.lines) >= 19
        assert whole.splitlines()[-len(heard.lines) :] == heard.lines
        metrics = {data["id"]: data["steps"] for data in heard.of("metric")}
        steps = [step for _, some in sorted(metrics.items()) for step in some]
        assert len(steps) >= 19
        assert steps == list(range(40))[-len(steps) :]
    finally:
        again.stop()


def test_hundred_listeners_hear_the_same_from_one_poller(chatting) -> None:
    folder, server, run = chatting
    ears = [Heard(httpx.Client(base_url=server.url, timeout=60)) for _ in range(100)]
    threads = [threading.Thread(target=ear.until, args=("end",)) for ear in ears]
    for thread in threads:
        thread.start()
    stop = time.monotonic() + 60
    while "headrace_listeners 100.0" not in (text := server.client.get("/metrics").text):
        assert time.monotonic() < stop, text
        time.sleep(0.2)
    assert "headrace_pollers 1.0" in text
    (folder / "go").touch()
    for thread in threads:
        thread.join(60)
    for ear in ears:
        ear.client.close()
    assert run.wait(60) == 0
    told = [ear.of("log")[-1] for ear in ears]
    assert all(one == told[0] for one in told)
    assert ears[0].lines[-1] == "line 39"
    assert {ear.of("end")[0]["state"] for ear in ears} == {"succeeded"}


def test_events_of_a_project_name_runs_that_are_new(tmp_path: Path) -> None:
    (tmp_path / "chat.py").write_text(FLOW)
    (tmp_path / "go").touch()
    server = Served(tmp_path)
    path = "/api/v1/projects/default/events"
    heard = Heard(server.client, path).until("runs")
    assert heard.of("runs") == [{"items": [], "gone": []}]
    assert headrace(tmp_path, "run", "chat.py").returncode == 0
    told = Heard(server.client, path, heard.last).until("runs").of("runs")
    assert told[-1]["items"][0]["name"] == "chat/1"
    code, err = server.stop()
    assert (code, "Traceback" in err) == (0, False)


_PARTS = st.from_regex(r"\d{0,20}", fullmatch=True) | st.sampled_from(["-1", "9" * 18, "0x1", "1e9", ""])
_IDS = st.tuples(_PARTS, _PARTS, st.text("0123456789abcdefg", min_size=22, max_size=25)).map("-".join)


def test_any_last_event_id_is_answered_with_how_it_stands(served: Served) -> None:
    """Ids that were never given, and those of a place that the run has not reached."""
    path = "/api/v1/projects/default/runs/train/1/events"

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(_IDS | st.binary(max_size=250).map(lambda raw: raw.decode("latin-1")))
    @example("9" * 300)
    def check(last: str) -> None:
        sent = bytes(byte for byte in last.encode("latin-1", "replace") if 31 < byte != 127)  # what a header may hold
        for how in ({"headers": {b"Last-Event-ID": sent}}, {"params": {"after": last}}):
            with served.client.stream("GET", path, **how) as answer:
                if answer.status_code == 400:  # as of any query, a NUL is refused
                    assert "\0" in last
                    continue
                assert answer.status_code == 200, answer.read()
                assert any(line.startswith("event: ") for line in answer.iter_lines())

    check()
