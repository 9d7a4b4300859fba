"""One process driving one run, from lease to last word. Frontends open a session; the engine does the rest."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from headrace._base.process import host_name, owner_alive, process_owner
from headrace._base.texts import ERROR_LINE, shorten
from headrace.engine.journal import LEASE_SECONDS
from headrace.engine.loop import Loop
from headrace.engine.ports import Executor
from headrace.engine.state import EngineState, Recorded, RunOptions
from headrace.engine.tasks import StepInfo, Task
from headrace.model.errors import NotFoundError, ResourceError, RunBusyError
from headrace.model.messages import Define, Output
from headrace.model.policy import Resources, StepPolicy
from headrace.model.records import (
    FLOW_TASK,
    ArtifactRecord,
    AttemptRecord,
    Input,
    Lease,
    Param,
    RunDetails,
    RunRecord,
    Tag,
    TaskId,
    TaskRecord,
)
from headrace.model.states import AttemptState, RunState, TaskState
from headrace.runtime import randomness
from headrace.services import provenance
from headrace.services.codeparts import CodeBook
from headrace.services.driverstore import driver_store
from headrace.services.stores import Stores
from headrace.services.surroundings import Surroundings
from headrace.stores import codecs
from headrace.stores.metadata.protocol import MetadataStore, NewRun, RunChange, Write

#: Definitions of steps that are kept to make lost outputs again.
_VERSIONS = 1_000


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    """What a frontend knows when it opens a run."""

    flow: str
    entry: str
    dialect: str = "native"
    inputs: tuple[Input, ...] = ()
    params: tuple[tuple[str, str], ...] = ()  # name and text, for showing
    tags: tuple[tuple[str, str], ...] = ()
    max_parallel: int = 0
    cleanup: float = 0.0  # seconds that a run which is stopped has for steps that clean up
    use_cache: bool = True
    keep_going: bool = False
    seed: int | None = None  # of random numbers; a run that is resumed keeps its own
    files: tuple[tuple[str, str], ...] = ()  # kept with the sources: a path from the entry's folder, the file's own


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """How an earlier run is to go on. ``again``: steps whose tasks, and all that depend on them, run again."""

    run: RunRecord
    again: tuple[str, ...] = ()
    reuse_changed: bool = False


class Session:
    """A run being driven. ``submit`` and ``wait`` are ``loop``'s; ``finish`` ends it."""

    def __init__(self, stores: Stores, run: RunRecord, lease: Lease, loop: Loop, new: NewSession) -> None:
        self.stores = stores
        self.run = run
        self.loop = loop
        self.keep_going = new.keep_going
        self.seed = loop.state.options.seed
        self.environment = provenance.environment_digest()
        self.codes = CodeBook(run.id, stores.artifacts)
        loop.state.code_with = self.codes.code_with
        loop.sources.append(self.codes.take_writes)
        self.finished = False
        self._lease = lease
        self._step_ids = 0
        self._surroundings: Surroundings | None = None
        self._began = time.time()

    def step(
        self,
        name: str,
        policy: StepPolicy,
        code: bytes,
        define: Callable[[int], Define],
        defaults: dict[str, bytes] | None = None,
    ) -> StepInfo:
        """Make a step known to the run; ``defaults`` are the digests of its arguments' defaults.

        Raises:
            ResourceError: it asks for more than the machine has.
        """
        _check_fits(name, policy.resources, self.loop.state.options.capacity)
        self._step_ids += 1
        made = define(self._step_ids)
        info = StepInfo(self._step_ids, name, policy, made, code, self.environment, defaults=defaults or {})
        known = self.loop.steps.get(name)
        if known is not None:  # the same function under two objects: its limits hold for both together
            info.load = known.load
        self.loop.steps[name] = info
        versions = self.loop.versions
        versions[(name, code)] = info
        if len(versions) > _VERSIONS:
            del versions[next(iter(versions))]
        return info

    def variant(self, step: StepInfo, policy: StepPolicy, code: bytes) -> StepInfo:
        """``step`` for calls with another policy: limits and measured times are shared.

        Workers are told of it again only where ``policy`` changes what they do.

        Raises:
            ResourceError: it asks for more than the machine has.
        """
        _check_fits(step.name, policy.resources, self.loop.state.options.capacity)
        define, threads = step.define, max(1, int(policy.resources.cpu))
        if (define.env, define.threads) != (policy.env, threads):
            self._step_ids += 1
            define = msgspec.structs.replace(define, step=self._step_ids, env=policy.env, threads=threads)
        return msgspec.structs.replace(step, id=define.step, policy=policy, define=define, code=code)

    def record_start(self, new: NewSession) -> None:
        """Write down parameters and surroundings; what takes long is done beside the run."""
        run_id = self.run.id
        writes: list[Write] = []
        known = _details(self.run)
        if known.seed != self.seed:  # before the first task draws anything
            writes.append(RunChange(run_id=run_id, details=_encode(msgspec.structs.replace(known, seed=self.seed))))
        writes += [Param(run_id, name, text) for name, text in new.params]
        writes += [Tag(run_id, name, value) for name, value in new.tags]
        if writes:
            self.loop.write(*writes)
        self._surroundings = Surroundings(
            run_id,
            self.stores.artifacts,
            lambda: provenance.snapshot(new.entry.rpartition(":")[0], self.stores.artifacts, new.files),
            self.loop.write_soon,
            lambda details: msgspec.structs.replace(details, seed=self.seed),
        )
        self._surroundings.start()

    def finish(
        self,
        state: RunState,
        *,
        result: tuple[Any, ...] = (),
        error: str = "",
        traceback: str = "",
        failed_task: str = "",
    ) -> RunRecord:
        """Write the last word and let go of everything. ``result`` holds the flow's return value, or nothing.

        Raises:
            NotStorableError: the result cannot be stored; the run is then recorded as failed.
        """
        self.loop.ending()
        problem: Exception | None = None
        writes: list[Write] = []
        if result:
            try:
                writes.append(self._result(result[0]))
            except Exception as failure:
                problem = failure
                state, error = RunState.FAILED, f"the flow's result: {failure}"
        if self._surroundings is not None:
            self._surroundings.finish(time.time() - self._began)
        if state is RunState.SUCCEEDED:
            writes += self._stale()
        writes.append(
            RunChange(
                run_id=self.run.id,
                state=state,
                finished=time.time(),
                error=shorten(error, ERROR_LINE),
                traceback=traceback,
                failed_task=failed_task,
            )
        )
        try:
            if self.loop.failure is None:
                self.loop.write(*writes)
        finally:
            self.close()
        if problem is not None:
            raise problem
        return self.stores.metadata.run_by_id(self.run.id) or self.run

    def _result(self, value: Any) -> ArtifactRecord:
        packed = codecs.pack(value, self.stores.artifacts)
        made = Output("result", packed, codecs.preview(value, packed))
        return made.recorded(self.run.id, FLOW_TASK, time.time())

    def _stale(self) -> list[Write]:
        """Tasks of earlier sessions that this one did not come across: they are no part of the result."""
        return [
            msgspec.structs.replace(left.record, state=TaskState.STALE)
            for left in self.loop.state.recorded.values()
            if left.record.state is not TaskState.STALE and not left.origin
        ]

    def close(self) -> None:
        """End the workers and give the lease up."""
        if self.finished:
            return
        self.finished = True
        try:
            self.loop.close()
        finally:
            self.stores.metadata.release(self._lease)


def open_session(stores: Stores, executor: Executor, new: NewSession, seed: Resume | None = None) -> Session:
    """Create a run and begin to drive it; what the run of ``seed`` finished is taken over, as a resume would.

    Raises:
        NotFoundError: ``seed`` wants a step to run again of which its run has no task.
    """
    recorded: dict[bytes, Recorded] = {}
    if seed is not None:
        recorded = _taken_over(stores, seed)
        if new.seed is None:
            known = stores.metadata.run_by_id(seed.run.id) or seed.run
            new = msgspec.structs.replace(new, seed=_details(known).seed)
    now = time.time()
    run = stores.metadata.create_run(
        NewRun(
            project=stores.project,
            flow=new.flow,
            dialect=new.dialect,
            entry=new.entry,
            created=now,
            inputs=msgspec.msgpack.encode(new.inputs),
            user=stores.actor.user,
            host=host_name(),
            pid=os.getpid(),
        )
    )
    lease = stores.metadata.acquire(lease_name(run), process_owner(), LEASE_SECONDS, now)
    if lease is None:
        raise RunBusyError(f"run {run.name} was taken by another process as it was created; start another run")
    reuse_changed = seed is not None and seed.reuse_changed
    return _begin(stores, executor, new, run, lease, recorded, reuse_changed=reuse_changed)


def _taken_over(stores: Stores, seed: Resume) -> dict[bytes, Recorded]:
    name = seed.run.name
    recorded = load_recorded(stores, seed.run.id, seed.again, renew=True)
    cached = {TaskId(entry.step, entry.number): entry for entry in stores.metadata.cached_of_run(seed.run.id)}
    return {
        key: Recorded(one.record, one.outputs, f"{name}/{one.record.id}", cached.get(one.record.id))
        for key, one in recorded.items()
    }


def reopen_session(stores: Stores, executor: Executor, new: NewSession, resume: Resume) -> Session:
    """Go on with an earlier run.

    Raises:
        RunBusyError: somebody else is driving it.
        NotFoundError: a step to run again has no task in it.
    """
    lease = take_lease(stores.metadata, resume.run)
    try:
        return _reopen(stores, executor, new, resume, lease)
    except BaseException:
        stores.metadata.release(lease)
        raise


def _reopen(stores: Stores, executor: Executor, new: NewSession, resume: Resume, lease: Lease) -> Session:
    run = stores.metadata.run_by_id(resume.run.id) or resume.run
    recorded = load_recorded(stores, run.id, resume.again)
    session = run.session + 1
    now = time.time()
    change = RunChange(
        run_id=run.id,
        state=RunState.RUNNING,
        started=now,
        finished=None,
        session=session,
        inputs=new.inputs,
        entry=new.entry,
        error="",
        traceback="",
        failed_task="",
        user=stores.actor.user,
        host=host_name(),
        pid=os.getpid(),
    )
    lost = [_lost_attempt(one.record, now) for one in recorded.values() if one.record.state is TaskState.RUNNING]
    stores.metadata.commit([change, *lost], msgspec.structs.replace(lease, expires=now + LEASE_SECONDS))
    run = msgspec.structs.replace(run, session=session, state=RunState.RUNNING)
    return _begin(stores, executor, new, run, lease, recorded, reuse_changed=resume.reuse_changed)


def _lost_attempt(task: TaskRecord, now: float) -> AttemptRecord:
    """What is left of an attempt whose driver vanished before it ended."""
    return AttemptRecord(
        run_id=task.run_id,
        step=task.step,
        number=task.number,
        attempt=task.attempts,
        state=AttemptState.LOST,
        started=task.started or task.created,
        finished=now,
        error="the process that drove the run was gone before it ended",
    )


def _begin(
    stores: Stores,
    executor: Executor,
    new: NewSession,
    run: RunRecord,
    lease: Lease,
    recorded: dict[bytes, Recorded],
    *,
    reuse_changed: bool,
) -> Session:
    known = _details(run).seed
    options = RunOptions(
        run_id=run.id,
        project=run.project,
        session=run.session,
        capacity=executor.capacity,
        max_parallel=new.max_parallel,
        use_cache=new.use_cache,
        reuse_changed=reuse_changed,
        seed=new.seed if known is None else known,
    )
    randomness.capture()  # before workers are made: they have the generators of this process
    executor.start()
    loop = Loop(EngineState(options, recorded), stores.metadata.hasty(), stores.artifacts, executor, lease, run.name)
    loop.on_notice = _tell
    loop.stopping.grace = new.cleanup
    loop.start()
    stores = msgspec.structs.replace(stores, metadata=driver_store(stores.metadata, loop))
    session = Session(stores, run, lease, loop, new)
    session.record_start(new)
    return session


def _tell(text: str) -> None:
    """Say something about the run where its user looks, which is not what the flow prints to standard output."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or never there
        print(f"headrace: {text}", file=sys.stderr, flush=True)


def _details(run: RunRecord) -> RunDetails:
    if not run.details:  # it has just begun
        return RunDetails()
    from headrace.services.describe import details_of

    return details_of(run)


def _encode(details: RunDetails) -> bytes:
    return msgspec.msgpack.encode(details)


def lease_name(run: RunRecord) -> str:
    """The name of a run's lease."""
    return f"run:{run.id}"


def take_lease(metadata: MetadataStore, run: RunRecord) -> Lease:
    """Become the owner of a run whose driver is gone.

    Raises:
        RunBusyError: its driver is alive, or may be.
    """
    now = time.time()
    name, owner = lease_name(run), process_owner()
    held = metadata.lease(name)
    dead = ""
    if held is not None and held.expires > now:
        if owner_alive(held.owner) is not False:
            raise RunBusyError(
                f"run {run.name} is being driven by process {held.owner.split(':')[1]} on {held.owner.split(':')[0]}; "
                f"wait for it, or stop it with `headrace cancel {run.name}`"
            )
        dead = held.owner
    lease = metadata.acquire(name, owner, LEASE_SECONDS, now, dead=dead)
    if lease is None:
        raise RunBusyError(f"run {run.name} was just taken by another process; wait for it")
    return lease


def load_recorded(
    stores: Stores, run_id: int, again: tuple[str, ...] = (), *, renew: bool = False
) -> dict[bytes, Recorded]:
    """What earlier sessions left, by key: outputs only where they may be used again.

    With ``renew`` the outputs are kept for another run, although this one may be deleted before the other names them.

    Raises:
        NotFoundError: ``again`` names a step of which the run has no task.
    """
    metadata = stores.metadata
    tasks = metadata.tasks(run_id)
    outputs: dict[TaskId, list[Output]] = {}
    for record in metadata.artifacts(run_id):
        if record.kind == "output":
            outputs.setdefault(TaskId(record.step, record.number), []).append(
                Output(record.name, record.value, record.preview)
            )
    check = stores.artifacts.renew if renew else stores.artifacts.missing
    gone = {blob.digest for blob in check({b for group in outputs.values() for one in group for b in one.value.blobs})}
    rerun = _with_descendants(tasks, metadata, run_id, again) if again else set()
    recorded = {}
    for task in tasks:
        found = outputs.get(task.id)
        usable = (
            task.state in (TaskState.SUCCEEDED, TaskState.STALE)
            and found is not None
            and task.id not in rerun
            and not any(blob.digest in gone for one in found for blob in one.value.blobs)
        )
        recorded[task.key] = Recorded(task, tuple(found) if usable and found else None)
    return recorded


def _with_descendants(
    tasks: Iterable[TaskRecord], metadata: MetadataStore, run_id: int, steps: tuple[str, ...]
) -> set[TaskId]:
    tasks = list(tasks)
    names = {task.step for task in tasks}
    for step in steps:
        if step not in names:
            raise NotFoundError(f"the run has no task of step {step!r}; it has {', '.join(sorted(names)) or 'none'}")
    children: dict[TaskId, list[TaskId]] = {}
    for edge in metadata.edges(run_id):
        children.setdefault(TaskId(edge.parent_step, edge.parent_number), []).append(
            TaskId(edge.child_step, edge.child_number)
        )
    found: set[TaskId] = set()
    stack = [task.id for task in tasks if task.step in steps]
    while stack:
        task = stack.pop()
        if task not in found:
            found.add(task)
            stack.extend(children.get(task, ()))
    return found


def _check_fits(name: str, need: Resources, have: Resources) -> None:
    for what, asked, there in (
        ("cpu", need.cpu, have.cpu),
        ("memory", need.memory, have.memory),
        ("gpu", need.gpu, have.gpu),
    ):
        if asked > there:
            unit = "GiB of memory" if what == "memory" else f"{what}s"
            scale = 2**30 if what == "memory" else 1
            raise ResourceError(
                f"step {name!r} asks for {asked / scale:g} {unit}, but this machine has {there / scale:g}; "
                f"lower it with {name}.options({what}=...)"
            )


__all__ = ["NewSession", "Resume", "Session", "Task", "load_recorded", "open_session", "reopen_session"]
