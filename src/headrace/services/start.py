"""Open a session of a new or an earlier run: take the lease, load the records of earlier sessions, start the engine."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from headrace._base.logs import Log
from headrace._base.process import host_name, process_owner
from headrace.engine.loop import Loop
from headrace.engine.state import EngineState, Recorded, RunOptions, Unfinished
from headrace.model.errors import HeadraceError, NotFoundError, UsageError
from headrace.model.messages import Output
from headrace.model.records import (
    LEASE_SECONDS,
    AttemptRecord,
    CodeRecord,
    Lease,
    LogChunk,
    RunRecord,
    TaskId,
    TaskRecord,
)
from headrace.model.states import AttemptState, RunState, TaskState
from headrace.runtime import randomness
from headrace.services import provenance
from headrace.services.code.package import CodeOfRun
from headrace.services.leases import take_lease
from headrace.services.notices import print_notice
from headrace.services.places import Places
from headrace.services.retrying_store import driver_store, waiting
from headrace.services.session import NewSession, Resume, Session, recorded_details
from headrace.services.store_wait import StoreWait
from headrace.services.stores import Stores
from headrace.stores.metadata.protocol import DropQueue, MetadataStore, NewRun, RunChange

if TYPE_CHECKING:
    from headrace.engine.ports import Executor
    from headrace.services.gitdiff import GitDiff

_log = Log("runs")
_Part = TypeVar("_Part", bound="_Closes | None")


def open_session(
    stores: Stores, places: Places, new: NewSession, seed: Resume | None = None, executor: Executor | None = None
) -> Session:
    """Create a run and open a session of it. It reuses what the run in ``seed`` finished, as a resume would.

    A store that is away is waited for as long as ``new.store_wait`` says. ``executor``, where the caller has one, is
    what ``start_workers`` gave; it is closed if no session comes of it.

    Raises:
        NotFoundError: ``seed`` wants a step to run again of which its run has no task.
        StoreAwayError: a store did not answer in time.
        HandedOver: the run is to be driven in its default place.
    """
    if places.hands_over:
        if seed is not None:
            raise UsageError("a run that takes over what another finished has its driver here: add --driver here")
        from headrace.services.handing_over import hand_over

        hand_over(stores, places, new)
    executor = executor or start_workers(places)  # a place that cannot be had leaves no run behind
    with contextlib.ExitStack() as undo:
        undo.enter_context(closed_on_error(executor))
        code = CodeOfRun(new.entry, new.code, new.files)
        diff = undo.enter_context(closed_on_error(_begun_diff(new, code)))
        patient = waiting(stores, StoreWait(new.store_wait))
        new, recorded = _known_before(patient, new, seed)
        kept = code.store(patient.artifacts)  # code that cannot be stored leaves no run behind either
        run, lease = patient.metadata.open_run(
            NewRun(
                project=stores.project,
                flow=new.flow,
                dialect=new.dialect,
                entry=new.entry if new.reproduces is None else new.reproduces.run.entry,
                created=time.time(),
                inputs=msgspec.msgpack.encode(new.inputs),
                user=stores.actor.user,
                host=host_name(),
                pid=os.getpid(),
            ),
            process_owner(),
            LEASE_SECONDS,
        )
    reuse_changed = new.reproduces is not None or (seed is not None and seed.reuse_changed)
    return _begin(stores, places, new, _Opened(run, lease, recorded, reuse_changed, code, kept, executor, diff))


def start_workers(places: Places) -> Executor:
    """The executor of the default place, started: from here on its workers get ready.

    Raises:
        UsageError: there is no such place, or its settings are wrong.
    """
    randomness.capture()  # before workers are made: they have the generators of this process
    executor = places.open(places.default)
    executor.start()
    return executor


class _Closes(Protocol):
    def close(self) -> None: ...


@contextlib.contextmanager
def closed_on_error(part: _Part) -> Iterator[_Part]:
    """A block at whose end a session owns ``part``, or there is none and it is closed."""
    try:
        yield part
    except BaseException:
        if part is not None:
            part.close()
        raise


def _begun_diff(new: NewSession, code: CodeOfRun) -> GitDiff | None:
    return None if code.installed else provenance.begun_diff(new.file)


def _known_before(stores: Stores, new: NewSession, seed: Resume | None) -> tuple[NewSession, dict[bytes, Recorded]]:
    """What a new run takes over of the run that it runs again, or of the one in ``seed``, and its session with that."""
    origin = new.reproduces
    if origin is not None and origin.part:
        return new, _taken_over(stores, Resume(run=origin.run, reuse_changed=True), origin.tasks)
    if seed is None:
        return new, {}
    recorded = _taken_over(stores, seed)
    if new.seed is None:
        known = stores.metadata.run_by_id(seed.run.id) or seed.run
        new = msgspec.structs.replace(new, seed=recorded_details(known).seed)
    return new, recorded


def _taken_over(stores: Stores, seed: Resume, without: frozenset[TaskId] = frozenset()) -> dict[bytes, Recorded]:
    """What the run in ``seed`` finished, but for the tasks in ``without``: these are known, and run again."""
    name = seed.run.name
    recorded = load_recorded(stores, seed.run.id, seed.again, renew=True)
    cached = {TaskId(entry.step, entry.number): entry for entry in stores.metadata.cached_of_run(seed.run.id)}
    return {
        key: Recorded(
            one.record,
            None if one.record.id in without else one.outputs,
            f"{name}/{one.record.id}",
            cached.get(one.record.id),
        )
        for key, one in recorded.items()
    }


def reopen_session(
    stores: Stores, places: Places, new: NewSession, resume: Resume, executor: Executor | None = None
) -> Session:
    """Open another session of an earlier run. ``executor``: as ``open_session`` has it.

    Raises:
        RunBusyError: another process drives it.
        NotFoundError: a step to run again has no task in it.
        StoreAwayError: a store did not answer in time.
        UsageError: the run reproduces another one, as far as it went, or was deleted.
        HandedOver: the run is to be driven in its default place.
    """
    if places.hands_over:
        from headrace.services.handing_over import hand_over

        hand_over(stores, places, new, resume)
    from headrace.services.resumable import check_kept

    with contextlib.ExitStack() as undo:
        undo.enter_context(closed_on_error(executor))
        _check_resumable(resume.run)
        code = CodeOfRun(new.entry, new.code, new.files)
        diff = undo.enter_context(closed_on_error(_begun_diff(new, code)))
        patient = waiting(stores, StoreWait(new.store_wait))
        check_kept(patient.metadata, resume.run)
        lease = take_lease(patient.metadata, resume.run)
        try:
            if executor is None:  # while the run is as it was
                executor = undo.enter_context(closed_on_error(start_workers(places)))
            kept = code.store(patient.artifacts)
            opened = _Opened(resume.run, lease, {}, resume.reuse_changed, code, kept, executor, diff)
            return _begin(stores, places, new, _reopen(patient, places, new, resume, opened))
        except BaseException:
            stores.metadata.release(lease)
            raise


def _check_resumable(run: RunRecord) -> None:
    if origin := recorded_details(run).reproduces:
        raise UsageError(
            f"{run.name} runs {origin} again, with the code that was recorded of it, and cannot be resumed; "
            f"begin anew: headrace reproduce {origin}"
        )


class _Opened(msgspec.Struct, frozen=True):
    """A run that this process owns, and what is known of it before it begins."""

    run: RunRecord
    lease: Lease
    recorded: dict[bytes, Recorded]
    reuse_changed: bool
    code: CodeOfRun
    kept: CodeRecord  # the code as it was stored
    executor: Executor  # of the default place
    diff: GitDiff | None  # of the project, begun


def _reopen(stores: Stores, places: Places, new: NewSession, resume: Resume, opened: _Opened) -> _Opened:
    """Record that another session of the run begins."""
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
        entry=run.entry if opened.code.installed else new.entry,  # which is where the user's file is
        error="",
        traceback="",
        failed_task="",
        user=stores.actor.user,
        host=host_name(),
        pid=os.getpid(),
    )
    cut_off = [one.record for one in recorded.values() if one.record.state is TaskState.RUNNING]
    lost = list(_lost_attempts(stores.metadata, cut_off, now))
    for key, unfinished in _unfinished(stores.metadata, places, recorded, resume.again):
        recorded[key].unfinished = unfinished
        lost = [one for one in lost if (one.step, one.number) != recorded[key].record.id]
    stores.metadata.commit([change, DropQueue(run.id), *lost], opened.lease, LEASE_SECONDS)
    run = msgspec.structs.replace(run, session=session, state=RunState.RUNNING)
    return msgspec.structs.replace(opened, run=run, recorded=recorded)


def _unfinished(
    metadata: MetadataStore, places: Places, recorded: dict[bytes, Recorded], again: tuple[str, ...]
) -> Iterator[tuple[bytes, Unfinished]]:
    """Attempts that ran when the driver died, in places whose workers go on without one."""
    for key, one in recorded.items():
        task = one.record
        if task.state is not TaskState.RUNNING or task.step in again:
            continue
        attempts = [found for found in metadata.attempts(task.run_id, task.id) if found.state is AttemptState.RUNNING]
        if len(attempts) == 1 and attempts[0].token and (wait := places.patience(attempts[0].place)):
            logged, seq = {"out": 0, "err": 0}, 0
            for part in metadata.logs(task.run_id, task.id, attempts[0].attempt):
                size = len(part.data) if isinstance(part, LogChunk) else sum(piece.size for piece in part.pieces)
                logged[part.stream] += size
                seq = max(seq, part.last_seq + 1)
            yield key, Unfinished(attempts[0], wait, (logged["out"], logged["err"]), seq)


def _lost_attempts(metadata: MetadataStore, tasks: Iterable[TaskRecord], now: float) -> Iterator[AttemptRecord]:
    """The ends of attempts that ran when the process that drove the run died."""
    error = "the process that drove the run was gone before it ended"
    for task in tasks:
        attempts = metadata.attempts(task.run_id, task.id)
        for one in attempts:
            if one.state is AttemptState.RUNNING:
                yield msgspec.structs.replace(one, state=AttemptState.LOST, finished=now, error=error)
        if all(one.attempt < task.attempts for one in attempts):  # of a driver that did not record starts
            yield AttemptRecord(
                run_id=task.run_id,
                step=task.step,
                number=task.number,
                attempt=task.attempts,
                state=AttemptState.LOST,
                started=task.started or task.created,
                finished=now,
                error=error,
            )


def _begin(stores: Stores, places: Places, new: NewSession, opened: _Opened) -> Session:
    run = opened.run
    known = recorded_details(run).seed
    options = RunOptions(
        run_id=run.id,
        project=run.project,
        session=run.session,
        place=places.default,
        max_parallel=new.max_parallel,
        use_cache=new.use_cache,
        reuse_changed=opened.reuse_changed,
        seed=new.seed if known is None else known,
        stops_at_failure=new.stops_at_failure,
        known_only=new.reproduces is not None and bool(new.reproduces.part),
    )
    state = EngineState(options, opened.recorded)
    loop = Loop(state, stores.metadata.hasty(), stores.artifacts, opened.lease, run.name)
    loop.open_place(opened.executor)
    loop.on_notice = print_notice
    loop.stopping.grace = new.cleanup
    loop.start()
    stores = msgspec.structs.replace(stores, metadata=driver_store(stores.metadata, loop))
    _log.info("run.started", new.flow, run=run.name, session=run.session, store=stores.metadata.url)
    session = Session(stores, places, run, opened.lease, loop, new)
    try:
        session.record_start(new, opened.code, opened.kept, opened.diff)
    except HeadraceError as error:
        with contextlib.suppress(HeadraceError):
            session.finish(RunState.FAILED, error=str(error))
        raise
    _tell_left_out(opened.code.left_out)
    return session


#: Files of which this process has said that they are left out of code packages.
_told_left_out: set[tuple[str, str]] = set()


def _tell_left_out(left_out: dict[str, str]) -> None:
    new = [pair for pair in left_out.items() if pair not in _told_left_out]
    _told_left_out.update(new)
    if new:
        listed = ", ".join(f"{place} {reason}" for place, reason in new[:5])
        more = f", and {len(new) - 5} more" if len(new) > 5 else ""
        print_notice(
            f"left out of the code kept with the run: {listed}{more}; say so with `exclude` in [tool.headrace]"
        )


def load_recorded(
    stores: Stores, run_id: int, again: tuple[str, ...] = (), *, renew: bool = False
) -> dict[bytes, Recorded]:
    """The tasks of earlier sessions by key, with outputs where these may be reused.

    With ``renew`` the outputs are kept for another run, although this one may be deleted before the other names them.

    Raises:
        NotFoundError: ``again`` names a step of which the run has no task.
    """
    from headrace.services.paging import each_artifact

    metadata = stores.metadata
    tasks = metadata.tasks(run_id)
    outputs: dict[TaskId, list[Output]] = {}
    for record in each_artifact(metadata, run_id):
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
    from headrace.services.paging import each_edge

    for edge in each_edge(metadata, run_id):
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
