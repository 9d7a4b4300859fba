"""Stores whose calls are tried again while the store is away: when a run starts, and beside its loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec

from headrace.engine.loop import Loop
from headrace.model.errors import StoreAwayError
from headrace.model.records import Lease, RunRecord, lease_name
from headrace.services.store_wait import StoreWait
from headrace.services.stores import Stores
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore, NewRun, RunFilter

R = TypeVar("R")

#: Calls a function, and calls it again while it raises StoreAwayError.
Retry = Callable[[Callable[[], R]], R]


def waiting(stores: Stores, wait: StoreWait) -> Stores:
    """``stores`` for the start of a run: their calls are repeated as ``wait`` says while a store is away."""
    metadata = RetryingMetadata(stores.metadata.hasty(), wait)
    artifacts = _Retrying(stores.artifacts.hasty(), wait)
    return msgspec.structs.replace(
        stores, metadata=cast("MetadataStore", metadata), artifacts=cast("ArtifactStore", artifacts)
    )


def driver_store(metadata: MetadataStore, loop: Loop) -> MetadataStore:
    """``metadata``, whose calls are repeated while it is away, for as long as ``loop`` drives its run."""

    def retry(call: Callable[[], R]) -> R:
        while True:
            try:
                return call()
            except StoreAwayError as error:
                if not loop.wait_for_store(error):
                    raise

    return cast("MetadataStore", RetryingMetadata(metadata, retry))


class _Retrying:
    def __init__(self, store: Any, retry: Retry[Any]) -> None:
        self._store = store
        self._retry = retry

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return functools.partial(self._call, found) if callable(found) else found

    def _call(self, method: Callable[..., Any], *args: Any, **named: Any) -> Any:
        return self._retry(lambda: method(*args, **named))


class RetryingMetadata(_Retrying):
    """A metadata store whose calls are repeated as ``retry`` says.

    A call that broke off may have been made all the same. Most calls may be made twice; ``open_run`` and ``acquire``
    look for what the first one left.
    """

    def open_run(self, run: NewRun, owner: str, seconds: float) -> tuple[RunRecord, Lease]:
        """See ``MetadataStore``."""
        first = True

        def open_once() -> tuple[RunRecord, Lease]:
            nonlocal first
            made = None if first else self._opened_before(run, owner)
            first = False
            return made or self._store.open_run(run, owner, seconds)

        return cast("tuple[RunRecord, Lease]", self._retry(open_once))

    def _opened_before(self, run: NewRun, owner: str) -> tuple[RunRecord, Lease] | None:
        for one in self._store.runs(RunFilter(project=run.project, flow=run.flow, limit=100)):
            if (one.created, one.host, one.pid) == (run.created, run.host, run.pid):
                lease = self._store.lease(lease_name(one.id))
                if lease is not None and lease.owner == owner:
                    return self._store.run_by_id(one.id), lease
        return None

    def acquire(self, name: str, owner: str, seconds: float, *, dead: str = "") -> Lease | None:
        """See ``MetadataStore``."""
        before = 0  # the token of the lease before a try that broke off
        first = True

        def acquire_once() -> Lease | None:
            nonlocal first, before
            held = self._store.lease(name)
            if first:
                before, first = 0 if held is None else held.token, False
            elif held is not None and held.owner == owner and held.token > before:
                return cast("Lease", held)
            return cast("Lease | None", self._store.acquire(name, owner, seconds, dead=dead))

        return cast("Lease | None", self._retry(acquire_once))
