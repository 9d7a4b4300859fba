"""The lines that say how far a long run of a Metaflow flow is."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.frontends.metaflow.running import livetasks
from headrace.frontends.metaflow.running.console import Console
from headrace.frontends.metaflow.running.livetasks import LiveTasks
from headrace.model.attempts import AttemptStarted
from headrace.model.calls import Call, StepInfo, TaskHandle
from headrace.model.messages import Define
from headrace.model.policy import StepPolicy
from headrace.model.records import TaskId


class _Session:
    """Keeps what is to be called when a task ends. Tasks never start by themselves."""

    failure = None

    def __init__(self) -> None:
        self.ends: dict[Any, Any] = {}

    def submit(self, *calls: Call) -> list[TaskHandle]:
        tasks = [TaskHandle(call.step) for call in calls]
        for number, task in enumerate(tasks, 1):
            task.id = TaskId(task.step.name, number)
        return tasks

    def notify(self, task: Any, then: Any) -> None:
        self.ends[task] = then


class _Told(Console):
    """A console whose lines are heard."""

    def __init__(self) -> None:
        super().__init__("1")
        self.lines: list[str] = []
        self.heard = threading.Semaphore(0)

    def say(self, text: str, *, bad: bool = False) -> None:
        self.lines.append(text)
        self.heard.release()


def test_a_long_run_says_from_time_to_time_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livetasks, "_EVERY", 0.01)
    session, console = _Session(), _Told()
    plans: Any = {"fit": SimpleNamespace(spec=SimpleNamespace(retries=0), policy=StepPolicy())}
    live = LiveTasks(session, plans, console)  # type: ignore[arg-type]
    fit = StepInfo(1, "fit", StepPolicy(), Define(1, "fit"))
    tasks = live.submit([(Call(fit, ()), lambda task: None) for _ in range(3)])
    follower = threading.Thread(target=live.follow)
    follower.start()
    assert console.heard.acquire(timeout=60)
    assert console.lines[-1] == "Still at it. fit: 0 of 3 done, 0 running."
    live.happened(AttemptStarted(tasks[1], 1, 4711))
    session.ends[tasks[0]]()
    while console.lines[-1] != "Still at it. fit: 1 of 3 done, 1 running.":
        assert console.heard.acquire(timeout=60)
    for task in tasks[1:]:
        session.ends[task]()
    follower.join(60)
    assert not follower.is_alive()
