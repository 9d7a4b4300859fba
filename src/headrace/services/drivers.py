"""The process that drives a run, as it reports about itself."""

from __future__ import annotations

import msgspec

from headrace.engine.counters import LoopCounters
from headrace.model.records import RunRecord, lease_name
from headrace.model.states import TaskState
from headrace.services.leases import driver_wait, is_kept
from headrace.services.run_rows import driver_of
from headrace.stores.metadata.protocol import MetadataStore


class DriverView(msgspec.Struct, frozen=True, kw_only=True):
    """Who drives a run. ``state`` is ``alive``, ``unknown`` (on another machine), ``pending`` (in a cluster, where it
    has not begun: ``waits_for`` says why, as somebody saw it at ``waits_seen``) or ``gone``; ``left`` are the seconds
    that its lease lasts; ``report`` is missing until it has made one. Of a driver that is gone: ``lost`` is the number
    of tasks that were running when it ended, ``next`` the command that goes on with the run."""

    run: str
    state: str
    owner: str
    left: float
    report: LoopCounters | None
    lost: int = 0
    next: str = ""
    waits_for: str = ""
    waits_seen: float | None = None


def driver_view(metadata: MetadataStore, run: RunRecord) -> DriverView | None:
    """The driver of ``run``; None where the run is over or never had one."""
    held = metadata.lease(lease_name(run.id))
    state = driver_of(metadata, run)
    if held is None or not state:
        return None
    report = msgspec.msgpack.decode(held.note, type=LoopCounters) if held.note and not is_kept(held) else None
    wait = driver_wait(held)
    view = DriverView(
        run=run.name,
        state=state,
        owner=held.owner,
        left=held.left,
        report=report,
        waits_for=wait.text,
        waits_seen=wait.seen or None,
    )
    if state != "gone":
        return view
    lost = sum(one.count for one in metadata.step_counts(run.id) if one.state == TaskState.RUNNING)
    return msgspec.structs.replace(view, lost=lost, next=f"headrace resume {run.name}")
