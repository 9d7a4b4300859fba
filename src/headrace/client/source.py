"""Where the client reads: the stores of a project, and a run's record as it stands at the moment."""

from __future__ import annotations

import os
import time
from datetime import datetime

import msgspec

from headrace import wiring
from headrace.model.errors import NotFoundError
from headrace.model.records import ArtifactRecord, RunDetails, RunRecord
from headrace.model.states import RunState
from headrace.model.values import Blob
from headrace.services.names import find_run
from headrace.services.run_rows import state_of
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore

#: The record of a run that is over is asked for again when it is older than this: a resume may change it.
_FRESH = 0.02


class Source:
    """The stores of one project; a forked child opens its own."""

    def __init__(self, project: wiring.Project) -> None:
        self._project = project
        self._pid = os.getpid()

    def _opened(self) -> wiring.Project:
        if self._pid != os.getpid():
            self._project, self._pid = wiring.Project(self._project.settings), os.getpid()
        return self._project

    @property
    def metadata(self) -> MetadataStore:
        """Runs, tasks and all about them."""
        return self._opened().metadata

    @property
    def artifacts(self) -> ArtifactStore:
        """The bytes of objects."""
        return self._opened().artifacts

    @property
    def project(self) -> str:
        """The project's name."""
        return self._project.name

    @property
    def settings(self) -> wiring.Settings:
        """Where it all is: enough for another process to open the same."""
        return self._project.settings


def source_here() -> Source:
    """The project of the working directory; a place where nothing was ever run is left as it is.

    Raises:
        NotFoundError: it is such a place.
    """
    return Source(wiring.existing_project())


class RunReader:
    """One run, whose record is read again when it may have changed."""

    def __init__(self, source: Source, record: RunRecord, *, complete: bool) -> None:
        self.source = source
        self.id = record.id
        self.name = record.name
        self.flow = record.flow
        self.number = record.number
        self._record = record
        self._complete = complete  # records of listings lack inputs and details
        self._read = time.monotonic()
        self._details: tuple[bytes, RunDetails] = (b"", RunDetails())

    @property
    def metadata(self) -> MetadataStore:
        """Where the run is recorded."""
        return self.source.metadata

    @property
    def artifacts(self) -> ArtifactStore:
        """Where its objects are."""
        return self.source.artifacts

    @property
    def last_read(self) -> RunRecord:
        """The record as it was when it was read last."""
        return self._record

    def record(self, *, complete: bool = False, fresh: bool = False) -> RunRecord:
        """The record as it stands; ``complete`` with inputs and details.

        Raises:
            NotFoundError: the run was deleted.
        """
        running = self._record.state is RunState.RUNNING
        stale = fresh or running or time.monotonic() - self._read > _FRESH
        if stale or (complete and not self._complete):
            found = self.metadata.run_by_id(self.id)
            if found is None:
                raise NotFoundError(f"run {self.name} was deleted")
            self._record, self._complete, self._read = found, True, time.monotonic()
        return self._record

    def state(self, *, fresh: bool = False) -> str:
        """Its state, ``crashed`` included."""
        return state_of(self.metadata, self.record(fresh=fresh), time.time())

    def details(self) -> RunDetails:
        """What it recorded of its surroundings; empty as long as it has not."""
        data = self.record(complete=True).details
        if data != self._details[0]:
            self._details = (data, msgspec.msgpack.decode(data, type=RunDetails))
        return self._details[1]

    def bytes_of(self, blob: Blob) -> bytes:
        """The bytes of a blob; raises BlobMissingError or BlobCorruptError."""
        return bytes(self.artifacts.get(blob))


def open_run(name: str, source: Source | None = None) -> RunReader:
    """The run that ``train/42``, ``train`` or ``train/latest`` names.

    Raises:
        NotFoundError: there is none.
    """
    source = source or source_here()
    record = find_run(source.metadata, source.project, name.removesuffix("/latest"))
    return RunReader(source, record, complete=True)


def shown(records: list[ArtifactRecord]) -> list[ArtifactRecord]:
    """Those that the user made: outputs and what was logged."""
    return [record for record in records if record.kind in ("output", "logged")]


def moment(seconds: float | None) -> datetime | None:
    """A point in time, in the local time zone."""
    return None if not seconds else datetime.fromtimestamp(seconds).astimezone()
