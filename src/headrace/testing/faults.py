"""Stores whose calls go wrong as a plan says: refused, lost after they were made, or slow."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from headrace.model.errors import StoreAwayError
from headrace.model.records import Lease
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore, Write

#: What may happen to a call. ``lost``: it is made, and then fails, as when a connection breaks before the answer.
OUTCOMES = ("fine", "away", "lost", "slow")
_SLOW_SECONDS = 0.02
_PLAIN = frozenset({"subscribe", "close", "url"})


class Faults:
    """A plan: one of ``OUTCOMES`` for each call, in the order in which threads come; ``fine`` when it is used up."""

    def __init__(self, plan: Iterable[str]) -> None:
        self._plan = iter(list(plan))
        self._lock = threading.Lock()
        self.active = False
        self.calls: list[tuple[str, str]] = []

    def call(self, method: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Call ``method``, or what the plan has for it instead; raises StoreAwayError."""
        outcome = self.next(method.__name__)
        if outcome == "away":
            raise StoreAwayError(f"{method.__name__} was refused")
        if outcome == "slow":
            time.sleep(_SLOW_SECONDS)
        made = method(*args, **named)
        if outcome == "lost":
            raise StoreAwayError(f"{method.__name__} was made, and its answer lost")
        return made

    def next(self, name: str) -> str:
        """What happens to a call of ``name``."""
        with self._lock:
            outcome = next(self._plan, "fine") if self.active else "fine"
            self.calls.append((name, outcome))
            return outcome


class FaultyMetadata:
    """A metadata store with faults. It checks what the protocol asks of who calls: a commit whose answer was lost is
    repeated, with the same list, before any other commit under the lease."""

    def __init__(self, store: MetadataStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self._unconfirmed: Sequence[Write] | None = None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return found if name in _PLAIN or not callable(found) else functools.partial(self._faults.call, found)

    def hasty(self) -> FaultyMetadata:
        """See ``MetadataStore``."""
        return self

    def commit(
        self, writes: Sequence[Write], lease: Lease | None = None, seconds: float = 0.0, number: int = 0
    ) -> None:
        """See ``MetadataStore``."""
        outcome = self._faults.next("commit")
        if outcome == "away":
            raise StoreAwayError("the commit was refused")
        if self._unconfirmed is not None and lease is not None:
            assert writes is self._unconfirmed, "another commit came before the one that may have been made"
            self._store.commit([], lease, seconds, number)
        else:
            self._store.commit(writes, lease, seconds, number)
        self._unconfirmed = writes if outcome == "lost" and lease is not None else None
        if outcome == "slow":
            time.sleep(_SLOW_SECONDS)
        if outcome == "lost":
            raise StoreAwayError("the commit was made, and its answer lost")


class FaultyArtifacts:
    """An artifact store with faults."""

    def __init__(self, store: ArtifactStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return found if name in _PLAIN or not callable(found) else functools.partial(self._faults.call, found)

    def hasty(self) -> FaultyArtifacts:
        """See ``ArtifactStore``."""
        return self
