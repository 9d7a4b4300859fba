"""The process that drives a run, as it reports about itself."""

from __future__ import annotations

import msgspec

from headrace.engine.counters import LoopCounters
from headrace.model.records import RunRecord, lease_name
from headrace.services.run_rows import driver_of
from headrace.stores.metadata.protocol import MetadataStore


class DriverView(msgspec.Struct, frozen=True, kw_only=True):
    """Who drives a run. ``state`` is ``alive``, ``unknown`` (on another machine) or ``gone``; ``left`` are the seconds
    that its lease lasts; ``report`` is missing until it has made one."""

    run: str
    state: str
    owner: str
    left: float
    report: LoopCounters | None


def driver_view(metadata: MetadataStore, run: RunRecord) -> DriverView | None:
    """The driver of ``run``; None where the run is over or nobody ever drove it."""
    held = metadata.lease(lease_name(run.id))
    state = driver_of(metadata, run)
    if held is None or not state:
        return None
    report = msgspec.msgpack.decode(held.note, type=LoopCounters) if held.note else None
    return DriverView(run=run.name, state=state, owner=held.owner, left=held.left, report=report)
