"""What a run used, for its timeline and the page of its resources."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Annotated, NamedTuple

import msgspec

from headrace.model.records import AttemptRecord, RunRecord
from headrace.model.states import RunState
from headrace.server.call import Call
from headrace.server.read.paths import RUN, RunPath, run_of
from headrace.server.routes import get
from headrace.services.run_rows import driver_of
from headrace.services.usage import AttemptColumns, UsageView, usage_of
from headrace.stores.metadata.protocol import MetadataStore

_Seconds = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12, description="Seconds since the first start")]
#: Attempts that are read at a time.
_PAGE = 5_000
#: Runs whose attempts are kept, and attempts of all of them.
_RUNS, _ATTEMPTS = 8, 300_000
#: Attempts of a live run are used again for so many times as long as it took to read them.
_PATIENCE = 10.0


class UsageQuery(RunPath, frozen=True, kw_only=True):
    """Which spans of a timeline, and how many at most, about."""

    begin: _Seconds | None = None
    until: _Seconds | None = None
    spans: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 2_000


class _Kept(NamedTuple):
    columns: AttemptColumns
    until: float


class ReadAttempts:
    """Attempts of the runs that were looked at last, as columns. Used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[object, ...], _Kept] = OrderedDict()

    def of(self, metadata: MetadataStore, run: RunRecord) -> AttemptColumns:
        """The attempts of ``run``: of a live one as they were a moment ago."""
        live = run.state is RunState.RUNNING
        key = (metadata.url, run.id, run.state, run.session, run.finished)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and time.monotonic() < kept.until:
                self._kept.move_to_end(key)
                return kept.columns
        began = time.monotonic()
        gone = live and driver_of(metadata, run) == "gone"
        columns = AttemptColumns(_each_attempt(metadata, run.id), time.time(), gone=gone)
        now = time.monotonic()
        with self._lock:
            self._kept[key] = _Kept(columns, now + _PATIENCE * (now - began) if live else float("inf"))
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and (
                len(self._kept) > _RUNS or sum(len(one.columns) for one in self._kept.values()) > _ATTEMPTS
            ):
                self._kept.popitem(last=False)
        return columns


def _each_attempt(metadata: MetadataStore, run_id: int) -> Iterator[AttemptRecord]:
    after: tuple[str, int, int] | None = None
    while found := metadata.attempts(run_id, after=after, limit=_PAGE):
        yield from found
        if len(found) < _PAGE:
            return
        after = (found[-1].step, found[-1].number, found[-1].attempt)


_read = ReadAttempts()


def _usage(call: Call[UsageQuery, None]) -> UsageView:
    scope, run = run_of(call)
    want = call.params
    columns = _read.of(scope.metadata, run)
    return usage_of(columns, want.spans, (want.begin, want.until))


ROUTES = (
    get(
        RUN + "/usage",
        _usage,
        "What a run used: by step and worker, over time, as spans of a timeline",
        params=UsageQuery,
        result=UsageView,
        tag="tasks",
    ),
)
