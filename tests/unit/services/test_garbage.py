"""Which runs and blobs go, and which stay."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from headrace import wiring
from headrace._base.process import process_owner
from headrace.model.code import CodeFile, CodePackage
from headrace.model.errors import NotFoundError
from headrace.model.records import CodeRecord, Input, RunDetails, RunRecord, Tag
from headrace.model.states import RunState
from headrace.model.values import Blob
from headrace.services import garbage
from headrace.services.archive import export_run, import_run
from headrace.services.code.recorded_code import code_of
from headrace.services.garbage import Policy
from headrace.services.resumable import newest_resumable
from headrace.services.run_rows import CRASHED
from headrace.settings import Settings
from headrace.stores import codecs
from headrace.stores.metadata.protocol import NewRun, RunChange

DAY = 86400.0


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[wiring.Workspace]:
    opened = wiring.Workspace(Settings(home=str(tmp_path)))
    yield opened
    opened.close()


def make_run(workspace: wiring.Workspace, flow: str, state: RunState, age: float, content: bytes = b"") -> RunRecord:
    """A run that ended ``age`` seconds ago, with ``content`` as a parameter."""
    now = time.time()
    inputs = (Input("data", codecs.pack(content * 20_000, workspace.artifacts)),) if content else ()
    run = workspace.metadata.create_run(
        NewRun(
            project="default",
            flow=flow,
            dialect="native",
            entry=":f",
            created=now - age,
            inputs=msgspec.msgpack.encode(inputs),
        )
    )
    finished = None if state is RunState.RUNNING else now - age
    workspace.metadata.commit([RunChange(run_id=run.id, state=state, finished=finished)])
    return run


def make_old(workspace: wiring.Workspace) -> None:
    """Let all blobs be older than the time of grace."""
    for path in Path(workspace.settings.home, "artifacts").rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - 2 * garbage.GRACE,) * 2)


def names(workspace: wiring.Workspace, policy: Policy) -> list[str]:
    return [run.name for run in garbage.choose_runs(workspace.metadata, "default", policy, time.time())]


def test_policies(workspace: wiring.Workspace) -> None:
    for age in (40, 30, 20, 10):
        make_run(workspace, "a", RunState.SUCCEEDED, age * DAY)
    make_run(workspace, "b", RunState.FAILED, 25 * DAY)
    running = make_run(workspace, "a", RunState.RUNNING, 50 * DAY)
    lease = workspace.metadata.acquire(f"run:{running.id}", process_owner(), 10)
    assert lease is not None
    workspace.metadata.commit([Tag(1, "keep", "yes")])
    assert running.name == "a/5"
    assert names(workspace, Policy()) == []
    assert names(workspace, Policy(older_than=15 * DAY)) == ["b/1", "a/3", "a/2", "a/1"]
    assert names(workspace, Policy(older_than=15 * DAY, flow="a", without_tag="keep")) == ["a/3", "a/2"]
    assert names(workspace, Policy(without_tag="keep=no", flow="a")) == ["a/4", "a/3", "a/2", "a/1"]
    assert names(workspace, Policy(states=frozenset({"failed", "running"}))) == ["b/1"]
    assert names(workspace, Policy(tag="keep")) == names(workspace, Policy(tag="keep=yes", flow="a")) == ["a/1"]
    assert names(workspace, Policy(tag="keep", without_tag="keep")) == []
    assert names(workspace, Policy(keep=2)) == ["a/3", "a/2", "a/1"]
    assert names(workspace, Policy(keep=0)) == ["b/1", "a/4", "a/3", "a/2", "a/1"]
    workspace.metadata.release(lease)
    assert names(workspace, Policy(states=frozenset({CRASHED}))) == ["a/5"]


def test_the_plan_is_what_then_happens(workspace: wiring.Workspace) -> None:
    gone = make_run(workspace, "a", RunState.SUCCEEDED, DAY, b"one")
    make_run(workspace, "a", RunState.SUCCEEDED, DAY, b"both")
    shared = make_run(workspace, "a", RunState.SUCCEEDED, DAY, b"both")
    source = workspace.artifacts.put((b"source" * 100,))
    details = RunDetails(sources={"a.py": source})
    workspace.metadata.commit([RunChange(run_id=shared.id, details=msgspec.msgpack.encode(details))])
    workspace.artifacts.put((b"orphan" * 100,))
    runs = [gone, shared]
    assert garbage.plan(workspace.metadata, workspace.artifacts, runs, time.time()).bytes == 0  # all young
    assert garbage.plan(workspace.metadata, workspace.artifacts, runs, time.time(), 0).blobs == 3
    make_old(workspace)

    planned = garbage.plan(workspace.metadata, workspace.artifacts, runs, time.time())
    assert (planned.runs, planned.blobs, planned.bytes) == (["a/1", "a/3"], 3, 60_000 + 1200)
    assert garbage.plan(workspace.metadata, workspace.artifacts, [], time.time()).blobs == 1

    done = garbage.collect(workspace.metadata, workspace.artifacts, runs, time.time())
    assert (done.runs, done.blobs, done.bytes) == (planned.runs, planned.blobs, planned.bytes)
    left = workspace.metadata.run("a", 2)
    assert left is not None
    kept = workspace.metadata.run_by_id(left.id)
    assert kept is not None
    assert codecs.unpack(kept.inputs[0].value, workspace.artifacts) == b"both" * 20_000


def make_package(workspace: wiring.Workspace, run: RunRecord) -> tuple[Blob, Blob]:
    """A code package of one file for ``run``: the blobs of its manifest and of the file."""
    file = workspace.artifacts.put((b"code" * 1000,))
    package = workspace.artifacts.put((CodePackage((CodeFile("a.py", file.digest, file.size),)).encode(),))
    details = RunDetails(code=CodeRecord(package=package, entry="a.py:a", files=1, size=file.size))
    workspace.metadata.commit([RunChange(run_id=run.id, details=msgspec.msgpack.encode(details))])
    return package, file


def test_the_files_of_a_code_package_stay_as_long_as_a_run_has_it(workspace: wiring.Workspace) -> None:
    runs = [make_run(workspace, "a", RunState.SUCCEEDED, DAY) for _ in range(2)]
    (package, file), _ = [make_package(workspace, run) for run in runs]
    make_old(workspace)
    assert garbage.collect(workspace.metadata, workspace.artifacts, runs[:1], time.time()).blobs == 0
    assert workspace.artifacts.missing([package, file]) == []
    assert garbage.plan(workspace.metadata, workspace.artifacts, runs[1:], time.time()).blobs == 2
    assert garbage.collect(workspace.metadata, workspace.artifacts, runs[1:], time.time()).blobs == 2
    assert workspace.artifacts.missing([package, file]) == [package, file]


def test_an_export_brings_the_code_package_along(workspace: wiring.Workspace, tmp_path: Path) -> None:
    run = make_run(workspace, "a", RunState.SUCCEEDED, DAY)
    package, file = make_package(workspace, run)
    assert export_run(workspace.metadata, workspace.artifacts, run, tmp_path / "a.run").blobs >= 2
    other = wiring.Workspace(Settings(home=str(tmp_path / "other")))
    brought, _ = import_run(other.metadata, other.artifacts, tmp_path / "a.run", "default")
    assert other.artifacts.missing([package, file]) == []
    whole = other.metadata.run_by_id(brought.id)
    assert whole is not None
    assert list(code_of(whole, other.artifacts).files) == ["a.py"]
    other.close()


def test_an_export_brings_everything_along(workspace: wiring.Workspace, tmp_path: Path) -> None:
    run = make_run(workspace, "a", RunState.FAILED, DAY, b"data")
    source = workspace.artifacts.put((b"source" * 100,))
    details = RunDetails(sources={"a.py": source})
    workspace.metadata.commit([RunChange(run_id=run.id, details=msgspec.msgpack.encode(details))])
    file = tmp_path / "a.run"
    assert export_run(workspace.metadata, workspace.artifacts, run, file).blobs == 2
    assert [path.name for path in tmp_path.glob("*.part")] == []

    other = wiring.Workspace(Settings(home=str(tmp_path / "other")))
    brought, blobs = import_run(other.metadata, other.artifacts, file, "default")
    assert (brought.name, brought.state, blobs) == ("a/1", RunState.FAILED, 2)
    whole = other.metadata.run_by_id(brought.id)
    assert whole is not None
    assert codecs.unpack(whole.inputs[0].value, other.artifacts) == b"data" * 20_000
    assert bytes(other.artifacts.get(source)) == b"source" * 100
    other.close()


def test_the_newest_resumable_run(workspace: wiring.Workspace) -> None:
    make_run(workspace, "a", RunState.FAILED, DAY)
    make_run(workspace, "a", RunState.SUCCEEDED, DAY)
    assert newest_resumable(workspace.metadata, "default").name == "a/1"
    make_run(workspace, "a", RunState.RUNNING, DAY)  # no process holds its lease
    assert newest_resumable(workspace.metadata, "default").name == "a/3"
    make_run(workspace, "a", RunState.INTERRUPTED, DAY)
    assert newest_resumable(workspace.metadata, "default").name == "a/4"
    with pytest.raises(NotFoundError):
        newest_resumable(workspace.metadata, "other")
