"""Locks of a run's environments, kept with it.

A lock lies among the artifacts of the run, under the step, number 0 and kind ``environment``, by its digest; listings
leave it out. It is never deleted before the run, and goes with it when the run is exported. Locks that who handed the
run over had made before are there too, under no step, by the digests of what was asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sized

import msgspec

from headrace.model.environments import EnvironmentLock
from headrace.model.records import FLOW_TASK, ArtifactRecord, TaskId
from headrace.model.values import Preview
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore

KIND = "environment"


def lock_record(run_id: int, step: str, lock: EnvironmentLock, store: ArtifactStore) -> ArtifactRecord:
    """The row that says what environment the tasks of ``step`` with the lock's digest ran in."""
    return ArtifactRecord(
        run_id=run_id,
        step=step,
        number=0,
        name=lock.digest.hex(),
        value=codecs.pack(msgspec.msgpack.encode(lock), store),
        preview=Preview(type="environment", text=_brief(lock)),
        created=time.time(),
        kind=KIND,
    )


def handed_lock_record(run_id: int, lock: EnvironmentLock, store: ArtifactStore) -> ArtifactRecord:
    """The row of a lock that the driver of a run finds, which another machine has handed over."""
    record = lock_record(run_id, FLOW_TASK.step, lock, store)
    return msgspec.structs.replace(record, name=lock.request.hex())


def handed_locks(metadata: MetadataStore, artifacts: ArtifactStore, run_id: int) -> list[EnvironmentLock]:
    """The locks that came with a run which was handed over.

    Raises:
        BlobError: one is gone from the store.
    """
    return _locks(metadata, artifacts, run_id, FLOW_TASK)


def _locks(metadata: MetadataStore, artifacts: ArtifactStore, run_id: int, task: TaskId) -> list[EnvironmentLock]:
    found = []
    for record in metadata.artifacts(run_id, task):
        if record.kind == KIND:
            data = codecs.unpack(record.value, artifacts)
            assert isinstance(data, bytes)
            found.append(msgspec.msgpack.decode(data, type=EnvironmentLock))
    return found


def locks_of_step(
    metadata: MetadataStore, artifacts: ArtifactStore, run_id: int, step: str
) -> dict[bytes, EnvironmentLock]:
    """The environments that tasks of a step had in a run, by digest; those that had none of their own are not there.

    Raises:
        BlobError: a lock is gone from the store.
    """
    return {one.digest: one for one in _locks(metadata, artifacts, run_id, TaskId(step, 0))}


def _brief(lock: EnvironmentLock) -> str:
    python = [f"Python {lock.python}"] if lock.python else []
    said = [*python, *([lock.image[:19]] if lock.image else [_counted(lock.packages)])]
    return f"{lock.label} ({', '.join(said)})"


def _counted(packages: Sized) -> str:
    return f"{len(packages)} package{'s' * (len(packages) != 1)}"


def labels_of(records: Iterable[ArtifactRecord]) -> dict[str, list[str]]:
    """What ``records`` say of environments, in a few words, by step."""
    found: dict[str, list[str]] = {}
    for one in records:
        if one.kind == KIND and one.step:
            found.setdefault(one.step, []).append(one.preview.text)
    return found


def locks_of_run(
    metadata: MetadataStore, artifacts: ArtifactStore, run_id: int, steps: Iterable[str]
) -> dict[str, dict[bytes, EnvironmentLock]]:
    """``locks_of_step`` of all ``steps`` that have any."""
    found = {step: locks_of_step(metadata, artifacts, run_id, step) for step in steps}
    return {step: locks for step, locks in found.items() if locks}
