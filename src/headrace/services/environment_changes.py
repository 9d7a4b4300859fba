"""What differs between two environments: of locks, of steps of runs, and of runs."""

from __future__ import annotations

from typing import NamedTuple

from headrace.model.environments import EnvironmentLock
from headrace.model.records import RunRecord
from headrace.services.describe import details_of
from headrace.services.environments.records import locks_of_step
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore


class Contents(NamedTuple):
    """What an environment has: the version of its interpreter, versions of packages by name, variables."""

    label: str
    python: str
    packages: dict[str, str]
    variables: dict[str, str]


def contents_of_lock(lock: EnvironmentLock) -> Contents:
    """What an environment of this lock has."""
    return Contents(lock.label, lock.python, dict(lock.packages), dict(lock.variables))


def contents_of_tasks(
    metadata: MetadataStore, artifacts: ArtifactStore, run: RunRecord, step: str, digest: bytes
) -> Contents:
    """What tasks of a step had whose environment has this digest: of their own, or those of the run.

    Raises:
        BlobError: the lock is gone from the store.
    """
    lock = locks_of_step(metadata, artifacts, run.id, step).get(digest)
    if lock is not None:
        return contents_of_lock(lock)
    details = details_of(run)
    return Contents("", details.python, details.packages, {})


def differences(left: Contents, right: Contents) -> list[str]:
    """What differs, one line each: ``python 3.10.13 -> 3.11.7``, ``six absent -> 1.17.0``, ``variable MODE``."""
    found = [f"python {left.python} -> {right.python}"] if left.python != right.python else []
    for name in dict.fromkeys([*left.packages, *right.packages]):
        before, after = left.packages.get(name), right.packages.get(name)
        if before != after and name != "headrace":
            found.append(f"{name} {before or 'absent'} -> {after or 'absent'}")
    names = dict.fromkeys([*left.variables, *right.variables])
    return found + [f"variable {name}" for name in names if left.variables.get(name) != right.variables.get(name)]
