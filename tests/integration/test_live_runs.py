"""What another process sees of a run while it goes on, and after its driver was killed."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import TYPE_CHECKING, Any

from headrace._base.process import host_name
from headrace.model.records import TaskId
from headrace.model.states import AttemptState, TaskState

if TYPE_CHECKING:
    from tests.integration.conftest import Project

TWELVE = """
@step
def work(n):
    if n >= 4:
        open(f"at-{n}", "w").write(str(os.getpid()))
        while not os.path.exists("go"):
            time.sleep(0.01)
    return n

@step
def later(values):
    return sum(values)

@flow
def train():
    return later(work.map(range(12)))

if __name__ == "__main__":
    train()
"""

ALONE = {"HEADRACE_MAX_PARALLEL": "2"}


def command(project: Project, *argv: str, code: int = 0) -> str:
    done = project.finish(project.start("-m", "headrace.cli", *argv))
    assert done.code == code, done.err
    return done.out


def shown(project: Project, name: str = "train/1") -> Any:
    return json.loads(command(project, "show", name, "--json"))


def is_counted(project: Project) -> bool:
    """Whether the counts are those of four ended tasks and two that run."""
    run = project.metadata.latest_run()
    if run is None:
        return False
    counts = {one.step: one for one in project.metadata.queue([run.id])}
    return "work" in counts and (counts["work"].ready, counts["work"].running) == (6, 2)


def test_live_run_shows_what_waits_and_what_runs_where(project: Project) -> None:
    """From another process, by every command that shows runs; nothing of it is left when the run is over."""
    process = project.start(str(project.write(TWELVE)), **ALONE)
    project.eventually(lambda: is_counted(project))
    run = project.last()
    project.eventually(lambda: len(project.metadata.tasks(run.id, states=("running",))) == 2)
    pids = {int((project.path / f"at-{n}").read_text()) for n in (4, 5)}

    view = shown(project)
    [work] = [one for one in view["steps"] if one["step"] == "work"]
    assert (work["done"], work["total"]) == (4, 12)
    assert work["counts"] == {"succeeded": 4, "running": 2, "ready": 6}
    running = view["running"]
    assert sorted(one["task"] for one in running) == ["train/1/work/5", "train/1/work/6"]
    assert {one["pid"] for one in running} == pids
    assert {(one["host"], one["place"], one["attempt"]) for one in running} == {(host_name(), "local", 1)}
    assert all(run.created <= one["started"] and one["duration"] >= 0 for one in running)

    text = command(project, "show", "train/1")
    assert re.search(r"work +\S+ +4/12 ", text), text
    assert "Running (2)" in text
    assert f"{host_name()}:{min(pids)}" in text
    assert "4/13, 2 running" in command(project, "runs")
    [row] = json.loads(command(project, "runs", "--json"))
    assert (row["queue"]["ready"], row["queue"]["running"]) == (6, 2)
    attempt = shown(project, "train/1/work/5")["attempts"][0]
    assert (attempt["state"], attempt["place"], attempt["finished"]) == ("running", "local", None)

    (project.path / "go").touch()
    done = project.finish(process)
    assert done.code == 0, done.err
    assert project.metadata.queue([run.id]) == []
    assert shown(project)["running"] == []
    attempts = project.metadata.attempts(run.id)
    assert {one.state for one in attempts} == {AttemptState.SUCCEEDED}
    assert len(attempts) == 13


def test_crashed_run_shows_lost_tasks_and_those_that_did_not_begin(project: Project) -> None:
    """Nothing is said to run when the driver is dead; a resume begins with fresh counts."""
    process = project.start(str(project.write(TWELVE)), **ALONE)
    project.eventually(lambda: is_counted(project))
    run = project.last()
    project.eventually(lambda: len(project.metadata.tasks(run.id, states=("running",))) == 2)
    os.killpg(process.pid, signal.SIGKILL)
    project.finish(process)
    view = shown(project)
    [work] = [one for one in view["steps"] if one["step"] == "work"]
    assert view["run"]["state"] == "crashed"
    assert (work["done"], work["total"]) == (4, 12)
    assert work["counts"] == {"succeeded": 4, "lost": 2, "waiting": 6}
    assert view["running"] == []
    assert {one["state"] for one in shown(project, "train/1/work")} == {"succeeded", "lost"}
    task = shown(project, "train/1/work/5")
    assert (task["state"], task["attempts"][0]["state"]) == ("lost", "lost")
    assert "running" not in command(project, "runs")
    script = "import headrace; run = headrace.Run('train/1'); print(run.steps['work'], run['work'][5].state)"
    done = project.finish(project.start("-c", script))
    assert "'lost': 2" in done.out and done.out.rstrip().endswith("lost"), done

    (project.path / "go").touch()
    command(project, "resume", "train/1")
    assert project.metadata.queue([run.id]) == []
    states = [(one.attempt, one.state) for one in project.metadata.attempts(run.id, TaskId("work", 5))]
    assert states == [(1, AttemptState.LOST), (2, AttemptState.SUCCEEDED)]
    assert {one.state for one in project.metadata.tasks(run.id)} == {TaskState.SUCCEEDED}


def test_short_tasks_are_not_recorded_while_they_run(project: Project) -> None:
    """A chain of short steps pays nothing for being observable."""
    out = project.succeed(
        """
        from headrace.stores.metadata import _writes

        kinds = {}
        put = _writes.grouped
        def counted(writes):
            for write in writes:
                kinds[type(write).__name__] = kinds.get(type(write).__name__, 0) + 1
            return put(writes)

        @step
        def add(n):
            return n + 1

        @flow
        def chain():
            n = 0
            for _ in range(30):
                n = add(n)
            return n

        if __name__ == "__main__":
            _writes.grouped = counted
            chain()
            print("kinds", kinds)
        """
    )
    kinds = eval(out.partition("kinds")[2])
    # The worker's start, and pauses of the machine, may let some be seen while they run.
    assert kinds.get("QueueCount", 0) < 15
    assert kinds.get("AttemptRecord", 0) < 15
