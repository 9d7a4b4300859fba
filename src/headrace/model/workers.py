"""What a worker must be like to run a step's attempts."""

from __future__ import annotations

import functools
from typing import NamedTuple

import msgspec

from headrace.model.attempts import LOG_LIMIT
from headrace.model.policy import Resources
from headrace.model.values import Blob

#: The place that every project has: this machine.
LOCAL = "local"


class ClusterAddress(NamedTuple):
    """Where a place has its pods: a ``context`` of a ``kubeconfig``, and the ``namespace``; empty: their defaults."""

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""


class WorkerSpec(msgspec.Struct, frozen=True, cache_hash=True):
    """Attempts with equal specs may share a worker. The executor of a place makes it from a step's policy.

    ``environment`` and ``image`` name what the worker has installed (empty: what the executor's workers have anyway).
    ``resources`` are those of the worker itself, where the place gives each worker resources of its own. An
    ``isolated`` worker runs one attempt and leaves. ``machine`` names the machine that has room for the attempt, in a
    place of several.
    """

    place: str = LOCAL
    environment: str = ""
    image: str = ""
    resources: Resources | None = None
    isolated: bool = False
    machine: str = ""


class GangSeat(NamedTuple):
    """Whom a worker is for that runs an attempt of a gang: node ``rank`` of the ``size`` that begin together.

    ``round`` is the same for all of them, and no other round of the run has it.
    """

    round: int
    rank: int
    size: int


@functools.lru_cache(maxsize=1024)
def on_machine(spec: WorkerSpec, machine: str) -> WorkerSpec:
    """``spec`` for workers of one machine of its place."""
    return msgspec.structs.replace(spec, machine=machine)


class ServedRun(msgspec.Struct, frozen=True):
    """The run that workers serve, for those that share nothing with its driver.

    ``key`` is the same in all sessions of the run, and no other run of any workspace has it. ``code`` is the manifest
    of its code package, and ``artifacts`` the URL of the store that has it. ``adopted`` are tokens of attempts of
    earlier sessions whose workers this session waits for. ``database`` is the URL of the metadata store, without a
    password. Of what an attempt prints, ``log_limit`` bytes per stream are kept.
    """

    name: str
    key: str
    session: int
    code: Blob
    artifacts: str
    adopted: tuple[int, ...] = ()
    database: str = ""
    project: str = ""
    log_limit: int = LOG_LIMIT


class MachineCapacity(msgspec.Struct, frozen=True):
    """What one machine of a place offers to attempts, and how many workers there may be at once."""

    name: str
    resources: Resources
    workers: int


class Capacity(msgspec.Struct, frozen=True):
    """What a place offers to attempts.

    ``resources`` is what they may occupy together, and ``workers`` how many workers there may be at once (0: any
    number). ``largest`` is the most that an attempt, or a gang, can ever get there, None when that is not known. A
    place of several ``machines`` has what these have together, and each attempt has to fit on one of them.
    """

    resources: Resources
    workers: int = 0
    largest: Resources | None = None
    machines: tuple[MachineCapacity, ...] = ()
