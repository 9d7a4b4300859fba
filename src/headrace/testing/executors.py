# ruff: noqa: D102 - the names of tests say what they check
"""What every executor must do, as tests: subclass ``ExecutorSuite`` and give it one.

class TestMyExecutor(ProcessExecutorSuite):
    @pytest.fixture
    def executor(self): return MyExecutor(Resources(cpu=2), MemoryStore())

``ProcessExecutorSuite`` asks more than ``ExecutorSuite``: what only workers can do that are processes of this machine.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from weakref import WeakKeyDictionary

import pytest

from headrace.engine.ports import Executor, WorkerExit, WorkerLink
from headrace.model.messages import (
    Argument,
    Define,
    Done,
    Execute,
    Failed,
    Handback,
    Ready,
    Secrets,
    Stop,
    ToDriver,
    ToWorker,
)
from headrace.model.policy import StepPolicy
from headrace.model.workers import GangSeat, WorkerSpec
from headrace.runtime import secrets
from headrace.stores import codecs
from headrace.stores.artifacts.memory import MemoryStore
from headrace.testing import suite_steps
from headrace.testing.suite_steps import (
    FUNCTIONS,
    deaf,
    die,
    double,
    fail,
    hold,
    keep_to_itself,
    leave,
    nap,
    pid,
    say,
    say_and_die,
    variable,
    with_child,
    with_daemon,
)

#: Where workers find what they are asked to do.
STEPS = suite_steps.__name__


class Talk:
    """A worker as the driver of a test holds it."""

    def __init__(self, executor: Executor, link: WorkerLink) -> None:
        self.executor = executor
        self.link = link
        self.heard: list[ToDriver] = []
        self._token = 0
        self._known: set[str] = set()
        self._asked: dict[int, Execute] = {}

    def send(self, message: ToWorker) -> None:
        """Say ``message``, however full the channel is."""
        sent = self.link.send(message)
        while not sent:
            select.select([], [self.link], [], 10)
            sent = self.link.flush()

    def begin(self, function: Callable[..., object], *arguments: object) -> int:
        """Ask for an attempt; returns its token."""
        step = FUNCTIONS.index(function) + 1
        if function.__name__ not in self._known:
            self._known.add(function.__name__)
            self.send(Define(step, function.__name__, module=STEPS, qualname=function.__name__))
        self._token += 1
        store = MemoryStore()
        packed = tuple(Argument("", codecs.pack(one, store)) for one in arguments)
        execute = self._asked[self._token] = Execute(self._token, step, "flow/1/step/1", 1, packed)
        self.send(execute)
        return self._token

    def next(self, seconds: float = 60.0) -> ToDriver | None:
        """What it says next; None when it hung up."""
        deadline = time.monotonic() + seconds
        while not self.heard:
            if not _wait_beside(self.executor, self.link, deadline):
                raise AssertionError(f"the worker says nothing for {seconds:g} s")
            messages = self.link.receive()
            if messages is None:
                return None
            self.heard += messages
        return self.heard.pop(0)

    def answer(self, seconds: float = 60.0) -> Done | Failed | None:
        """The end of an attempt. Those that a worker gives back, because one before them takes long, it gets again."""
        while (message := self.next(seconds)) is not None:
            if isinstance(message, Handback):
                for token in message.tokens:
                    self.send(self._asked[token])
            if isinstance(message, Done | Failed):
                return message
        return None

    def call(self, function: Callable[..., object], *arguments: object) -> object:
        """Run an attempt that succeeds, and return its result."""
        token = self.begin(function, *arguments)
        done = self.answer()
        assert isinstance(done, Done), done
        assert done.token == token
        return codecs.unpack(done.outputs[0].value, MemoryStore())


#: Exits that were heard while a test waited for what a worker says.
_heard: WeakKeyDictionary[Executor, list[WorkerExit]] = WeakKeyDictionary()


def _wait_beside(executor: Executor, link: WorkerLink, deadline: float) -> bool:
    """Wait until a worker says something, while the executor is heard too, as a driver does; whether it has."""
    while (left := deadline - time.monotonic()) > 0:
        try:
            ready, _, _ = select.select([link.fileno(), executor.fileno()], [], [], left)
        except (OSError, ValueError):  # the executor was closed
            return bool(select.select([link], [], [], left)[0])
        if link.fileno() in ready:
            return True
        if ready:
            _heard.setdefault(executor, []).extend(executor.exits())
    return False


def hire(executor: Executor, *, isolated: bool = False) -> WorkerLink:
    """A worker for a step that asks for nothing else."""
    return executor.provide(executor.spec(StepPolicy(isolated=isolated)))


def ends(executor: Executor, count: int = 1, seconds: float = 60.0) -> list[WorkerExit]:
    """The next ``count`` exits."""
    found = _heard.pop(executor, [])
    deadline = time.monotonic() + seconds
    while len(found) < count:
        ready, _, _ = select.select([executor.fileno()], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"{count - len(found)} of {count} exits are missing after {seconds:g} s"
        found += executor.exits()
    return found


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123
            return b") Z " not in file.read()
    except OSError:
        return False


def gone(*processes: int) -> bool:
    """Whether none of ``processes`` runs any more, now or soon: a process that was killed takes a while to end."""
    return wait_until(lambda: not any(map(alive, processes)))


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether ``condition`` holds, now or within ``seconds``, which are many, because machines may be busy."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class ExecutorSuite:
    """The contract of ``Executor``. A subclass provides the fixture ``executor``, not started yet."""

    @pytest.fixture
    def executor(self) -> Executor:
        """One that was not started."""
        raise NotImplementedError

    @pytest.fixture
    def started(self, executor: Executor) -> Iterator[Executor]:
        links: list[WorkerLink] = []
        provide = executor.provide

        def remember(spec: WorkerSpec, step: str = "", seat: GangSeat | None = None) -> WorkerLink:
            links.append(provide(spec, step, seat))
            return links[-1]

        executor.provide = remember  # type: ignore[method-assign]
        executor.start()
        yield executor
        executor.close()
        for link in links:
            link.close()

    @pytest.fixture
    def talk(self, started: Executor) -> Talk:
        return Talk(started, hire(started))

    # --- working ---

    def test_a_worker_says_that_it_is_up_and_works(self, talk: Talk) -> None:
        ready = talk.next()
        assert isinstance(ready, Ready)
        assert ready.pid > 0
        assert [talk.call(double, n) for n in range(5)] == [0, 2, 4, 6, 8]

    def test_what_is_said_to_a_worker_before_it_is_up_waits(self, talk: Talk) -> None:
        for n in range(20):
            talk.begin(double, n)
        answers = [talk.answer() for _ in range(20)]
        assert sorted(one.token for one in answers if isinstance(one, Done)) == list(range(1, 21))

    def test_providing_returns_at_once(self, started: Executor) -> None:
        began = time.monotonic()
        assert Talk(started, hire(started)).call(double, 3) == 6
        one = time.monotonic() - began
        began = time.monotonic()
        links = [hire(started) for _ in range(4)]
        assert time.monotonic() - began < 2 * one + 0.5  # else it waits for each of them to be up
        assert [Talk(started, link).call(double, 3) for link in links] == [6] * 4

    def test_a_failure_is_told_and_the_worker_goes_on(self, talk: Talk) -> None:
        token = talk.begin(fail)
        failed = talk.answer()
        assert isinstance(failed, Failed)
        assert (failed.token, failed.error) == (token, "ValueError: no")
        assert talk.call(double, 1) == 2

    def test_messages_larger_than_the_channel_are_sent_bit_by_bit(self, talk: Talk) -> None:
        assert talk.call(double, 1) == 2
        large = Secrets((("name", "x" * (8 << 20)),))
        sent = talk.link.send(large, large)
        while not sent:
            select.select([], [talk.link], [], 10)
            sent = talk.link.flush()
        assert talk.call(double, 4) == 8

    # --- ending ---

    def test_a_worker_that_is_told_to_stop_leaves(self, started: Executor, talk: Talk) -> None:
        assert talk.call(double, 1) == 2
        talk.send(Stop())
        (ended,) = ends(started)
        assert ended.link is talk.link
        assert (ended.code, ended.out_of_memory) == (0, False)

    @pytest.mark.parametrize(("grace", "code"), [(0.0, -signal.SIGKILL), (5.0, -signal.SIGTERM)])
    def test_a_stopped_worker_ends_and_its_exit_is_told_once(
        self, started: Executor, talk: Talk, grace: float, code: int
    ) -> None:
        talk.begin(nap, 30.0)
        time.sleep(0.1)
        began = time.monotonic()
        started.stop(talk.link, grace)
        (ended,) = ends(started)
        assert ended.link is talk.link
        assert ended.code == code
        assert time.monotonic() - began < 20  # not as long as its nap
        started.stop(talk.link, 0.0)  # too late, and no harm
        other = Talk(started, hire(started))
        assert other.call(double, 2) == 4
        started.stop(other.link, 0.0)
        assert [one.link for one in ends(started)] == [other.link]

    def test_a_worker_that_is_stopped_before_it_is_up_ends(self, started: Executor) -> None:
        links = [hire(started) for _ in range(3)]
        for link in links:
            started.stop(link, 0.0)
        assert {id(ended.link) for ended in ends(started, 3)} == {id(link) for link in links}

    def test_no_news_is_no_exit(self, started: Executor, talk: Talk) -> None:
        assert talk.call(double, 1) == 2
        assert started.exits() == []

    def test_closing_ends_all_workers(self, started: Executor) -> None:
        talks = [Talk(started, hire(started)) for _ in range(3)]
        for talk in talks:
            assert talk.call(pid)
            talk.begin(nap, 30.0)
        began = time.monotonic()
        started.close()
        assert time.monotonic() - began < 20  # not as long as their naps
        for talk in talks:
            assert talk.next() is None

    def test_workers_leave_nothing_behind(self, started: Executor) -> None:
        def one_life() -> None:
            talk = Talk(started, hire(started))
            assert talk.call(double, 1) == 2
            started.stop(talk.link, 0.0)
            ends(started)
            talk.link.close()

        def open_files() -> int:
            return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

        for _ in range(3):
            one_life()
        before = open_files()
        for _ in range(10):
            one_life()
        deadline = time.monotonic() + 20
        while open_files() >= before + 10 and time.monotonic() < deadline:  # what ends in a thread takes a moment
            time.sleep(0.05)
        assert open_files() < before + 10, "each life leaves a file behind"


class ProcessExecutorSuite(ExecutorSuite):
    """The same for workers that are processes of this machine, which can be killed and whose output is caught."""

    def test_secret_is_a_variable_of_tasks_that_name_it_alone(self, talk: Talk) -> None:
        talk.send(Secrets(((secrets.of_step("SUITE_KEY"), "s3cret"),)))
        step = FUNCTIONS.index(variable) + 1
        for names, seen in (((), ""), (("SUITE_KEY",), "s3cret"), ((), "")):
            talk._known.add("variable")
            talk.send(Define(step, "variable", module=STEPS, qualname="variable", secrets=names))
            assert talk.call(variable, "SUITE_KEY") == seen

    def test_task_whose_secret_did_not_come_fails(self, talk: Talk) -> None:
        talk._known.add("variable")
        step = FUNCTIONS.index(variable) + 1
        talk.send(Define(step, "variable", module=STEPS, qualname="variable", secrets=("SUITE_KEY",)))
        talk.begin(variable, "SUITE_KEY")
        failed = talk.answer()
        assert isinstance(failed, Failed)
        assert "SUITE_KEY did not reach this worker" in failed.error

    def test_closing_ends_the_processes(self, started: Executor) -> None:
        talks = [Talk(started, hire(started)) for _ in range(3)]
        pids = [int(str(talk.call(pid))) for talk in talks]
        for talk in talks:
            talk.begin(nap, 30.0)
        started.close()
        assert gone(*pids)

    @pytest.mark.parametrize("code", [0, 7])
    def test_the_exit_code_is_told(self, started: Executor, talk: Talk, code: int) -> None:
        talk.begin(leave, code)
        assert talk.answer() is None
        assert ends(started)[0].code == code

    @pytest.mark.parametrize("signum", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
    def test_the_signal_is_told(self, started: Executor, talk: Talk, signum: int) -> None:
        talk.begin(die, int(signum))
        assert talk.answer() is None
        (ended,) = ends(started)
        assert ended.code == -signum
        if signum != signal.SIGKILL:  # else some process of the machine may have run out of memory meanwhile
            assert not ended.out_of_memory

    def test_who_does_not_listen_is_made_to_end_after_the_grace(self, started: Executor, talk: Talk) -> None:
        assert talk.call(pid)
        talk.begin(deaf, 30.0)
        assert wait_until(lambda: talk.link.log_end(0) > 0)  # it says when it ignores the signal
        began = time.monotonic()
        started.stop(talk.link, 0.5)
        (ended,) = ends(started)
        assert ended.code == -signal.SIGKILL
        assert 0.4 < time.monotonic() - began < 20  # the grace, and not as long as its nap

    def test_what_a_step_started_ends_with_its_worker(self, started: Executor, talk: Talk) -> None:
        child = int(str(talk.call(with_child, 60.0)))
        assert alive(child)
        started.stop(talk.link, 0.0)
        ends(started)
        assert gone(child)

    def test_what_left_its_session_ends_with_the_executor(self, started: Executor, talk: Talk) -> None:
        daemons = [int(str(talk.call(with_daemon, 60.0))) for _ in range(2)]
        assert all(map(alive, daemons))
        started.close()
        assert gone(*daemons)

    def test_workers_that_serve_once_are_different_processes(self, started: Executor) -> None:
        talks = [Talk(started, hire(started, isolated=True)) for _ in range(4)]
        pids = {int(str(talk.call(pid))) for talk in talks}
        assert len(pids) == 4
        for talk in talks:
            talk.send(Stop())
        assert {id(one.link) for one in ends(started, 4)} == {id(talk.link) for talk in talks}

    def test_an_attempt_says_whether_its_result_may_be_used_again(self, talk: Talk) -> None:
        answers = [talk.answer() for function in (double, keep_to_itself, double) if talk.begin(function, 1)]
        assert [isinstance(one, Done) and one.reusable for one in answers] == [True, False, True]

    def test_output_is_caught_below_python(self, talk: Talk) -> None:
        talk.call(say, "one", "two!")
        assert [talk.link.log_end(stream) for stream in (0, 1)] == [3, 4]
        assert talk.link.read_log(0, 0, 3) == b"one"
        assert talk.link.read_log(1, 1, 3) == b"wo"
        talk.call(say, "more", "")
        assert talk.link.read_log(0, 3, 7) == b"more"

    def test_output_is_there_after_a_crash(self, started: Executor, talk: Talk) -> None:
        talk.begin(say_and_die, "last words")
        (ended,) = ends(started)
        assert ended.code == -signal.SIGSEGV
        assert ended.link.read_log(0, 0, ended.link.log_end(0)).startswith(b"last words")

    def test_forgotten_output_keeps_its_offsets(self, talk: Talk) -> None:
        talk.call(say, "x" * 10_000, "")
        talk.link.trim_log(0, 8192)
        talk.call(say, "end", "")
        assert talk.link.log_end(0) == 10_003
        assert talk.link.read_log(0, 10_000, 10_003) == b"end"

    def test_memory_is_what_the_worker_holds(self, started: Executor, talk: Talk) -> None:
        talk.call(pid)
        before = talk.link.memory()
        assert before > 0
        talk.begin(hold, 64 << 20, 60.0)
        assert wait_until(lambda: talk.link.memory() - before > 48 << 20)
        started.stop(talk.link, 0.0)
        ends(started)
