"""Random flows, outcomes and crashes against a model of everything around ``decide``.

The world here does what the loop, the workers and the stores do, in the same order: events may come in batches, a
batch is committed whole or lost with the driver, starts and news go out after the commit. A crash throws the engine's
state away; the next session starts from what is in the store and the flow makes its calls again, as a resume does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from blake3 import blake3
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headrace.engine.decide import decide
from headrace.engine.events import (
    AttemptFailed,
    CacheAnswer,
    Cancel,
    Event,
    Exceeded,
    Handback,
    InputLost,
    Kill,
    Later,
    Lookup,
    Promote,
    Recall,
    Record,
    Resolve,
    Schedule,
    Start,
    Submit,
    Succeeded,
    TimeOver,
)
from headrace.engine.lookup import look_up
from headrace.engine.recall import rebuild
from headrace.engine.rows import running_records
from headrace.engine.state import EngineState, RunOptions
from headrace.engine.tasks import Task
from headrace.model.calls import PendingInput, PendingSource, StepInfo, StepLoad
from headrace.model.messages import Define, Output
from headrace.model.outcomes import Raised, outcome
from headrace.model.policy import Resources, Retry, StepPolicy
from headrace.model.records import AttemptRecord, TaskId, TaskRecord
from headrace.model.states import FINAL_TASK_STATES, AttemptState, Failure, TaskState
from headrace.model.values import Blob, Packed, Preview
from headrace.model.workers import Capacity
from headrace.services.start import load_recorded
from headrace.services.stores import Stores
from headrace.stores.metadata.protocol import NewRun, Write
from headrace.testing.engine import packed, usage
from headrace.testing.metadata import MemoryMetadata

CAPACITY = Resources(cpu=2.0, memory=1000, gpu=2)
PLACES = {"local": Capacity(CAPACITY, largest=CAPACITY)}
POLICIES = {
    "plain": StepPolicy(),
    "half": StepPolicy(Resources(cpu=0.5)),
    "wide": StepPolicy(Resources(cpu=2.0)),
    "heavy": StepPolicy(Resources(cpu=1.0, memory=600), Retry(count=2, memory_factor=1.5)),
    "gpu": StepPolicy(Resources(cpu=0.5, gpu=1)),
    "stubborn": StepPolicy(retry=Retry(count=2, delay=3.0, on=("ValueError",))),
    "cached": StepPolicy(cache=True),
    "single": StepPolicy(Resources(cpu=0.5), max_parallel=1),
    "timed": StepPolicy(timeout=10.0, retry=Retry(count=1)),
    "alone": StepPolicy(isolated=True),
    "quick": StepPolicy(Resources(cpu=0.5)),
    "brisk": StepPolicy(Resources(cpu=1.0)),
}
NAMES = sorted(POLICIES)
#: These may be sent ahead of their turn.
QUICK = {"quick": 0.0001, "brisk": 0.0001}


class Call(NamedTuple):
    """A call as the flow makes it; an input is a word, or the place of an earlier call whose result it is."""

    step: str
    inputs: tuple[int | str, ...]


class Blobs:
    """Just enough of an artifact store: which blobs are there."""

    def __init__(self) -> None:
        self.present: set[bytes] = set()

    def missing(self, blobs: Iterable[Blob]) -> list[Blob]:
        return [blob for blob in blobs if blob.digest not in self.present]


def value(text: str) -> Packed:
    digest = blake3(text.encode()).digest()
    return Packed("json", digest, len(text), b"", (Blob(digest, len(text)),))


class World:
    """One session after the other of one run."""

    def __init__(self) -> None:
        self.store = MemoryMetadata()
        self.blobs = Blobs()
        self.run = self.store.create_run(NewRun(project="p", flow="f", dialect="native", entry="", created=0.0))
        self.versions = dict.fromkeys(NAMES, 1)
        self.now = 1000.0
        self.session = 0
        self.attempts: set[tuple[TaskId, int]] = set()
        self.begin()

    def begin(self) -> None:
        self.session += 1
        recorded = load_recorded(Stores(self.store, self.blobs), self.run.id)  # type: ignore[arg-type]
        self.settled = {
            one.record.id: one.record.code for one in recorded.values() if one.outputs is not None
        }  # what must not run again unless its code is another
        self.state = EngineState(
            RunOptions(run_id=self.run.id, session=self.session, capacities=PLACES, max_parallel=5), recorded
        )
        self.steps = {
            name: StepInfo(
                n,
                name,
                policy,
                Define(n, name),
                f"{name} {self.versions[name]}".encode(),
                load=StepLoad(seconds=QUICK.get(name)),
            )
            for n, (name, policy) in enumerate(POLICIES.items())
        }
        self.tasks: list[Task] = []
        self.everyone: list[Task] = []
        self.resolved: set[int] = set()
        self.recalled: set[TaskId] = set()
        self.writes: list[Write] = []
        self.starts: list[Start] = []
        self.news: list[Task] = []
        self.timers: list[Later] = []
        self.workers: list[deque[int]] = []
        self.killed: set[int] = set()
        self.past: list[int] = []
        self.in_batch = False

    # --- what the loop does ---------------------------------------------------------------------------------------

    def feed(self, *events: Event) -> None:
        self.in_batch = True
        queue = list(events)
        for event in queue:
            for command in decide(self.state, event):
                if isinstance(command, Lookup):
                    queue.append(self.look_up(command.task))
                else:
                    self.obey(command)

    def obey(self, command: Any) -> None:
        if isinstance(command, Record):
            self.writes += command.writes
        elif isinstance(command, Resolve):
            assert id(command.task) not in self.resolved, "resolved twice"
            self.resolved.add(id(command.task))
            self.news.append(command.task)
        elif isinstance(command, Start):
            self.starts.append(command)
        elif isinstance(command, Later):
            self.timers.append(command)
        elif isinstance(command, Kill):
            assert any(worker[0] == command.token for worker in self.workers), "kills a worker that runs another task"
            self.killed.add(command.token)

    def look_up(self, task: Task) -> CacheAnswer:
        return look_up(task, "default", self.store, self.blobs, self.now)

    def settle(self) -> None:
        self.feed(Schedule(self.now))
        self.commit()
        starts, self.starts = self.starts, []
        for start in starts:
            self.dispatch(start)
        news, self.news = self.news, []
        for task in news:
            self.check_recorded(task)
        self.in_batch = False

    def commit(self) -> None:
        writes, self.writes = self.writes, []
        for write in writes:
            if isinstance(write, AttemptRecord) and write.state is not AttemptState.RUNNING:
                attempt = (TaskId(write.step, write.number), write.attempt)
                assert attempt not in self.attempts, "an outcome is recorded twice"
                self.attempts.add(attempt)
        self.store.commit(writes)

    def check_recorded(self, task: Task) -> None:
        """Who waited for ``task`` learns of its end: what they learn is in the store."""
        assert task.state in FINAL_TASK_STATES
        assert (task.problem is None) == (task.state is TaskState.SUCCEEDED)
        if task.id.number < 0:
            assert task.problem is not None
            return
        row = self.store.task(self.run.id, task.id)
        assert row is not None
        assert (row.state, row.key) == (task.state, task.key)
        if task.state is TaskState.SUCCEEDED:
            made = self.store.outputs(self.run.id, [task.id])[task.id]
            assert {name: one.value for name, one in made.items()} == {o.name: o.value for o in task.outputs}

    # --- what workers do ------------------------------------------------------------------------------------------

    def dispatch(self, start: Start) -> None:
        task = start.task
        if task.id not in self.recalled:
            assert self.settled.get(task.id) != task.step.code, "what was recorded runs again"
        if not start.ahead:
            self.workers.append(deque([start.token]))
            return
        hosts = [w for w in self.workers if not self.task_of(w[0]).step.policy.isolated and w[0] not in self.killed]
        min(hosts, key=len).append(start.token)

    def task_of(self, token: int) -> Task:
        return self.state.placement.slots[token].task

    def finish(self, place: int, failure: str, error: str) -> None:
        """The attempt at the head of a worker ends: well when ``failure`` is empty."""
        worker = self.workers[place % len(self.workers)]
        token = worker.popleft()
        task = self.task_of(token)
        self.past.append(token)
        if (lost := self.lost_input(task)) is not None:
            events = [self.input_lost(token, lost)]
        elif failure:
            kind = f"builtins.{error}"
            events = [AttemptFailed(token, outcome(failure)(error, classes=(kind, "builtins.Exception")), self.now)]
        else:
            events = [self.success(token, task)]
        if worker:
            events.append(Promote(worker[0], self.now))
        else:
            self.workers.remove(worker)
        self.feed(*events)
        self.killed.discard(token)

    def success(self, token: int, task: Task) -> Event:
        made = value(self.expected_of(task))
        self.blobs.present.add(made.digest)
        seconds = QUICK.get(task.step.name, 1.0)
        outputs = (Output("result", made, Preview("str", "")),)
        return Succeeded(token, outputs, usage(self.now - seconds, self.now), self.now)

    def expected_of(self, task: Task) -> str:
        """What a step makes of its inputs: says which code made it of what."""
        inputs = ",".join(one.value.digest.hex()[:16] for one in task.final_inputs())
        return f"{task.step.code.decode()}({inputs})"

    def lost_input(self, task: Task) -> PendingSource | None:
        for one in task.pending:
            for source in one.sources:
                if self.blobs.missing(source.task.output(source.output).blobs):
                    return source
        return None

    def input_lost(self, token: int, lost: PendingSource) -> Event:
        name = lost.task.id
        again = next((task for task in self.state.live if task.id == name), None)
        if again is None:
            again, row = rebuild(name, self.run.id, self.store, lambda step, _: self.steps.get(step))
            self.recalled.add(name)
            self.everyone.append(again)
            self.feed(Recall(again, row, self.now))
        return InputLost(token, again, name, lost.output, self.now)

    def die(self, place: int, failure: str) -> None:
        """A worker ends under its attempt; those behind it come back."""
        worker = self.workers.pop(place % len(self.workers))
        token = worker.popleft()
        self.past += [token, *worker]
        self.feed(AttemptFailed(token, outcome(failure)("died", classes=("headrace.TaskCrashedError",)), self.now))
        if worker:
            self.feed(Handback(tuple(worker), self.now))
        self.killed.discard(token)

    def hand_back(self, place: int, count: int) -> None:
        worker = self.workers[place % len(self.workers)]
        back = [worker.pop() for _ in range(min(count, len(worker) - 1))]
        self.past += back
        if back:
            self.feed(Handback(tuple(reversed(back)), self.now))

    def fire(self) -> None:
        due = [later for later in self.timers if later.at <= self.now]
        self.timers = [later for later in self.timers if later.at > self.now]
        for later in due:
            self.feed(later.event)

    # --- what the flow does ---------------------------------------------------------------------------------------

    def submit(self, call: Call) -> None:
        pending = tuple(
            PendingInput(f"a{n}", packed(one))
            if isinstance(one, str)
            else PendingInput(f"a{n}", None, (PendingSource(self.tasks[one], "result"),))
            for n, one in enumerate(call.inputs)
        )
        task = Task(self.steps[call.step], pending)
        self.tasks.append(task)
        self.everyone.append(task)
        self.feed(Submit(task, self.now))

    def expected(self, calls: list[Call]) -> list[str]:
        """The result of each call, by the code of today and nothing but its inputs."""
        found: list[str] = []
        for call in calls:
            digests = (packed(one) if isinstance(one, str) else value(found[one]) for one in call.inputs)
            inputs = ",".join(one.digest.hex()[:16] for one in digests)
            found.append(f"{call.step} {self.versions[call.step]}({inputs})")
        return found


places = st.integers(0, 50)
one_call = st.tuples(st.sampled_from(NAMES), st.lists(st.one_of(st.sampled_from("ab"), places, places), max_size=3))


class Crashes(RuleBasedStateMachine):
    @initialize(flow=st.lists(st.tuples(one_call, st.integers(1, 3)), min_size=3, max_size=10))
    def start(self, flow: list[tuple[tuple[str, list[int | str]], int]]) -> None:
        self.world = World()
        self.calls: list[Call] = []
        for one, times in flow:
            self.submit(one, times)
        self.world.settle()

    def submit(self, one: tuple[str, list[int | str]], times: int) -> None:
        """Call a step, perhaps several times alike; places are those of earlier calls."""
        known = len(self.calls)
        inputs = tuple(value if isinstance(value, str) else value % known if known else "c" for value in one[1])
        for _ in range(times):
            call = Call(one[0], inputs)
            self.calls.append(call)
            self.world.submit(call)

    def done(self, settle: bool) -> None:
        if settle:
            self.world.settle()

    # --- the flow -------------------------------------------------------------------------------------------------

    @rule(one=one_call, times=st.integers(1, 4), settle=st.booleans())
    def call(self, one: tuple[str, list[int | str]], times: int, settle: bool) -> None:
        self.submit(one, times)
        self.done(settle)

    @rule(place=places, settle=st.booleans())
    def cancel_one(self, place: int, settle: bool) -> None:
        if self.calls:
            self.world.feed(Cancel(self.world.tasks[place % len(self.calls)], self.world.now))
            self.done(settle)

    @precondition(lambda self: len(self.calls) > 5)
    @rule(dice=st.integers(0, 9))
    def cancel_all(self, dice: int) -> None:
        if dice == 0:
            self.world.feed(Cancel(None, self.world.now))
            self.world.settle()

    # --- workers --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.world.workers)
    @rule(places=st.lists(places, min_size=1, max_size=6), settle=st.booleans())
    def succeed(self, places: list[int], settle: bool) -> None:
        for place in places:
            if self.world.workers:
                self.world.finish(place, "", "")
        self.done(settle)

    @precondition(lambda self: self.world.workers)
    @rule(place=places, error=st.sampled_from(["ValueError", "KeyError"]), settle=st.booleans())
    def fail(self, place: int, error: str, settle: bool) -> None:
        self.world.finish(place, Failure.ERROR, error)
        self.done(settle)

    @precondition(lambda self: self.world.workers)
    @rule(place=places, failure=st.sampled_from([Failure.KILLED, Failure.CRASH, Failure.MEMORY]))
    def die(self, place: int, failure: str) -> None:
        self.world.die(place, failure)
        self.world.settle()

    @precondition(lambda self: self.world.killed)
    @rule()
    def killed_workers_end(self) -> None:
        for token in sorted(self.world.killed):
            for place, worker in enumerate(self.world.workers):
                if worker[0] == token:
                    self.world.die(place, Failure.KILLED)
                    break
        self.world.settle()

    @precondition(lambda self: self.world.workers)
    @rule(place=places, count=st.integers(1, 9))
    def hand_back(self, place: int, count: int) -> None:
        self.world.hand_back(place, count)
        self.world.settle()

    @precondition(lambda self: self.world.workers)
    @rule(place=places)
    def exceed(self, place: int) -> None:
        worker = self.world.workers[place % len(self.world.workers)]
        self.world.feed(Exceeded(worker[0], 10**9, self.world.now))

    # --- time, the store, the past --------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds
        self.world.fire()
        self.world.writes += running_records(self.world.state, lambda token: ("here", token))
        self.world.settle()

    @rule(place=places)
    def lose_a_blob(self, place: int) -> None:
        """Of an output that a task is about to use, when there is one."""
        world = self.world
        sources = [s.task for task in world.tasks for one in task.pending for s in one.sources if s.task.outputs]
        wanted = {task.output("result").digest for task in sources}
        if present := sorted(wanted or world.blobs.present):
            world.blobs.present.discard(present[place % len(present)])

    @precondition(lambda self: self.world.past)
    @rule(place=places)
    def hear_from_the_past(self, place: int) -> None:
        world = self.world
        token = world.past[place % len(world.past)]
        if token in world.state.placement.slots:
            return
        before = (dict(world.state.placement.slots), set(world.state.live), [task.state for task in world.everyone])
        stranger = Task(world.steps["plain"], ())
        late = (Output("result", packed("late"), Preview("str", "")),)
        for event in (
            Succeeded(token, late, usage(0.0, 1.0), world.now),
            AttemptFailed(token, Raised("late"), world.now),
            InputLost(token, stranger, TaskId("plain", 1), "result", world.now),
            Handback((token,), world.now),
            Promote(token, world.now),
            TimeOver(token, world.now),
            Exceeded(token, 1, world.now),
        ):
            assert decide(world.state, event) == []
        assert before == (
            dict(world.state.placement.slots),
            set(world.state.live),
            [task.state for task in world.everyone],
        )

    @rule(committed=st.booleans(), edited=st.sets(st.sampled_from(NAMES), max_size=2))
    def crash_and_resume(self, committed: bool, edited: set[str]) -> None:
        """The driver is gone at any moment; perhaps a step is edited before the run goes on."""
        if committed:
            self.world.commit()
        for name in edited:
            self.world.versions[name] += 1
        self.resume()

    # --- what always holds ----------------------------------------------------------------------------------------

    @invariant()
    def no_more_is_used_than_there_is(self) -> None:
        state = self.world.state
        placement = state.placement
        room = placement.rooms["local"]
        holding = [slot.resources for slot in placement.slots.values() if not slot.ahead]
        cpu, memory, gpu = (sum(getattr(one, kind) for one in holding) for kind in ("cpu", "memory", "gpu"))
        assert abs(cpu - room.cpu) < 1e-6 and (memory, gpu) == (room.memory, room.gpu)
        assert cpu <= CAPACITY.cpu + 1e-6
        assert memory <= CAPACITY.memory
        assert gpu <= CAPACITY.gpu
        held = [device for slot in placement.slots.values() for device in slot.gpus]
        assert len(held) == len(set(held)) == gpu
        assert len(holding) <= state.options.max_parallel
        single = [slot for slot in placement.slots.values() if slot.task.step.name == "single"]
        assert len(single) <= 1

    @invariant()
    def running_tasks_alone_have_slots(self) -> None:
        state = self.world.state
        running = {id(task): task for task in state.live if task.state is TaskState.RUNNING}
        assert {id(slot.task) for slot in state.placement.slots.values()} == set(running)
        assert all(slot.task.token == token for token, slot in state.placement.slots.items())
        for step in self.world.steps.values():
            assert step.load.running == sum(slot.task.step is step for slot in state.placement.slots.values())

    @invariant()
    def who_is_not_over_is_live_and_the_others_were_resolved(self) -> None:
        world = self.world
        over = {id(task) for task in world.everyone if task.state in FINAL_TASK_STATES}
        assert over == world.resolved
        assert {id(task) for task in world.state.live} == {id(task) for task in world.everyone} - over

    @invariant()
    def counts_are_those_of_the_tasks(self) -> None:
        counted = {
            (step, state): n for step, states in self.world.state.counts.items() for state, n in states.items() if n
        }
        expected: dict[tuple[str, TaskState], int] = {}
        for task in self.world.everyone:
            expected[task.step.name, task.state] = expected.get((task.step.name, task.state), 0) + 1
        assert counted == expected

    @invariant()
    def results_are_those_of_the_code_and_the_inputs(self) -> None:
        for task, text in zip(self.world.tasks, self.world.expected(self.calls), strict=True):
            if task.state is TaskState.SUCCEEDED:
                assert task.output("result") == value(text)

    @invariant()
    def who_could_run_does(self) -> None:
        world = self.world
        if not world.in_batch and not world.state.placement.slots:
            assert not [task for task in world.state.live if task.state is TaskState.READY]

    # --- the end --------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.drain()
        self.resume()
        self.drain()
        assert not [task for task in self.world.tasks if task.problem is not None], (
            "with nothing in the way all succeed"
        )
        self.world.blobs.present |= {value(text).digest for text in self.world.expected(self.calls)}
        before = {task.key for task in self.world.tasks}
        self.resume()
        assert not self.world.state.live, "a finished run has nothing left to do"
        assert {task.key for task in self.world.tasks} == before
        rows: list[TaskRecord] = self.world.store.tasks(self.world.run.id)
        assert all(rows_of.state is TaskState.SUCCEEDED for rows_of in rows if rows_of.key in before)

    def resume(self) -> None:
        self.world.begin()
        for call in self.calls:
            self.world.submit(call)
        self.world.settle()

    def drain(self) -> None:
        """Let everything run to its end: it must have one."""
        world = self.world
        for _ in range(50 * (len(world.everyone) + 10)):
            world.settle()
            if not world.state.live:
                break
            while world.workers:
                if world.workers[0][0] in world.killed:
                    world.die(0, Failure.KILLED)
                else:
                    world.finish(0, "", "")
            world.now += 5.0
            world.fire()
        self.no_more_is_used_than_there_is()
        self.results_are_those_of_the_code_and_the_inputs()
        assert not world.state.live, [(task.step.name, str(task.state)) for task in world.state.live]
        assert not world.state.placement.slots
        assert len(world.resolved) == len(world.everyone)


TestCrashes = Crashes.TestCase
TestCrashes.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
