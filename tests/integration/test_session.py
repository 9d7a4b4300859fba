"""The door to a run, without a dialect: calls in, handles, events and records out. Real stores, real workers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.executors.local import LocalExecutor
from headrace.model.attempts import AttemptEvent, AttemptFailure, AttemptPrinted, AttemptStarted, LogRules
from headrace.model.calls import Call, PendingInput, PendingSource, StepInfo, TaskHandle
from headrace.model.errors import NotFoundError, TaskCancelledError, UsageError
from headrace.model.messages import Define
from headrace.model.policy import Resources, Retry, StepPolicy
from headrace.model.states import RunState, TaskState
from headrace.services.places import FixedPlaces
from headrace.services.session import NewSession, Resume, Session
from headrace.services.start import open_session, reopen_session
from headrace.services.stores import Stores
from headrace.stores import codecs
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.metadata.open import open_metadata
from headrace.testing import executors as steps

NEW = NewSession(flow="made", entry=":made", dialect="none")


class Driver:
    """What a dialect would be: opens sessions in one workspace, and calls functions of ``headrace.testing``."""

    def __init__(self, folder: Path) -> None:
        self.metadata = open_metadata(str(folder / "metadata.db"))
        self.stores = Stores(self.metadata, LocalStore(folder / "artifacts"))
        self.sessions: list[Session] = []

    def places(self) -> FixedPlaces:
        return FixedPlaces(LocalExecutor(Resources(cpu=2.0, memory=1 << 30), self.stores.artifacts))

    def open(self) -> Session:
        self.sessions.append(open_session(self.stores, self.places(), NEW))
        return self.sessions[-1]

    def reopen(self, before: Session, *again: str) -> Session:
        run = before.run
        self.sessions.append(reopen_session(self.stores, self.places(), NEW, Resume(run=run, again=again)))
        return self.sessions[-1]

    def close(self) -> None:
        for session in self.sessions:
            session.close()
        self.metadata.close()

    def step(self, session: Session, function: Callable[..., Any], **policy: Any) -> StepInfo:
        name = function.__name__

        def define(number: int) -> Define:
            return Define(number, name, module=steps.__name__, qualname=name)

        return session.step(name, StepPolicy(**policy), name.encode(), define)

    def call(self, session: Session, function: Callable[..., Any], *arguments: Any, **policy: Any) -> TaskHandle:
        [task] = session.submit(self.made(self.step(session, function, **policy), *arguments))
        return task

    def made(self, step: StepInfo, *arguments: Any) -> Call:
        inputs = [
            PendingInput("", None, (PendingSource(one, "result"),))
            if isinstance(one, TaskHandle)
            else PendingInput("", codecs.pack(one, self.stores.artifacts))
            for one in arguments
        ]
        return Call(step, tuple(inputs))

    def result(self, task: TaskHandle) -> Any:
        return codecs.unpack(task.output("result"), self.stores.artifacts)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    made = Driver(tmp_path)
    yield made
    made.close()


def test_handles_tell_how_tasks_ended_and_outlive_the_session(driver: Driver) -> None:
    session = driver.open()
    first = driver.call(session, steps.double, 4)
    second = driver.call(session, steps.double, first)
    failed = driver.call(session, steps.fail)
    needs_it = driver.call(session, steps.double, failed)
    for task in (first, second, failed, needs_it):
        assert session.wait(task, 60)
    assert session.finish(RunState.SUCCEEDED).state is RunState.SUCCEEDED

    assert (driver.result(first), driver.result(second)) == (8, 16)
    assert (str(first.id), first.state, first.attempt, first.done) == ("double/1", TaskState.SUCCEEDED, 1, True)
    assert failed.problem is not None
    assert (failed.state, failed.problem.error) == (TaskState.FAILED, "ValueError: no")
    assert isinstance(session.exception(failed), ValueError)
    assert needs_it.problem is not None
    assert needs_it.problem.upstream == failed.problem


def test_observers_are_told_of_starts_output_and_failures_in_order(driver: Driver) -> None:
    session = driver.open()
    events: list[AttemptEvent] = []
    session.observe(events.append, LogRules(failed=lambda problem: f"{type(problem).__name__}: {problem.error}"))
    said = driver.call(session, steps.say, "out", "err")
    assert session.wait(said, 60)
    failed = driver.call(session, steps.fail, retry=Retry(1, delay=0.0))
    assert session.wait(failed, 60)
    died = driver.call(session, steps.leave, 3)
    assert session.wait(died, 60)

    of_said = [one for one in events if one.task is said]
    assert isinstance(of_said[0], AttemptStarted)
    assert (of_said[0].number, of_said[0].pid > 0) == (1, True)
    assert sorted((one.stream, one.data) for one in of_said[1:] if isinstance(one, AttemptPrinted)) == [
        (0, b"out"),
        (1, b"err"),
    ]
    of_failed = [one for one in events if one.task is failed and not isinstance(one, AttemptPrinted)]
    assert [(type(one), one.number) for one in of_failed] == [
        (AttemptStarted, 1),
        (AttemptFailure, 1),
        (AttemptStarted, 2),
        (AttemptFailure, 2),
    ]
    assert [one.text for one in of_failed if isinstance(one, AttemptFailure)] == ["Raised: ValueError: no"] * 2
    [ended] = [one.text for one in events if one.task is died and isinstance(one, AttemptFailure)]
    assert ended.startswith("Exited: ")


def test_a_failure_is_unseen_until_the_flow_is_told_of_it_or_of_what_it_caused(driver: Driver) -> None:
    session = driver.open()
    failed = driver.call(session, steps.fail)
    needs_it = driver.call(session, steps.double, failed)
    session.wait_idle()
    assert session.unseen() is failed
    session.seen(needs_it)
    assert session.unseen() is None


def test_callbacks_of_tasks_that_are_over_are_called_at_once(driver: Driver) -> None:
    session = driver.open()
    told = threading.Event()
    task = driver.call(session, steps.double, 1)
    session.notify(task, told.set)
    assert told.wait(60)
    calls: list[int] = []
    session.notify(task, lambda: calls.append(1))
    assert calls == [1]


def test_cancelled_task_ends_and_the_run_goes_on(driver: Driver) -> None:
    session = driver.open()
    task = driver.call(session, steps.nap, 600.0)
    session.cancel(task)
    assert session.wait(task, 60)
    assert isinstance(session.exception(task), TaskCancelledError)
    assert session.unseen() is None
    again = driver.call(session, steps.double, 2)
    assert session.wait(again, 60)
    assert driver.result(again) == 4


def test_stopped_run_tells_who_waits_and_takes_no_more_calls(driver: Driver) -> None:
    session = driver.open()
    stopped: list[Any] = []
    with session.stopped_by(stopped.append):
        task = driver.call(session, steps.nap, 600.0)
        session.stop("a test")
        assert session.wait(task, 60)
        assert session.cancelled_by == "a test"
        assert len(stopped) == 1
        with pytest.raises(TaskCancelledError):
            session.check_stopped()
    assert session.give_up(session.exception(task)) is RunState.CANCELLED


def test_given_up_run_leaves_no_task_live_and_records_the_error(driver: Driver) -> None:
    session = driver.open()
    task = driver.call(session, steps.nap, 600.0)
    assert session.give_up(ValueError("no way")) is RunState.FAILED
    assert task.state is TaskState.CANCELLED
    record = driver.metadata.run_by_id(session.run.id)
    assert record is not None
    assert (record.state, record.error) == (RunState.FAILED, "ValueError: no way")


def test_reopened_run_takes_what_was_finished_for_equal_calls(driver: Driver) -> None:
    session = driver.open()
    task = driver.call(session, steps.double, 5)
    assert session.wait(task, 60)
    session.give_up(ValueError("stop here"))

    later = driver.reopen(session)
    double = driver.step(later, steps.double)
    assert later.was_finished(driver.made(double, 5))
    assert not later.was_finished(driver.made(double, 6))
    [known] = later.submit(driver.made(double, 5))
    assert later.wait(known, 60)
    assert (driver.result(known), known.attempt, known.attempts_before) == (10, 1, 1)
    later.finish(RunState.SUCCEEDED)

    again = driver.reopen(session, "double")
    anew = driver.call(again, steps.double, 5)
    assert again.wait(anew, 60)
    assert (driver.result(anew), anew.attempt, anew.attempts_before) == (10, 2, 1)

    again.finish(RunState.SUCCEEDED)
    with pytest.raises(NotFoundError, match="no task of step 'absent'"):
        driver.reopen(session, "absent")


def test_secrets_with_one_name_and_two_values_are_refused(driver: Driver) -> None:
    session = driver.open()
    session.share_secrets({"token": "one"})
    session.share_secrets({"token": "one", "other": "two"})
    assert session.secrets == {"token": "one", "other": "two"}
    with pytest.raises(UsageError, match="called 'token'"):
        session.share_secrets({"token": "two"})
