"""The process that drives a run, as it reports about itself."""

from __future__ import annotations

import msgspec

from headrace.engine.counters import LoopCounters
from headrace.model.records import RunRecord, lease_name
from headrace.model.states import TaskState
from headrace.services.run_rows import driver_of
from headrace.stores.metadata.protocol import MetadataStore


class DriverView(msgspec.Struct, frozen=True, kw_only=True):
    """Who drives a run. ``state`` is ``alive``, ``unknown`` (on another machine) or ``gone``; ``left`` are the seconds
    that its lease lasts; ``report`` is missing until it has made one. Of a driver that is gone: ``lost`` is the number
    of tasks that were running when it ended, ``next`` the command that goes on with the run."""

    run: str
    state: str
    owner: str
    left: float
    report: LoopCounters | None
    lost: int = 0
    next: str = ""


def driver_view(metadata: MetadataStore, run: RunRecord) -> DriverView | None:
    """The driver of ``run``; None where the run is over or never had one."""
    held = metadata.lease(lease_name(run.id))
    state = driver_of(metadata, run)
    if held is None or not state:
        return None
    report = msgspec.msgpack.decode(held.note, type=LoopCounters) if held.note else None
    view = DriverView(run=run.name, state=state, owner=held.owner, left=held.left, report=report)
    if state != "gone":
        return view
    lost = sum(one.count for one in metadata.step_counts(run.id) if one.state == TaskState.RUNNING)
    return msgspec.structs.replace(view, lost=lost, next=f"headrace resume {run.name}")
