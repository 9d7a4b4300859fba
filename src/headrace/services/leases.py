"""Who drives a run: taking its lease, and keeping it for a driver that is on its way."""

from __future__ import annotations

import msgspec

from headrace._base.logs import Log
from headrace._base.process import owner_alive, process_owner
from headrace.model.errors import LeaseLostError, RunBusyError
from headrace.model.records import LEASE_SECONDS, Lease, RunRecord, lease_name
from headrace.stores.metadata.protocol import MetadataStore

_log = Log("runs")

#: How the owner of a lease begins that is kept for a driver in a place.
_HEIR = "kubernetes:"
#: Seconds for which it is kept: its pod may wait for room.
_KEPT = 3_600.0


class DriverWait(msgspec.Struct, frozen=True):
    """Why a driver in a place has not begun (``text``; empty: not known), as somebody saw it at the time ``seen``."""

    text: str = ""
    seen: float = 0.0


def take_lease(metadata: MetadataStore, run: RunRecord) -> Lease:
    """Take the lease of a run whose driver is gone.

    Raises:
        RunBusyError: its driver is alive, or may be.
    """
    name, owner = lease_name(run.id), process_owner()
    held = metadata.lease(name)
    dead = ""
    if held is not None and held.left > 0:
        if owner_alive(held.owner) is not False:
            raise RunBusyError(
                f"run {run.name} is being driven by process {held.owner.split(':')[1]} on {held.owner.split(':')[0]}; "
                f"wait for it, or stop it with `headrace cancel {run.name}`"
            )
        dead = held.owner
    lease = metadata.acquire(name, owner, LEASE_SECONDS, dead=dead)
    if lease is None:
        raise RunBusyError(f"run {run.name} was just taken by another process; wait for it")
    before = "" if held is None else held.owner
    _log.info("lease.taken", "the run has a driver again", run=run.name, owner=owner, before=before, token=lease.token)
    return lease


def awaits_driver(metadata: MetadataStore, run: RunRecord) -> bool:
    """Whether a run that was handed over has no driver yet."""
    held = metadata.lease(lease_name(run.id))
    return held is not None and is_kept(held)


def is_kept(lease: Lease) -> bool:
    """Whether a lease is kept for a driver in a place that has not begun."""
    return lease.owner.startswith(_HEIR)


def driver_wait(lease: Lease) -> DriverWait:
    """What is known of a driver for which a lease is kept."""
    return msgspec.msgpack.decode(lease.note, type=DriverWait) if lease.note and is_kept(lease) else DriverWait()


def note_driver_wait(metadata: MetadataStore, run: RunRecord, wait: DriverWait) -> bool:
    """Record what its driver waits for with a run that has none yet; whether it still has none.

    The lease is kept for an hour from now: somebody knows that the driver is on its way.
    """
    held = metadata.lease(lease_name(run.id))
    if held is None or not is_kept(held):
        return False
    try:
        metadata.commit([], msgspec.structs.replace(held, note=msgspec.msgpack.encode(wait)), _KEPT)
    except LeaseLostError:  # the driver has come
        return False
    return True


def make_way(metadata: MetadataStore, run: RunRecord) -> bool:
    """Free the lease that is kept for a driver; whether a driver may take it now."""
    held = metadata.lease(lease_name(run.id))
    if held is None or held.left <= 0:
        return True
    if not held.owner.startswith(_HEIR):
        return owner_alive(held.owner) is False
    lease = metadata.acquire(held.name, process_owner(), LEASE_SECONDS, dead=held.owner)
    if lease is not None:
        metadata.release(lease)
    return lease is not None


def leave_to_heir(metadata: MetadataStore, run: RunRecord, owner: str, place: str) -> None:
    """Keep the lease of a driver that was ended, ``owner``, for the next one."""
    metadata.acquire(lease_name(run.id), f"{_HEIR}{place}:", _KEPT, dead=owner)
