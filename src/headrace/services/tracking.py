"""Where code that runs in no worker logs to: the run that its flow drives, or that ``headrace.track`` opened.

Logging puts points in memory; a thread writes them in batches. ``open_tracked`` opens a run that no engine drives.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable

import msgspec

from headrace._base.process import host_name, process_owner
from headrace._base.texts import ERROR_LINE, shorten
from headrace.engine.rows import tracked
from headrace.model.errors import HeadraceError, StoreError, UsageError
from headrace.model.messages import Output, Track
from headrace.model.records import FLOW_TASK, LEASE_SECONDS, Lease, RunDetails, RunRecord
from headrace.model.states import RunState
from headrace.runtime.context import TrackBuffer
from headrace.services.provenance import begun_diff
from headrace.services.stores import Stores
from headrace.services.surroundings import Surroundings
from headrace.stores.metadata.protocol import MetadataStore, NewRun, RunChange, Write

_BEAT = 3.0
_PAUSE = 0.2
#: Points kept back while the store cannot be written to; beyond that, logging fails.
_MOST_KEPT = 5_000_000


class RunLog(TrackBuffer):
    """What the flow function of a run, or a tracked script, logs. ``write`` commits under the run's lease.

    When a write fails, its batch is kept and tried again with the next one; ``close`` raises when that still fails.
    """

    __slots__ = ("_closed", "_kept", "_thread", "_wake", "_write", "run")

    def __init__(self, run: RunRecord, stores: Stores, write: Callable[..., None]) -> None:
        super().__init__(0, _refuse, stores.artifacts)
        self.run = run
        self._write = write
        self._kept: list[Write] = []
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def metric(self, name: str, value: float, step: int | None, at: float | None) -> None:
        """Keep a point; see ``TrackBuffer``.

        Raises:
            UsageError: the run is over; StoreError: the store has refused too much for too long.
        """
        if self._thread is None:
            self.start()
        self._points.append((name, value, step, time.time() if at is None else at))
        if len(self._points) >= _MOST_KEPT:
            self.flush()

    def param(self, name: str, text: str) -> None:
        """Keep a parameter; raises UsageError when the run is over."""
        self.start()
        super().param(name, text)

    def tag(self, name: str, value: str) -> None:
        """Keep a tag; raises UsageError when the run is over."""
        self.start()
        super().tag(name, value)

    def artifact(self, output: Output) -> None:
        """Keep a logged artifact; raises UsageError when the run is over."""
        self.start()
        super().artifact(output)

    def start(self) -> None:
        """Let the thread run.

        Raises:
            UsageError: the run is over.
        """
        if self._closed:
            raise UsageError(f"run {self.run.name} is over: nothing can be logged to it any more")
        if self._thread is None:
            thread = threading.Thread(target=self._main, name="headrace-log", daemon=True)
            self._thread = thread
            thread.start()

    def _main(self) -> None:
        while not self._wake.wait(_PAUSE):
            try:
                self.flush()
                self.beat()
            except HeadraceError:  # kept, and tried again; ``close`` tells
                continue

    def beat(self) -> None:
        """Called after each pass of the thread."""

    def flush(self) -> None:
        """Write what is kept; raises StoreError or LeaseLostError, and goes on keeping it."""
        with self._lock:
            while self._kept or self._points or self._params or self._tags or self._artifacts:
                if not self._kept:
                    self._kept = tracked(self.run.id, FLOW_TASK, self._take(), time.time())
                self._write(*self._kept)
                self._kept = []

    def close(self) -> None:
        """Write all that is left and end the thread.

        Raises:
            StoreError, LeaseLostError: it cannot be written.
        """
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None
        self.flush()


def _refuse(_: Track) -> None:
    raise AssertionError("a RunLog writes; it sends nothing")


# --- runs without an engine --------------------------------------------------------------------------------------


class TrackedRun:
    """A run that a script opened for what it logs. ``log`` keeps its lease; ``finish`` ends it."""

    def __init__(self, stores: Stores, run: RunRecord, lease: Lease) -> None:
        self.run = run
        self.log = _BeatingLog(run, stores, self.write)
        self._stores = stores
        self._lease = lease
        self._surroundings: Surroundings | None = None

    def write(self, *writes: Write) -> None:
        """Commit under the lease, which this extends; raises StoreError or LeaseLostError."""
        self.log.written = time.monotonic()
        self._stores.metadata.commit(writes, self._lease, LEASE_SECONDS)

    def record_surroundings(self, file: str, known: RunDetails) -> None:
        """Write down, beside the run, what the script ``file`` runs in, in addition to what is ``known``."""
        self.write(RunChange(run_id=self.run.id, details=msgspec.msgpack.encode(known)))
        diff = begun_diff(file)
        self._surroundings = Surroundings(self.run.id, self._stores.artifacts, file, known, self.write, diff)
        self._surroundings.start()

    def finish(self, state: RunState, error: str = "", traceback: str = "") -> None:
        """Write all that was logged and how the run ended, and give the lease up.

        Raises:
            StoreError, LeaseLostError: something of it cannot be written.
        """
        try:
            if self._surroundings is not None:
                self._surroundings.finish(time.time() - self.run.started)
            self.log.close()
            line = shorten(error, ERROR_LINE)
            self.write(
                RunChange(run_id=self.run.id, state=state, finished=time.time(), error=line, traceback=traceback)
            )
        finally:
            with contextlib.suppress(StoreError):
                self._stores.metadata.release(self._lease)


class _BeatingLog(RunLog):
    """Extends the lease, also while nothing is logged."""

    __slots__ = ("written",)

    def __init__(self, run: RunRecord, stores: Stores, write: Callable[..., None]) -> None:
        super().__init__(run, stores, write)
        self.written = time.monotonic()

    def beat(self) -> None:
        """See ``RunLog``."""
        if time.monotonic() - self.written > _BEAT:
            self._write()


def open_tracked(stores: Stores, name: str, file: str) -> TrackedRun:
    """Create a run of dialect ``track`` that this process owns; ``file`` is that of the script, or empty."""
    metadata: MetadataStore = stores.metadata
    run, lease = metadata.open_run(
        NewRun(
            project=stores.project,
            flow=name,
            dialect="track",
            entry=f"{file}:",
            created=time.time(),
            user=stores.actor.user,
            host=host_name(),
            pid=os.getpid(),
        ),
        process_owner(),
        LEASE_SECONDS,
    )
    return TrackedRun(stores, run, lease)
