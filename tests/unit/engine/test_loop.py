"""The loop on fake workers: order of writes, stores that fail at any moment, waiters that are always woken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from headrace.engine import loop as loop_module
from headrace.model.errors import LeaseLostError, StoreAwayError, StoreError, StoreFullError
from headrace.model.messages import Done, Execute, Failed, Handback, Track, frame
from headrace.model.policy import Resources, Retry
from headrace.model.records import LEASE_SECONDS, Tag, TaskId
from headrace.model.states import AttemptState, Failure, TaskState
from headrace.stores.artifacts.memory import MemoryStore
from headrace.stores.metadata.protocol import MetadataStore
from headrace.testing.engine import FailingCommits, FakeLink, Rig, resume
from headrace.testing.metadata import MemoryMetadata

BIG = 100_000


def double(value: int) -> int:
    return 2 * value


def add(one: Any, other: Any) -> Any:
    return one + other


def big(value: int) -> bytes:
    return bytes([value]) * BIG


def size(value: bytes) -> int:
    return len(value) * value[0]


def fail() -> None:
    raise ValueError("no")


@contextmanager
def within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def states(rig: Rig) -> dict[TaskId, str]:
    return {task.id: str(task.state) for task in rig.store.tasks(rig.run.id)}


# --- plain running ------------------------------------------------------------------------------------------------


def test_a_flow_of_steps() -> None:
    with Rig() as rig:
        doubled, added = rig.step(double), rig.step(add)
        ones = [rig.submit(doubled, n) for n in range(10)]
        total = ones[0]
        for one in ones[1:]:
            total = rig.submit(added, total, one)
        assert rig.result(total) == 90
        rig.loop.wait_idle()
    assert set(states(rig).values()) == {"succeeded"}
    assert len(rig.store.edges(rig.run.id)) == 18
    again = resume(rig)
    with again:
        assert again.call(again.step(double), 3) == 6
    assert again.executor.executed == []


def test_a_retry_leaves_the_last_word_in_the_store() -> None:
    tries: list[int] = []

    def flaky() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("not yet")
        return "well"

    with Rig() as rig:
        assert rig.call(rig.step(flaky, retry=Retry(5))) == "well"
    assert states(rig) == {TaskId("flaky", 1): "succeeded"}
    attempts = [(a.attempt, a.state) for a in rig.store.attempts(rig.run.id)]
    assert attempts == [(1, AttemptState.FAILED), (2, AttemptState.FAILED), (3, AttemptState.SUCCEEDED)]


def test_long_chains_of_cached_steps() -> None:
    store, artifacts = MemoryMetadata(), MemoryStore()

    def session() -> Rig:
        with Rig(store=store, artifacts=artifacts) as rig:
            gate, head, then = threading.Event(), rig.step(lambda: gate.wait() and 0, name="head"), rig.step(add)
            then = rig.step(add, name="then", cache=True)
            task = rig.submit(head)
            for _ in range(500):
                task = rig.submit(then, task, 1)
            gate.set()
            assert rig.result(task) == 500
        return rig

    assert len(session().executor.executed) == 501
    assert len(session().executor.executed) == 1


def test_a_worker_that_dies_takes_only_its_own_attempt_with_it() -> None:
    def answer(message: Any, run: Any) -> Any:
        return -9 if message.task.endswith("double/3") and message.attempt == 1 else run()

    with Rig(answer=answer) as rig:
        step = rig.step(double, retry=Retry(1))
        tasks = [rig.submit(step, n) for n in range(30)]
        assert [rig.result(task) for task in tasks] == [2 * n for n in range(30)]
    failed = [a for a in rig.store.attempts(rig.run.id) if a.state is AttemptState.FAILED]
    assert [(a.number, a.failure) for a in failed] == [(3, Failure.KILLED)]


def test_task_whose_workers_are_taken_away_fails_after_as_many_repeats_as_its_place_allows() -> None:
    def answer(message: Any, run: Any) -> Any:
        return -9 if message.task.endswith("fail/1") or message.attempt == 1 else run()

    with Rig(answer=answer) as rig:
        rig.executor.takes = ("its pod was evicted", 3)
        other = rig.submit(rig.step(double), 4)
        task = rig.submit(rig.step(fail, retry=Retry(1)))
        rig.result(task)
        assert task.problem is not None
        assert task.problem.error.startswith("its pod was evicted. So the task lost its worker 5 times")
        assert rig.result(other) == 8, "once is no failure"
    tried = rig.store.attempts(rig.run.id)
    assert [str(one.state) for one in tried if one.step == "double"] == ["lost", "succeeded"]
    assert [str(one.state) for one in tried if one.step == "fail"] == ["lost"] * 3 + ["failed"] * 2


def test_a_cache_entry_whose_task_ran_again_from_other_code_is_no_answer() -> None:
    store, artifacts = MemoryMetadata(), MemoryStore()
    first = Rig(store=store, artifacts=artifacts)
    with first:
        assert first.call(first.step(double, b"v1", "work", cache=True), 3) == 6
    changed = resume(first)  # the same task, from other code
    with changed:
        assert changed.call(changed.step(lambda value: 3 * value, b"v2", "work", cache=True), 3) == 9
    with Rig(store=store, artifacts=artifacts) as back:
        assert back.call(back.step(double, b"v1", "work", cache=True), 3) == 6
    with Rig(store=store, artifacts=artifacts) as third:
        assert third.call(third.step(lambda value: 3 * value, b"v2", "work", cache=True), 3) == 9
        assert third.executor.executed == []


def test_what_a_worker_calls_not_reusable_is_for_its_own_run() -> None:
    store, artifacts, fails = MemoryMetadata(), MemoryStore(), [False]

    def answer(_: object, run: Any) -> Any:
        return replace(run(), reusable=not fails[0])

    def ran(rig: Rig, code: bytes) -> int:
        with rig:
            assert rig.call(rig.step(double, code, "work", cache=True), 3) == 6
        return len(rig.executor.executed)

    def another(**more: Any) -> Rig:
        return Rig(store=store, artifacts=artifacts, answer=answer, **more)

    first = another()
    assert ran(first, b"v1") == 1
    assert ran(another(), b"v1") == 0
    fails[0] = True
    changed = another(run=store.run_by_id(first.run.id))
    assert ran(changed, b"v2") == 1
    assert ran(another(run=store.run_by_id(first.run.id)), b"v2") == 0, "its own run keeps it"
    assert [ran(another(), code) for code in (b"v1", b"v2")] == [0, 1], "the second run holds the first result still"
    fails[0] = False
    assert [ran(another(), b"v2") for _ in range(2)] == [1, 0]


# --- lost blobs ---------------------------------------------------------------------------------------------------


def test_a_lost_input_is_made_again_and_then_used() -> None:
    with Rig() as rig:
        made = rig.submit(rig.step(big), 7)
        rig.result(made)
        (blob,) = made.output("result").blobs
        rig.artifacts.delete([blob.digest])  # type: ignore[attr-defined]
        assert rig.call(rig.step(size), made) == 7 * BIG
    assert rig.executor.executed.count("flow/1/big/1") == 2
    assert [a.attempt for a in rig.store.attempts(rig.run.id, TaskId("big", 1))] == [1, 2]


def test_a_damaged_input_is_made_again_never_used() -> None:
    with Rig() as rig:
        made = rig.submit(rig.step(big), 7)
        rig.result(made)
        (blob,) = made.output("result").blobs
        store = rig.artifacts
        assert isinstance(store, MemoryStore)
        store.blobs[blob.digest] = (bytes([9]) * blob.size, 0.0)
        assert rig.call(rig.step(size), made) == 7 * BIG


def test_a_store_that_keeps_nothing_fails_the_task_and_does_not_go_on_for_ever() -> None:
    class Forgetful(MemoryStore):
        forgets = False

        def get(self, blob: Any) -> memoryview:
            if self.forgets:
                self.blobs.pop(blob.digest, None)
            return super().get(blob)

    with Rig(artifacts=Forgetful()) as rig, within(10):
        made = rig.submit(rig.step(big), 7)
        rig.loop.wait(made)
        rig.artifacts.forgets = True  # type: ignore[attr-defined]
        task = rig.submit(rig.step(size), made)
        assert rig.result(task) is None
        assert task.problem is not None
        assert task.problem.failure == Failure.INPUT
        rig.loop.wait_idle()


def test_lost_input_of_an_unknown_step_fails_the_task_not_the_run() -> None:
    with Rig() as rig:
        made = rig.submit(rig.step(big), 7)
        rig.result(made)
        del rig.loop.steps["big"]
        (blob,) = made.output("result").blobs
        rig.artifacts.delete([blob.digest])  # type: ignore[attr-defined]
        task = rig.submit(rig.step(size), made)
        assert rig.result(task) is None
        assert task.problem is not None
        assert "does not know step 'big'" in task.problem.error
        assert rig.call(rig.step(double), 2) == 4


# --- stores that fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [False, True], ids=["not-written", "written"])
@pytest.mark.parametrize("error", [StoreFullError("full"), LeaseLostError("taken"), OSError("no more files")])
@pytest.mark.parametrize("fail_at", [0, 1, 2, 3, 5, 8, 13])
def test_failed_commit_hangs_no_thread_and_shows_nothing_unrecorded(
    fail_at: int, error: Exception, written: bool
) -> None:
    with within(20):
        rig = Rig(wrap=lambda store: FailingCommits(store, error, fail_at, written=written))
        seen: list[TaskId] = []
        raised: list[BaseException] = []
        doubled, added = rig.step(double), rig.step(add)

        def flow(offset: int) -> None:
            try:
                for n in range(200):
                    first = rig.submit(doubled, offset + n)
                    last = rig.submit(added, first, 1)
                    assert rig.result(last) == 2 * (offset + n) + 1
                    seen.extend((first.id, last.id))
            except BaseException as problem:
                raised.append(problem)

        threads = [threading.Thread(target=flow, args=(1000 * n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        rig.loop.wait_idle()
        for thread in threads:
            thread.join(15)
            assert not thread.is_alive()
        assert raised == [error] * 3
        assert rig.loop.failure is error
        with pytest.raises(type(error)):
            rig.loop.write()
        with pytest.raises(type(error)):
            rig.submit(rig.step(double), 1)
        rig.loop.cancel()  # says nothing, does nothing
        rig.close()
        recorded = states(rig)
        assert all(recorded.get(task) == "succeeded" for task in seen)
        assert not any(link.alive for link in rig.executor.links)


class AwayStore:
    """A store that does not answer while ``away`` is set; ``written``: what it was told is written all the same."""

    def __init__(self, store: MetadataStore) -> None:
        self._store = store
        self.away = False
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*args: Any, **named: Any) -> Any:
            if self.away:
                self.asked += 1
                raise StoreAwayError("it is locked")
            return method(*args, **named)

        return call


class AwayRig(Rig):
    """A rig whose store may be away, with what was told to the user."""

    def __init__(self, **options: Any) -> None:
        stores: list[AwayStore] = []

        def wrap(store: MetadataStore) -> AwayStore:
            stores.append(AwayStore(store))
            return stores[0]

        super().__init__(wrap=wrap, **options)
        self.away = stores[0]
        self.told: list[str] = []
        self.loop.on_notice = self.told.append

    def leave(self) -> None:
        """Let the store be away from here on, and wait until the loop has met it so."""
        self.away.away = True
        self.eventually(lambda: self.told)

    @staticmethod
    def eventually(condition: Callable[[], object]) -> None:
        until = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.01)


def test_results_that_arrive_while_the_store_is_away_are_recorded_when_it_is_back() -> None:
    gate = threading.Event()
    with AwayRig() as rig:
        slow = rig.step(lambda n: gate.wait(30) and n, name="slow")
        doubled = rig.step(double)
        one = rig.submit(slow, 7)
        rig.eventually(lambda: states(rig))  # it is recorded as running
        rig.leave()
        started = len(rig.executor.executed)
        gate.set()
        later = rig.submit(doubled, one)
        other = rig.submit(doubled, 4)
        assert not rig.loop.wait(one, 1.5)  # it ended, but who waits may not see what is not on record
        assert len(rig.executor.executed) == started
        rig.away.away = False
        assert rig.result(later) == 14
        assert rig.result(other) == 8
    assert set(states(rig).values()) == {"succeeded"}
    assert {task.attempts for task in rig.store.tasks(rig.run.id)} == {1}
    assert [text.partition(" since ")[0].partition(", after")[0] for text in rig.told] == [
        "the metadata store does not answer",
        "the metadata store answers again",
    ]


def test_cache_is_asked_again_when_the_store_is_back() -> None:
    with AwayRig() as rig:
        rig.call(rig.step(double), 1)
        rig.leave()
        task = rig.submit(rig.step(add, cache=True), 1, 2)
        assert not rig.loop.wait(task, 0.5)
        rig.away.away = False
        assert rig.result(task) == 3


def test_cancelled_while_the_store_is_away() -> None:
    with AwayRig() as rig:
        rig.leave()
        tasks = [rig.submit(rig.step(double, cache=cached, name=f"d{cached}"), 1) for cached in (False, True)]
        rig.loop.cancel()
        rig.away.away = False
        rig.loop.wait_idle()
        assert {task.state for task in tasks} == {TaskState.CANCELLED}


def test_lost_input_is_made_again_when_the_store_is_back() -> None:
    gate = threading.Event()
    with AwayRig() as rig:
        made = rig.submit(rig.step(big), 7)
        rig.result(made)
        (blob,) = made.output("result").blobs
        held = rig.step(lambda value: gate.wait(30) and len(value), name="held")
        rig.artifacts.delete([blob.digest])
        task = rig.submit(held, made)
        rig.leave()
        gate.set()
        rig.away.away = False
        assert rig.result(task) == BIG


def test_writing_waits_for_a_store_that_is_away() -> None:
    with AwayRig() as rig:
        rig.leave()
        writer = threading.Thread(target=rig.loop.write, args=(Tag(rig.run.id, "written"),))
        writer.start()
        asked = rig.away.asked
        rig.eventually(lambda: rig.away.asked > asked + 1)
        assert writer.is_alive()
        assert rig.store.tags([rig.run.id]) == []
        rig.away.away = False
        writer.join(30)
        assert rig.store.tags([rig.run.id]) == [Tag(rig.run.id, "written")]


def test_lease_that_was_taken_while_the_store_was_away_ends_the_run() -> None:
    rig = AwayRig()
    rig.leave()
    task = rig.submit(rig.step(double), 1)
    assert rig.store.acquire(rig.lease.name, "other", LEASE_SECONDS, dead=rig.lease.owner) is not None
    rig.away.away = False
    with pytest.raises(LeaseLostError):
        rig.result(task)
    rig.close()


def test_lease_that_expired_while_the_store_was_away_is_held_again() -> None:
    with AwayRig() as rig:
        rig.leave()
        rig.store._all.leases[rig.lease.name] = rig.lease, time.monotonic() - 5  # type: ignore[attr-defined]
        rig.away.away = False
        assert rig.call(rig.step(double), 2) == 4
        held = rig.store.lease(rig.lease.name)
        assert held is not None
        assert held.left > 0


def test_closing_waits_for_the_store() -> None:
    rig = AwayRig()
    rig.leave()
    rig.loop.write_soon(Tag(rig.run.id, "last"))
    threading.Timer(0.5, lambda: setattr(rig.away, "away", False)).start()
    rig.close()
    assert rig.store.tags([rig.run.id]) == [Tag(rig.run.id, "last")]


class HeldCommits:
    """A metadata store whose commits wait while ``hold`` is set. ``begun`` and ``made`` count them."""

    def __init__(self, store: MetadataStore) -> None:
        self._store = store
        self.go = threading.Event()
        self.go.set()
        self.begun = self.made = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, writes: Any, lease: Any = None, seconds: float = 0.0) -> None:
        self.begun += 1
        assert self.go.wait(60)
        self._store.commit(writes, lease, seconds)
        self.made += 1


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("waits", [False, True])
def test_commit_in_progress_keeps_no_worker_and_no_submit_waiting(waits: bool) -> None:
    gates = [threading.Event() for _ in range(3)]
    with Rig(wrap=HeldCommits, capacity=Resources(cpu=4.0)) as rig:
        store: Any = rig.loop.metadata
        first, second = [rig.submit(rig.step(gate.wait, name=f"s{n}"), 30) for n, gate in enumerate(gates[:2])]
        until(lambda: len(rig.executor.executed) == 2)
        waiter = threading.Thread(target=rig.result, args=(first,))
        if waits:
            waiter.start()
        store.go.clear()
        begun = store.begun
        gates[0].set()
        until(lambda: store.begun > begun)  # the thread that heard of the first answer is in a commit now
        assert first.state is TaskState.SUCCEEDED
        assert not first.done  # it is not told before it is recorded
        with within(5):
            third = rig.submit(rig.step(double), 21)
        until(lambda: len(rig.executor.executed) == 3)  # it runs meanwhile
        gates[1].set()
        until(lambda: second.state is TaskState.SUCCEEDED)
        until(lambda: third.state is TaskState.SUCCEEDED)
        assert not (second.done or third.done)
        assert store.made == begun
        made_when_told: list[int] = []
        second_told = threading.Event()
        rig.loop.notify(second, lambda: (made_when_told.append(store.made), second_told.set()))
        store.go.set()
        assert rig.result(third) == 42
        assert second_told.wait(20)
        assert made_when_told == [begun + 2]  # both answers that came meanwhile were written by one commit
        if waits:
            waiter.join(20)
            assert not waiter.is_alive()


def test_threads_that_cancel_and_submit_do_not_wait_for_a_slow_store() -> None:
    with Rig(wrap=HeldCommits, capacity=Resources(cpu=1.0)) as rig:
        store: Any = rig.loop.metadata
        gate = threading.Event()
        running = rig.submit(rig.step(lambda: gate.wait(60), name="slow"))
        waiting = [rig.submit(rig.step(double), n) for n in range(5)]
        rig.loop._turns.slow = True  # as after a commit that took long
        store.go.clear()
        with within(5):
            for task in waiting:
                rig.loop.cancel(task)
            rig.loop.cancel(running)
        assert [task.state for task in waiting] == [TaskState.CANCELLED] * 5
        store.go.set()
        rig.result(running)
        assert running.state is TaskState.CANCELLED
        gate.set()
    assert set(states(rig).values()) <= {"cancelled"}


def test_counters_tell_what_a_loop_did() -> None:
    tries: list[int] = []

    def flaky() -> int:
        tries.append(1)
        if len(tries) < 2:
            raise ValueError("not yet")
        return len(tries)

    gate = threading.Event()
    with Rig() as rig:
        assert rig.call(rig.step(flaky, retry=Retry(1, delay=0.0))) == 2
        running = rig.submit(rig.step(lambda: gate.wait(20), name="slow"))
        waiting = rig.submit(rig.step(add), running, 1)
        counters = rig.loop.count()
        assert (counters.submits, counters.starts, counters.retries) == (3, 3, 1)
        assert (counters.waiting, counters.running) == (1, 1)
        assert counters.workers >= 1
        assert counters.commits >= 1
        assert 0 < counters.longest_commit <= counters.commit_seconds
        assert 0 < counters.longest_round <= counters.round_seconds
        gate.set()
        assert rig.result(waiting) == 2


def test_rounds_do_not_count_the_time_in_which_nothing_is_heard() -> None:
    with Rig() as rig:
        started = time.monotonic()
        assert rig.call(rig.step(lambda: time.sleep(2), name="slow")) is None
        counters = rig.loop.count()
    assert counters.rounds > 0
    assert counters.round_seconds < (time.monotonic() - started) / 2


def test_futures_and_callbacks_are_told_of_the_end() -> None:
    gate = threading.Event()
    told: list[int] = []
    rig = Rig(wrap=lambda store: FailingCommits(store, StoreError("gone"), 0))
    task = rig.submit(rig.step(lambda: gate.wait(5), name="slow"))
    rig.loop.notify(task, lambda: told.append(1))
    waiter = threading.Thread(target=rig.loop.wait_idle)
    waiter.start()
    gate.set()
    with pytest.raises(StoreError, match="gone"), within(10):
        rig.result(task)
    waiter.join(5)
    assert not waiter.is_alive()
    assert told == [1]
    rig.loop.notify(task, lambda: told.append(2))
    assert told == [1, 2]
    assert not task.done
    rig.close()


def test_a_store_that_fails_to_answer_the_cache_ends_the_run() -> None:
    class NoCache(FailingCommits):
        def cached(self, key: bytes, project: str) -> None:
            raise StoreError("cannot read")

    with Rig(wrap=lambda store: NoCache(store, StoreError(""), 10**9)) as rig:
        with pytest.raises(StoreError, match="cannot read"):
            rig.submit(rig.step(double, cache=True), 1)
        rig.loop.wait_idle()


def test_a_last_commit_that_fails_is_said_after_everything_is_closed() -> None:
    rig = Rig(wrap=lambda store: FailingCommits(store, StoreError("full"), 0))
    with pytest.raises(StoreError, match="full"):
        rig.close()
    assert not any(thread.is_alive() for thread in rig.loop._turns._threads)
    assert not any(link.alive for link in rig.executor.links)


def test_no_worker_to_be_had_ends_the_run() -> None:
    rig = Rig()

    def provide(*_: object) -> Any:
        raise OSError(24, "Too many open files")

    rig.executor.provide = provide  # type: ignore[method-assign]
    with within(10), pytest.raises(OSError, match="Too many open files"):
        for n in range(10):
            rig.call(rig.step(double, isolated=True), n)
    rig.loop.wait_idle()
    rig.close()


def test_a_worker_that_talks_nonsense_is_replaced() -> None:
    with Rig() as rig, within(10):
        gate = threading.Event()

        def slow(value: int) -> int:
            gate.wait(5)
            return value

        task = rig.submit(rig.step(slow, retry=Retry(3)), 3)
        time.sleep(0.1)
        for link in list(rig.executor.links):
            link.theirs.sendall(b"\xff\xff\xff\xff nonsense")
        gate.set()
        assert rig.result(task) == 3
        assert rig.call(rig.step(double), 4) == 8


def test_a_worker_speaks_for_its_own_attempts_only() -> None:
    gate = threading.Event()
    tokens: list[int] = []

    def answer(message: Execute, run: Callable[[], Done | Failed]) -> Done | Failed | int:
        tokens.append(message.token)
        gate.wait(10)
        return run()

    with Rig(answer=answer) as rig, within(20):
        step = rig.step(double)
        tasks = [rig.submit(step, n) for n in (1, 2)]
        while len(tokens) < 2:
            time.sleep(0.01)
        for link in rig.executor.links:
            own = current(rig, link)
            others = [token for token in tokens if token != own] + [own + (1 << 32)]
            link.theirs.sendall(frame(Handback(tuple(others))) + frame(Track(others[-1], params=(("a", "1"),))))
        gate.set()
        assert [rig.result(task) for task in tasks] == [2, 4]
        assert len(rig.executor.executed) == 2
        assert [token >> 32 for token in tokens] == [rig.loop.state.options.session] * 2


def current(rig: Rig, link: FakeLink) -> int:
    """The token of the attempt that a worker has in hand."""
    return next(w.queue[0].token for w in rig.loop.workers._workers.values() if w.link is link)


# --- time ---------------------------------------------------------------------------------------------------------


def test_a_clock_set_back_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def flaky() -> int:
        tries.append(1)
        if len(tries) < 2:
            raise ValueError("not yet")
        return 5

    def slow() -> None:
        time.sleep(5)

    real = time.time
    with Rig() as rig, within(10):
        rig.call(rig.step(double), 1)
        monkeypatch.setattr(time, "time", lambda: real() - 3600)
        assert rig.call(rig.step(flaky, retry=Retry(1, delay=0.2))) == 5
        limited = rig.submit(rig.step(slow, timeout=0.3))
        monkeypatch.setattr(time, "time", lambda: real() - 7200)
        rig.result(limited)
        assert limited.problem is not None
        assert limited.problem.failure == Failure.TIMEOUT
        cancelled = rig.submit(rig.step(slow, name="other"))
        rig.store.send(rig.run.id, "cancel", "", b"", "me", real())
        rig.result(cancelled)
        assert cancelled.state is TaskState.CANCELLED
        assert rig.loop.cancel_requested == "me"


def test_a_stolen_lease_is_noticed_while_nothing_happens() -> None:
    rig = Rig(capacity=Resources(cpu=1.0))
    gate = threading.Event()
    task = rig.submit(rig.step(lambda: gate.wait(20), name="slow"))
    time.sleep(0.3)
    stolen = rig.store.acquire(rig.lease.name, "thief", 60.0, dead=rig.lease.owner)
    assert stolen is not None
    before = states(rig)
    with within(LEASE_SECONDS / 2), pytest.raises(LeaseLostError):
        rig.result(task)
    gate.set()
    time.sleep(0.1)
    assert states(rig) == before
    rig.close()
    held = rig.store.lease(f"run:{rig.run.id}")
    assert held is not None  # not given back by who lost it
    assert held.token == stolen.token


def test_idle_run_hears_signals_soon_after_a_task_is_submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "SLOW_LOOK", 3600.0)
    gate = threading.Event()
    with Rig() as rig, within(20):
        rig.call(rig.step(double), 1)  # from here on there is a worker that says nothing until it has something
        while rig.loop._pace != 3600.0:
            time.sleep(0.01)
        task = rig.submit(rig.step(lambda: gate.wait(20), name="slow"))
        ended = threading.Event()
        rig.loop.notify(task, ended.set)
        rig.store.send(rig.run.id, "cancel", "", b"", "me", time.time())
        assert ended.wait(15)  # only the loop's own thread looks
        assert task.state is TaskState.CANCELLED
        gate.set()


def test_interrupt_gives_the_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with Rig() as rig, within(20):
        poll, heard = rig.loop._poll_once, []

        def interrupted(longest: float, **how: bool) -> None:
            if not heard and threading.current_thread() is threading.main_thread():
                rig.loop.section.interrupt(KeyboardInterrupt())
                heard.append(rig.loop._turns.lock.locked())
            poll(longest, **how)

        gate = threading.Event()
        task = rig.submit(rig.step(lambda: gate.wait(20), name="slow"))
        monkeypatch.setattr(rig.loop, "_poll_once", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rig.loop.wait(task)
        assert heard == [True]  # it waited until the turn was over
        gate.set()
        assert rig.result(task) is True  # no thread holds what is needed for that


def test_interrupts_do_not_break_into_a_run_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    with Rig() as rig, within(20):
        task = rig.submit(rig.step(lambda: gate.wait(20), name="slow"))
        with pytest.raises(KeyboardInterrupt):
            rig.loop.section.interrupt(KeyboardInterrupt())
        rig.loop.ending()
        rig.loop.section.interrupt(KeyboardInterrupt())  # takes the workers away
        rig.loop.section.interrupt(KeyboardInterrupt())
        rig.result(task)
        assert task.problem is not None
        monkeypatch.setattr(loop_module, "_PATIENCE", 0.0)
        with pytest.raises(KeyboardInterrupt):  # a thread that waits for ever can get out
            rig.loop.section.interrupt(KeyboardInterrupt())
        gate.set()


def test_waiting_leaves_nothing_behind() -> None:
    gate = threading.Event()
    with Rig() as rig:
        task = rig.submit(rig.step(lambda: gate.wait(20), name="slow"))
        threads = [threading.Thread(target=rig.result, args=(task,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        assert len(task.locks) <= 3
        gate.set()
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()
