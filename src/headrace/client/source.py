"""A run's record as it stands at the moment, read in a scope."""

from __future__ import annotations

import time
from datetime import datetime

import msgspec

from headrace.client.default import existing_scope
from headrace.model.code import CodePackage
from headrace.model.errors import NotFoundError
from headrace.model.records import ArtifactRecord, RunDetails, RunRecord
from headrace.model.states import RunState
from headrace.model.values import Blob
from headrace.services.code.package import read_package
from headrace.services.names import find_run
from headrace.services.run_rows import state_of
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore
from headrace.wiring import Scope

#: The record of a run that is over is asked for again when it is older than this: a resume may change it.
_FRESH = 0.02


class RunReader:
    """One run, whose record is read again when it may have changed."""

    def __init__(self, source: Scope, record: RunRecord, *, complete: bool) -> None:
        self.source = source
        self.id = record.id
        self.name = record.name
        self.flow = record.flow
        self.number = record.number
        self._record = record
        self._complete = complete  # records of listings lack inputs and details
        self._read = time.monotonic()
        self._details: tuple[bytes, RunDetails] = (b"", RunDetails())
        self._package: tuple[Blob, CodePackage] | None = None

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
        return state_of(self.metadata, self.record(fresh=fresh))

    def details(self) -> RunDetails:
        """What it recorded of its surroundings; empty as long as it has not."""
        data = self.record(complete=True).details
        if data != self._details[0]:
            self._details = (data, msgspec.msgpack.decode(data, type=RunDetails))
        return self._details[1]

    def sources(self) -> dict[str, Blob]:
        """The files of its code package by path; of an older run, its source files.

        Raises:
            BlobError: the package is gone or damaged.
        """
        package = self.package()
        return self.details().sources if package is None else {one.path: one.blob for one in package.files}

    def package(self) -> CodePackage | None:
        """Its code package; None for a run that kept none.

        Raises:
            BlobError: the package is gone or damaged.
        """
        code = self.details().code
        if code is None:
            return None
        if self._package is None or self._package[0] != code.package:
            self._package = (code.package, read_package(self.artifacts, code.package))
        return self._package[1]

    def bytes_of(self, blob: Blob) -> bytes:
        """The bytes of a blob; raises BlobMissingError or BlobCorruptError."""
        return bytes(self.artifacts.get(blob))


def open_run(name: str, source: Scope | None = None) -> RunReader:
    """The run that ``train/42``, ``train`` or ``train/latest`` names.

    Raises:
        NotFoundError: there is none.
    """
    source = source or existing_scope()
    record = find_run(source.metadata, source.project, name.removesuffix("/latest"))
    return RunReader(source, record, complete=True)


def shown(records: list[ArtifactRecord]) -> list[ArtifactRecord]:
    """Those that the user made: outputs and what was logged."""
    return [record for record in records if record.kind in ("output", "logged")]


def moment(seconds: float | None) -> datetime | None:
    """A point in time, in the local time zone."""
    return None if not seconds else datetime.fromtimestamp(seconds).astimezone()
