"""Recording what a run runs in, in a thread beside it: nothing of it may hold up the run or be lost without a word."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from headrace._base.logs import Log
from headrace.model.records import RunDetails
from headrace.services import provenance
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import RunChange

if TYPE_CHECKING:
    from headrace.services.gitdiff import GitDiff

_log = Log("runs")

#: The end of a run waits so long for what was looked up at its start.
_LOOK_SECONDS = 10.0
#: ... and so long for the diff, or a quarter of the run's time where that is more, up to ``_MOST_SECONDS``.
_DIFF_SECONDS = 0.1
_MOST_SECONDS = 1.0


class Surroundings:
    """What one run runs in.

    ``file`` is that of the flow or script, None where project and commit are known already; ``known`` are the details
    that are, and ``record`` writes a change of the run. ``diff`` is that of the project, begun already.
    """

    def __init__(
        self,
        run_id: int,
        artifacts: ArtifactStore,
        file: str | None,
        known: RunDetails,
        record: Callable[[RunChange], None],
        diff: GitDiff | None,
    ) -> None:
        self._run_id = run_id
        self._artifacts = artifacts
        self._file = file
        self._known = known
        self._record = record
        self._lock = threading.Lock()
        self._looked = threading.Event()
        self._diff = diff
        self._over = False
        self._thread = threading.Thread(target=self._main, name="headrace-provenance", daemon=True)

    def start(self) -> None:
        """Begin to look around."""
        self._thread.start()

    def listens(self, place: str, address: str) -> None:
        """Write down where workers of a place find this process."""
        with self._lock:
            self._known = msgspec.structs.replace(self._known, addresses={**self._known.addresses, place: address})
            self._record(RunChange(run_id=self._run_id, details=msgspec.msgpack.encode(self._known)))

    def finish(self, ran: float) -> None:
        """The run ends, after ``ran`` seconds: leave out what is not known within a moment."""
        self._looked.wait(_LOOK_SECONDS)
        self._thread.join(min(_MOST_SECONDS, max(_DIFF_SECONDS, ran / 4)))
        if self._thread.is_alive():
            if self._diff is not None:
                self._diff.close()
            self._thread.join(_MOST_SECONDS)
        self._over = True

    def _main(self) -> None:
        try:
            shot = provenance.snapshot(self._file, self._known)
            self._write(shot, None)
        except Exception as error:  # no reason for a run to fail
            self._note(error, self._known, "surroundings")
            return
        finally:
            self._looked.set()
        if self._diff is not None:
            try:
                self._write(shot, *self._diff.read())
            except Exception as error:
                self._note(error, shot.details, "git diff")

    def _write(self, shot: provenance.Snapshot, diff: bytes | None, left_out: str = "") -> None:
        if self._over:
            return
        details = provenance.with_diff(shot.details, diff, self._artifacts)
        if left_out:
            details = msgspec.structs.replace(details, left_out={**details.left_out, "git diff": left_out})
        with self._lock:
            self._known = msgspec.structs.replace(details, addresses=self._known.addresses)
            self._record(
                RunChange(
                    run_id=self._run_id,
                    details=msgspec.msgpack.encode(self._known),
                    git_commit=msgspec.UNSET if self._file is None else shot.git_commit,
                    git_dirty=msgspec.UNSET if self._file is None else bool(diff),
                )
            )

    def _note(self, error: Exception, details: RunDetails, what: str) -> None:
        """Say in the log, and in the record where that is possible, that ``what`` is missing and why."""
        text = f"the {what} of the run cannot be recorded: {type(error).__name__}: {error}"
        _log.warning("provenance.failed", text, run_id=self._run_id)
        left_out = {**details.left_out, what: f"{type(error).__name__}: {error}"}
        try:
            with self._lock:
                self._known = msgspec.structs.replace(details, left_out=left_out, addresses=self._known.addresses)
                self._record(RunChange(run_id=self._run_id, details=msgspec.msgpack.encode(self._known)))
        except Exception as second:  # the store is what failed
            _log.warning("provenance.failed", f"nor can that be recorded: {second}", run_id=self._run_id)
