"""How far a run is: tasks by step and state, those that wait and run included, and where attempts run now."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headrace.engine.counters import LoopCounters
from headrace.model.records import AttemptRecord, QueueCount, RunRecord, TaskId, lease_name
from headrace.model.states import AttemptState, RunState, TaskState
from headrace.services.leases import is_kept
from headrace.services.names import task_name
from headrace.stores.metadata.protocol import MetadataStore, StepCount

#: What a task is shown as that ran when its driver was killed.
LOST = str(AttemptState.LOST)
_ENDED = (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED)
#: Running attempts that are listed of one run.
_LISTED = 1_000


class StepTotals(msgspec.Struct, frozen=True):
    """Tasks of a step by state, and how many there are in all; ``stale`` ones are counted by state alone."""

    counts: dict[str, int]
    total: int


class RunningView(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that runs now: on which ``place`` and ``host``, in which process, since when."""

    task: str
    attempt: int
    place: str
    host: str
    pid: int
    started: float
    duration: float


def totals_of(
    metadata: MetadataStore, run: RunRecord, *, gone: bool, recorded_counts: list[StepCount] | None = None
) -> dict[str, StepTotals]:
    """Totals by step, in the order in which steps began; ``gone``: the driver of ``run`` was killed.

    ``recorded_counts``: what ``step_counts`` says, where the caller has it: in a very large run it takes its time.

    Tasks that wait, and those that have run for less than a moment, are known of a live run alone.
    """
    recorded: dict[str, dict[str, int]] = {}
    for one in metadata.step_counts(run.id) if recorded_counts is None else recorded_counts:
        if one.step:
            recorded.setdefault(one.step, {})[one.state] = one.count
    queued = {one.step: one for one in metadata.queue([run.id])} if run.state is RunState.RUNNING else {}
    for step in queued:
        recorded.setdefault(step, {})
    found = {}
    for step, counts in recorded.items():
        queue = queued.get(step)
        if gone:
            found[step] = _of_crashed(counts, queue)
        elif queue is not None:
            found[step] = _of_live(metadata, run, counts, queue)
        else:
            found[step] = StepTotals(counts, _but_stale(counts))
    return found


def waits_of(metadata: MetadataStore, run: RunRecord) -> dict[str, str]:
    """By step, what attempts of a live run wait for that have no worker yet: a node for their pod, a quota, an image.

    The driver says so about once in a second.
    """
    held = metadata.lease(lease_name(run.id)) if run.state is RunState.RUNNING else None
    if held is None or not held.note or is_kept(held):
        return {}
    return msgspec.msgpack.decode(held.note, type=LoopCounters).waits_for


def _but_stale(counts: dict[str, int]) -> int:
    return sum(counts.values()) - counts.get(TaskState.STALE, 0)


def _of_crashed(counts: dict[str, int], queue: QueueCount | None) -> StepTotals:
    shown = {state: count for state, count in counts.items() if state != TaskState.RUNNING}
    if counts.get(TaskState.RUNNING):
        shown[LOST] = counts[TaskState.RUNNING]
    total = _but_stale(shown)
    if queue is not None and queue.total > total:
        shown[TaskState.WAITING] = shown.get(TaskState.WAITING, 0) + queue.total - total
        total = queue.total
    return StepTotals(_plain(shown), total)


def _of_live(metadata: MetadataStore, run: RunRecord, counts: dict[str, int], queue: QueueCount) -> StepTotals:
    """Ends come from rows of tasks, which are of now; the rest from the queue count, which may be a second old."""
    ended = {str(state): counts[state] for state in _ENDED if counts.get(state)}
    if run.session > 1:  # a task that failed in an earlier session may wait or run now
        for state in (TaskState.FAILED, TaskState.CANCELLED):
            if ended.get(state):
                tasks = metadata.tasks(run.id, queue.step, states=(state,))
                ended[state] = sum(task.session == run.session for task in tasks)
    open_ = {"running": queue.running, "ready": queue.ready, "waiting": queue.waiting, "delayed": queue.delayed}
    over = sum(ended.values()) + sum(open_.values()) - queue.total
    for name, count in open_.items():  # what ended since the count was made
        open_[name] -= (fewer := max(0, min(over, count)))
        over -= fewer
    shown: dict[str, int] = {**ended, **open_}
    if counts.get(TaskState.STALE):
        shown[TaskState.STALE] = counts[TaskState.STALE]
    return StepTotals(_plain(shown), max(queue.total, sum(ended.values())))


def _plain(counts: dict[str, int]) -> dict[str, int]:
    return {str(state): count for state, count in counts.items() if count}


def summed(queued: Iterable[QueueCount]) -> dict[str, int]:
    """Queue counts of one run, over all its steps; nothing if there are none."""
    fields = ("waiting", "ready", "delayed", "running", "total")
    rows = list(queued)
    return {name: sum(getattr(row, name) for row in rows) for name in fields} if rows else {}


def running_attempts(metadata: MetadataStore, run: RunRecord, now: float) -> list[RunningView]:
    """The attempts of a live run that run now, longest first; of very many the first ones by step."""
    found: list[AttemptRecord] = []
    for step in dict.fromkeys(one.step for one in metadata.queue([run.id])):
        for task in metadata.tasks(run.id, step, states=(TaskState.RUNNING,), limit=_LISTED - len(found) or 1):
            attempts = metadata.attempts(run.id, task.id)
            found += [one for one in attempts if one.state is AttemptState.RUNNING]
    return [
        RunningView(
            task=task_name(run, TaskId(one.step, one.number)),
            attempt=one.attempt,
            place=one.place,
            host=one.host,
            pid=one.pid,
            started=one.started,
            duration=max(0.0, now - one.started),
        )
        for one in sorted(found[:_LISTED], key=lambda one: one.started)
    ]
