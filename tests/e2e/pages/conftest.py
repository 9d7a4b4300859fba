"""A workspace with runs of every kind, a real ``headrace server`` over it, and Chromium to look at its pages."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright
from tests.e2e.pages.flows import CARDS_FLOW, FLOWS, PAYLOADS_FLOW, STARTS

from headrace.engine.counters import LoopCounters
from headrace.engine.rows import pod_record
from headrace.model.pod_history import PodEvent, PodHistory
from headrace.model.records import AttemptRecord, Edge, QueueCount, Success, TaskRecord, lease_name
from headrace.model.states import AttemptState, RunState, TaskState
from headrace.settings import Settings
from headrace.stores.metadata.protocol import MetadataStore, NewRun, RunChange
from headrace.wiring import Workspace

ROOT = Path(__file__).resolve().parents[3]
NOW = time.time() - 3600


def environment() -> dict[str, str]:
    """The variables of this process without settings of Headrace."""
    return {name: text for name, text in os.environ.items() if not name.startswith("HEADRACE_")}


def headrace(folder: Path, *argv: str) -> subprocess.Popen[str]:
    """Start the command line in ``folder``."""
    return subprocess.Popen(
        [sys.executable, "-m", "headrace", *argv],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ui_build() -> ModuleType:
    """``ui/build.py``."""
    spec = importlib.util.spec_from_file_location("ui_build", ROOT / "ui" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def built() -> None:
    """The pages, built of the files as they are."""
    ui_build().build()


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the flows of ``flows.py`` ran as ``STARTS`` say."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "flows.py").write_text(FLOWS)
    (folder / "payloads.py").write_text(PAYLOADS_FLOW)
    (folder / "hostile.py").write_text(CARDS_FLOW)
    for argv, code in STARTS:
        started = headrace(folder, "run", *argv)
        out, _ = started.communicate(timeout=100)
        assert started.returncode == code, out
    with Workspace(Settings(home=str(folder / ".headrace"))) as opened:
        many_steps(opened.metadata)
        in_pods(opened.metadata)
        without_pods(opened.metadata)
    return folder


def in_pods(store: MetadataStore) -> None:
    """A run whose task lost its first pod, with what is recorded of both."""
    run = store.create_run(NewRun(project="default", flow="pods", dialect="native", entry="p.py:pods", created=NOW))
    of = {"run_id": run.id, "step": "fit", "number": 1, "place": "gpu", "pid": 7, "session": 1}
    told = (
        ("pods-1-a", "node-3", "its node was <b>drained</b>"),
        ("pods-1-b", "node-7", "its worker joined the run"),
    )
    store.commit(
        [
            *(
                pod_record(
                    run.id,
                    PodHistory(
                        place="gpu",
                        pod=pod,
                        node=node,
                        image="registry.example/headrace:1",
                        created=NOW,
                        events=(PodEvent(NOW + 1, f"scheduled on node {node}"), PodEvent(NOW + 2, text, 3)),
                    ),
                )
                for pod, node, text in told
            ),
            msgspec.structs.replace(succeeded(run.id, "fit"), attempts=2, success=None),
            AttemptRecord(
                attempt=1,
                state=AttemptState.LOST,
                started=NOW,
                finished=NOW + 2,
                host="pods-1-a on node-3",
                error="its node was drained",
                **of,
            ),
            AttemptRecord(
                attempt=2,
                state=AttemptState.SUCCEEDED,
                started=NOW + 3,
                finished=NOW + 8,
                host="pods-1-b on node-7",
                **of,
            ),
            RunChange(run_id=run.id, state=RunState.SUCCEEDED, started=NOW, finished=NOW + 8),
        ]
    )


def without_pods(store: MetadataStore) -> None:
    """A live run, driven elsewhere, whose pods find no node."""
    run = store.create_run(NewRun(project="default", flow="pending", dialect="native", entry="p.py:p", created=NOW))
    lease = store.acquire(lease_name(run.id), "elsewhere:1:1", 3600.0)
    assert lease is not None
    why = {"fit": "no node has room: 3 nodes lack nvidia.com/gpu"}
    told = msgspec.structs.replace(lease, note=msgspec.msgpack.encode(LoopCounters(waiting=4, waits_for=why)))
    waiting = QueueCount(run_id=run.id, step="fit", waiting=0, ready=4, delayed=0, running=0, total=4, changed=NOW)
    store.commit([RunChange(run_id=run.id, state=RunState.RUNNING, started=NOW), waiting], told, 3600.0)


def many_steps(store: MetadataStore, layers: int = 40, width: int = 10) -> None:
    """A run of more steps than are drawn as elements, each with data of two of the layer before."""
    run = store.create_run(NewRun(project="default", flow="steps", dialect="native", entry="s.py:steps", created=NOW))
    edges = [
        Edge(run.id, f"s{layer - 1}_{(one + by) % width}", 1, f"s{layer}_{one}", 1)
        for layer in range(1, layers)
        for one in range(width)
        for by in (0, 3)
    ]
    tasks = [succeeded(run.id, f"s{layer}_{one}") for layer in range(layers) for one in range(width)]
    store.commit([*tasks, *edges, RunChange(run_id=run.id, state=RunState.SUCCEEDED, started=NOW, finished=NOW + 60)])


def succeeded(run_id: int, step: str) -> TaskRecord:
    """The only task of a step."""
    return TaskRecord(
        run_id=run_id,
        step=step,
        number=1,
        key=step.encode().ljust(32),
        state=TaskState.SUCCEEDED,
        inputs=(),
        occurrence=0,
        code=bytes(32),
        attempts=1,
        created=NOW,
        started=NOW,
        finished=NOW + 1,
        success=Success(NOW, NOW + 1, "host", 100, 0.5, 1 << 20, 1, "local", 1),
    )


@pytest.fixture(scope="session")
def server(workspace: Path, built: None) -> Iterator[str]:
    """The address of a server over ``workspace``."""
    process = headrace(workspace, "server", "--port", "0")
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r" at (http://\S+)", line)
    try:
        assert found is not None, line + process.stdout.read()
        yield found[1]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)


@pytest.fixture(scope="module")  # while it is open, this thread counts as one with a running event loop
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path is not None, "the pages are tested in Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield found
        found.close()


#: What Chromium says of requests that were under way when an interface of this machine came or went, as containers and
#: clusters that start beside the tests make them. Pages ask again by themselves; a page that did not load cannot.
NETWORK_CHANGED = "ERR_NETWORK_CHANGED"


def load_again_when_the_network_changed(page: Page) -> None:
    """Make ``page.goto`` load once more what was cut off while it loaded."""
    goto, cut = page.goto, []
    page.on("requestfailed", lambda request: NETWORK_CHANGED in (request.failure or "") and cut.append(request.url))

    def persistent(url: str, **how: Any) -> Any:
        for _ in range(5):
            cut.clear()
            try:
                answer = goto(url, **how)
            except Error as error:
                if NETWORK_CHANGED not in error.message:
                    raise
                continue
            if not cut:
                return answer
        return goto(url, **how)

    page.goto = persistent  # type: ignore[method-assign]


class Watched:
    """A page, with what it must never do: report errors, ask another origin, run a script of a payload."""

    def __init__(self, browser: Browser, server: str, *, width: int = 1280, theme: str = "light") -> None:
        self.server = server
        self.context = browser.new_context(
            base_url=server,
            viewport={"width": width, "height": 800},
            color_scheme="dark" if theme == "dark" else "light",
            timezone_id="Europe/Berlin",
            permissions=["clipboard-read", "clipboard-write"],
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(20_000)
        self.page: Page = self.context.new_page()
        load_again_when_the_network_changed(self.page)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.on("dialog", lambda dialog: (self.errors.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def _asked(self, url: str) -> None:
        if not url.startswith((self.server, "data:", "blob:")):
            self.errors.append(f"asked another origin: {url}")

    def open(self, path: str) -> Page:
        """Go to ``path``, a part of an address."""
        self.page.goto(path)
        return self.page

    def close(self) -> None:
        """Close it; fails if it did something that it must not."""
        self.context.close()
        # events are answered with 404 until a run has them; Chromium reports each such answer as an error
        expected = ("status of 400", "status of 403", "status of 404", "status of 406", NETWORK_CHANGED)
        assert [one for one in self.errors if not any(status in one for status in expected)] == []


@pytest.fixture
def watched(browser: Browser, server: str) -> Iterator[Watched]:
    """A new page for each test."""
    found = Watched(browser, server)
    yield found
    found.close()


@pytest.fixture
def page(watched: Watched) -> Page:
    """The page of ``watched``; addresses begin with ``/``."""
    return watched.page
