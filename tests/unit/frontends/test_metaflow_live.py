"""The lines that say how far a long run of a Metaflow flow is."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.frontends.metaflow.running import livetasks
from headrace.frontends.metaflow.running.console import Console
from headrace.frontends.metaflow.running.livetasks import LiveTasks
from headrace.model.policy import StepPolicy
from headrace.model.records import TaskId


class _Loop:
    """Keeps what is to be called when a task ends."""

    failure = None

    def __init__(self) -> None:
        self.ends: dict[Any, Any] = {}

    def submit(self, *tasks: Any) -> None:
        """They never start by themselves."""

    def notify(self, task: Any, then: Any) -> None:
        self.ends[task] = then


class _Task:
    attempt, attempts_before = 1, 0

    def __init__(self, number: int) -> None:
        self.id = TaskId("fit", number)


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
    loop, console = _Loop(), _Told()
    plans: Any = {"fit": SimpleNamespace(spec=SimpleNamespace(retries=0), policy=StepPolicy())}
    live = LiveTasks(SimpleNamespace(loop=loop), plans, console)  # type: ignore[arg-type]
    tasks: list[Any] = [_Task(1), _Task(2), _Task(3)]
    live.submit({task: lambda: None for task in tasks})
    follower = threading.Thread(target=live.follow)
    follower.start()
    assert console.heard.acquire(timeout=60)
    assert console.lines[-1] == "Still at it. fit: 0 of 3 done, 0 running."
    live.watch(tasks[1], 4711, -1, b"")
    loop.ends[tasks[0]]()
    while console.lines[-1] != "Still at it. fit: 1 of 3 done, 1 running.":
        assert console.heard.acquire(timeout=60)
    for task in tasks[1:]:
        loop.ends[task]()
    follower.join(60)
    assert not follower.is_alive()
