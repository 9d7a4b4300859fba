"""Runs as rows of a listing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from headrace._base.lazy import lazy
from headrace._base.process import owner_alive
from headrace.model.errors import UsageError
from headrace.model.params import from_text
from headrace.model.records import Lease, QueueCount, RunFlags, RunRecord, lease_name
from headrace.model.states import RunState
from headrace.services.leases import DriverWait, driver_wait, is_kept
from headrace.services.live_counts import summed
from headrace.stores.metadata.protocol import AnyOf, MetadataStore, RunFilter, Where

#: State of a run that is recorded as running although the process that drove it is gone.
CRASHED = "crashed"
#: The driver of a run that was given to a cluster, where it has not begun.
PENDING = "pending"
STATES: tuple[str, ...] = (*RunState, CRASHED)
#: Seconds for which the lease of a driver that lives may have run out, for it or its store may be held up.
_HELD_UP = 60.0


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """A run in a listing. Times are seconds since the epoch, ``duration`` seconds of its last session.

    ``state``: ``crashed`` when it is recorded as running, but its driver was killed (``resume`` goes on). ``driver`` of
    one that is over: empty; else ``alive``, ``gone`` when it crashed, ``unknown`` (on another machine), or ``pending``:
    it was given to a driver in a cluster that has not begun. ``waits_for`` says why, as whoever follows the run saw it
    at the time ``waits_seen``; both are empty where nobody has looked.
    ``params`` holds values where they are plain, else texts. ``queue`` of a live run: how many tasks are ``waiting``,
    ``ready``, ``delayed`` and ``running``, and how many there are in ``total``; empty otherwise. ``pinned``,
    ``archived`` and ``deleted`` (when it is gone for good) are what users marked it as.
    """

    name: str
    flow: str
    number: int
    state: str
    driver: str
    created: float
    started: float
    finished: float | None
    duration: float | None
    session: int
    user: str
    host: str
    params: dict[str, Any]
    metrics: dict[str, float]
    tags: dict[str, str]
    queue: dict[str, int]
    failed_task: str
    error: str
    pinned: bool = False
    archived: bool = False
    deleted: float | None = None
    waits_for: str = ""
    waits_seen: float | None = None


def rows_of(metadata: MetadataStore, runs: Sequence[RunRecord], now: float) -> list[RunRow]:
    """``runs`` as rows, in their order."""
    ids = [run.id for run in runs]
    if not ids:
        return []
    params: dict[int, dict[str, Any]] = {}
    metrics: dict[int, dict[str, float]] = {}
    tags: dict[int, dict[str, str]] = {}
    for param in metadata.params(ids):
        params.setdefault(param.run_id, {})[param.name] = from_text(param.text)
    for metric in metadata.metric_summaries(ids):
        metrics.setdefault(metric.run_id, {})[metric.name] = metric.last
    for tag in metadata.tags(ids):
        tags.setdefault(tag.run_id, {})[tag.name] = tag.value
    flags = {one.run_id: one for one in metadata.flags(ids)}
    queued: dict[int, list[QueueCount]] = {}
    for count in metadata.queue([run.id for run in runs if run.state is RunState.RUNNING]):
        queued.setdefault(count.run_id, []).append(count)
    return [
        RunRow(
            name=run.name,
            flow=run.flow,
            number=run.number,
            state=CRASHED if driver == "gone" else str(run.state),
            driver=driver,
            waits_for=wait.text,
            waits_seen=wait.seen or None,
            created=run.created,
            started=run.started,
            finished=run.finished,
            duration=None if driver == "gone" else duration_of(run, now),
            session=run.session,
            user=run.user,
            host=run.host,
            params=params.get(run.id, {}),
            metrics=metrics.get(run.id, {}),
            tags=tags.get(run.id, {}),
            queue=summed(queued.get(run.id, ())) if driver not in ("", "gone") else {},
            failed_task=run.failed_task,
            error=run.error,
            **_marks(flags.get(run.id)),
        )
        for run, driver, wait in [_with_driver(metadata, run) for run in runs]
    ]


def _marks(flags: RunFlags | None) -> dict[str, Any]:
    if flags is None:
        return {}
    return {"pinned": flags.pinned, "archived": flags.archived, "deleted": flags.deleted}


def state_of(metadata: MetadataStore, run: RunRecord) -> str:
    """The state of a run: ``crashed`` when no process drives it although it is recorded as running."""
    current, driver, _ = _with_driver(metadata, run)
    return CRASHED if driver == "gone" else str(current.state)


def _with_driver(metadata: MetadataStore, run: RunRecord) -> tuple[RunRecord, str, DriverWait]:
    """The run, ``driver_of`` it, and why that has not begun.

    The run is read again when its driver seems gone, for it may just have ended as it should.
    """
    lease = metadata.lease(lease_name(run.id)) if run.state is RunState.RUNNING else None
    driver = _driver_of(run, lease)
    if driver == "gone":
        current = metadata.run_by_id(run.id)
        if current is not None and current.state is not RunState.RUNNING:
            return current, "", DriverWait()
    return run, driver, driver_wait(lease) if lease is not None and driver == PENDING else DriverWait()


def driver_of(metadata: MetadataStore, run: RunRecord) -> str:
    """Whether the process that drives a running run lives: ``alive``, ``gone``, ``unknown`` (on another machine) or
    ``pending`` (not begun yet, in a cluster); ``""`` of a run that does not run."""
    return _driver_of(run, metadata.lease(lease_name(run.id)) if run.state is RunState.RUNNING else None)


def _driver_of(run: RunRecord, lease: Lease | None) -> str:
    if run.state is not RunState.RUNNING:
        return ""
    if lease is None:
        return "gone"
    if is_kept(lease):
        return PENDING if lease.left > 0 else "gone"
    alive = owner_alive(lease.owner)
    if alive is None:
        return "unknown" if lease.left > 0 else "gone"
    return "alive" if alive and lease.left > -_HELD_UP else "gone"


def duration_of(run: RunRecord, now: float) -> float | None:
    """Seconds the last session took, or takes so far; None when its driver died without a word."""
    if run.finished is not None:
        return max(0.0, run.finished - run.started)
    return max(0.0, now - run.started) if run.state is RunState.RUNNING else None


def as_recorded(metadata: MetadataStore, want: RunFilter, states: frozenset[str]) -> RunFilter:
    """A filter for runs that match ``want`` and are in one of ``states``; both speak of states as listings show them.

    Which runs crashed is found out now.
    """
    where = want.where
    if states != frozenset(STATES):
        where = (*where, AnyOf(tuple((("state", "=", str(state)),) for state in sorted(states))))
    return msgspec.structs.replace(want, where=_Shown(metadata, want).where(where))


class _Shown:
    """Conditions on states as they are shown, put in terms of what is recorded."""

    def __init__(self, metadata: MetadataStore, want: RunFilter) -> None:
        self._metadata = metadata
        self._want = msgspec.structs.replace(want, where=(), states=(RunState.RUNNING,), limit=None)

    @lazy
    def _crashed(self) -> list[int]:
        running = self._metadata.runs(self._want)
        return [run.id for run in running if state_of(self._metadata, run) == CRASHED]

    def where(self, where: Iterable[Where]) -> tuple[Where, ...]:
        return tuple(
            AnyOf(tuple(map(self.where, one.alternatives))) if isinstance(one, AnyOf) else self._comparison(*one)
            for one in where
        )

    def _comparison(self, subject: str, operator: str, value: float | str) -> Where:
        if subject != "state" or value not in (CRASHED, RunState.RUNNING):
            return subject, operator, value
        crashed: list[tuple[Where, ...]] = [(("id", "=", number),) for number in self._crashed]
        others: tuple[Where, ...] = tuple(("id", "!=", number) for number in self._crashed)
        if value == CRASHED:
            return AnyOf(tuple(crashed) if operator == "=" else (others,))
        recorded = (subject, operator, value)
        return AnyOf(((recorded, *others),) if operator == "=" else ((recorded,), *crashed))


def parse_states(names: Iterable[str]) -> frozenset[str]:
    """States by name, several in a text with commas between them; all states when there are no names.

    Raises:
        UsageError: there is no such state.
    """
    found = frozenset(name.strip().lower() for one in names for name in one.split(",") if name.strip())
    unknown = found - frozenset(STATES)
    if unknown:
        raise UsageError(f"{min(unknown)!r} is not a state of a run; the states are {', '.join(STATES)}")
    return found or frozenset(STATES)
