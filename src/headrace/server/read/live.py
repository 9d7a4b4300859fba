"""What happens in a run, and in the runs of a project, as events."""

from __future__ import annotations

import math
import re
import time
from typing import Annotated, Any

import msgspec
from blake3 import blake3
from starlette.responses import Response

from headrace.model.records import MetricChunk, RunRecord, TaskId
from headrace.server.call import Call
from headrace.server.events import Event, EventStream, last_seen
from headrace.server.read.paths import PROJECT, RUN, ProjectPath, RunPath, run_of
from headrace.server.routes import Media, get
from headrace.services.describe import open_questions
from headrace.services.live_counts import running_attempts, totals_of, waits_of
from headrace.services.logs import LogTail
from headrace.services.marks import LISTED
from headrace.services.names import task_name
from headrace.services.run_rows import driver_of, rows_of
from headrace.stores.metadata.protocol import MetadataStore, RunFilter
from headrace.wiring import Scope

#: Rows of logs, and of metrics, that one look takes.
_ROWS = 500
#: Characters of output in one event, and points of a metric.
_TEXT = 64 * 1024
#: Running tasks that are named one by one.
_NAMED = 64
#: Runs of a project that are watched for changes.
_NEWEST = 100
_PARTS = ("run", "steps", "task", "wait")
_ID = re.compile(r"(\d{1,18})-(\d{1,18})-([0-9a-f]{24})")


def _short(value: Any) -> str:
    return blake3(msgspec.msgpack.encode(value, enc_hook=str)).hexdigest(3)


class RunSource:
    """The events of a run: ``run``, ``steps``, ``task``, ``wait`` (how it stands), ``log``, ``metric``, ``end``.

    A position is that of the logs, that of the metrics, and digests of the four parts of how it stands.
    """

    def __init__(self, scope: Scope, run: RunRecord) -> None:
        self._scope = scope
        self._run = run
        self._tail = LogTail(run.id)
        self._metric = 0
        self._parts: dict[str, Any] = {}
        self._digests: dict[str, str] = dict.fromkeys(_PARTS, "000000")
        self._more = False
        self._ended = False
        self.over = False

    @property
    def position(self) -> str:
        """See ``Source``."""
        return f"{self._tail.position}-{self._metric}-{''.join(self._digests[one] for one in _PARTS)}"

    @property
    def idle(self) -> bool:
        """See ``Source``."""
        return self._ended and not self._more

    def start(self) -> None:
        """See ``Source``."""
        self._tail.skip(self._scope.metadata)
        self._metric = _last_metric(self._scope.metadata, self._run.id)
        self._standing()
        self._ended = self._parts.get("run", {}).get("driver", "") in ("", "gone")

    def look(self) -> list[Event]:
        """See ``Source``."""
        changed = self._standing()
        if self.over:
            return [Event("end", {"state": "deleted"})]
        metadata = self._scope.metadata
        before = self._tail.position
        events = self._logs(self._tail)
        chunks = metadata.metrics(self._run.id, after=self._metric, limit=_ROWS)
        events += self._metrics(chunks)
        self._more = self._tail.position != before or bool(chunks)
        if chunks:
            self._metric = chunks[-1].id
        events += [Event(kind, self._parts[kind]) for kind in changed]
        driver = self._parts["run"]["driver"]
        if driver in ("", "gone") and not self._ended and not self._more:
            events.append(Event("end", {"state": self._parts["run"]["state"]}))
            self._ended = True
        elif driver not in ("", "gone"):
            self._ended = False
        return events

    def since(self, seen: str, until: str) -> list[Event]:
        """See ``Source``."""
        found, now = _ID.fullmatch(seen), _ID.fullmatch(until)
        if found is None or now is None:
            return [Event(kind, self._parts[kind]) for kind in _PARTS]
        events: list[Event] = []
        tail, last = LogTail(self._run.id, position=int(found[1])), int(now[1])
        while tail.position < last:
            before = tail.position
            events += self._logs(tail, last)
            if tail.position == before:
                break
        metric, last = int(found[2]), int(now[2])
        while metric < last and (chunks := self._scope.metadata.metrics(self._run.id, after=metric, limit=_ROWS)):
            events += self._metrics([one for one in chunks if one.id <= last])
            metric = chunks[-1].id
        known = {kind: found[3][6 * place : 6 * place + 6] for place, kind in enumerate(_PARTS)}
        return events + [Event(kind, self._parts[kind]) for kind in _PARTS if self._digests[kind] != known[kind]]

    def _standing(self) -> list[str]:
        """Look how the run stands; the parts that changed."""
        metadata, now = self._scope.metadata, time.time()
        run = metadata.run_by_id(self._run.id)
        if run is None:
            self.over = True
            return []
        row = msgspec.to_builtins(rows_of(metadata, [run], now)[0])
        row["duration"] = None if run.finished is None else row["duration"]
        gone = driver_of(metadata, run) == "gone"
        totals = totals_of(metadata, run, gone=gone)
        waits = waits_of(metadata, run) if row["driver"] not in ("", "gone") else {}
        steps = [
            {"step": name, "counts": one.counts, "total": one.total, "waits_for": waits.get(name, "")}
            for name, one in totals.items()
        ]
        parts = {
            "run": row,
            "steps": {"steps": steps},
            "task": {"running": self._running(run, steps, now) if row["driver"] not in ("", "gone") else []},
            "wait": {"questions": msgspec.to_builtins(open_questions(metadata, run.id, now))},
        }
        changed = []
        for kind in _PARTS:
            digest = _short(parts[kind])
            if digest != self._digests[kind]:
                self._digests[kind] = digest
                changed.append(kind)
        self._parts = parts
        return changed

    def _running(self, run: RunRecord, steps: list[dict[str, Any]], now: float) -> list[dict[str, Any]]:
        if sum(one["counts"].get("running", 0) for one in steps) > _NAMED:
            return []
        found = []
        for one in running_attempts(self._scope.metadata, run, now)[:_NAMED]:
            view = msgspec.to_builtins(one)
            del view["duration"]  # changes at each look
            found.append(view)
        return found

    def _logs(self, tail: LogTail, last: int = 1 << 62) -> list[Event]:
        items, size, events = [], 0, []
        for chunk in tail.read(self._scope.metadata, self._scope.artifacts, _ROWS):
            if chunk.id > last:
                break
            text = chunk.data.decode(errors="replace")
            items.append(
                {
                    "task": task_name(self._run, TaskId(chunk.step, chunk.number)),
                    "attempt": chunk.attempt,
                    "stream": chunk.stream,
                    "seq": chunk.seq,
                    "time": chunk.time,
                    "text": text,
                }
            )
            size += len(text)
            if size > _TEXT:
                events.append(Event("log", {"items": items}))
                items, size = [], 0
        return [*events, Event("log", {"items": items})] if items else events

    def _metrics(self, chunks: list[MetricChunk]) -> list[Event]:
        return [
            Event(
                "metric",
                {
                    "id": one.id,
                    "name": one.name,
                    "task": task_name(self._run, TaskId(one.step, one.number)),
                    "steps": one.steps,
                    "times": one.times,
                    "values": [value if math.isfinite(value) else None for value in one.values],
                },
            )
            for one in chunks
        ]


def _last_metric(metadata: MetadataStore, run_id: int) -> int:
    """A position behind all metrics that are there, found by halving: no points are read for it but one at a time."""
    low, high = 0, 1
    while metadata.metrics(run_id, after=high, limit=1):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if metadata.metrics(run_id, after=middle, limit=1):
            low = middle
        else:
            high = middle
    return high if metadata.metrics(run_id, after=low, limit=1) else low


class ProjectSource:
    """The events of a project: ``runs`` names those of its newest 100 runs that changed, or are new.

    Runs that were archived or deleted are ``gone``.
    """

    idle = False
    over = False

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._rows: dict[str, dict[str, Any]] = {}
        self.position = ""

    def start(self) -> None:
        """See ``Source``."""
        self.look()

    def look(self) -> list[Event]:
        """See ``Source``."""
        runs = self._scope.metadata.runs(RunFilter(project=self._scope.project, marks=LISTED, limit=_NEWEST))
        rows = {}
        for run, one in zip(runs, rows_of(self._scope.metadata, runs, time.time()), strict=True):
            row = msgspec.to_builtins(one)
            row["duration"] = None if run.finished is None else row["duration"]
            rows[row["name"]] = row
        items = [row for name, row in rows.items() if self._rows.get(name) != row]
        # Runs that newer ones pushed out of a full window are still listed, further down.
        oldest = runs[-1].created if len(runs) == _NEWEST else float("-inf")
        gone = [name for name, row in self._rows.items() if name not in rows and row["created"] > oldest]
        self._rows, self.position = rows, _short(rows)
        return [Event("runs", {"items": items, "gone": gone})] if items or gone else []

    def since(self, seen: str, until: str) -> list[Event]:
        """See ``Source``."""
        rows = self._rows
        return [] if seen and seen == self.position else [Event("runs", {"items": list(rows.values()), "gone": []})]


class RunEvents(RunPath, frozen=True, kw_only=True):
    """A run, and the last event that was seen, where no header says it."""

    after: Annotated[str, msgspec.Meta(description="Like the header Last-Event-ID")] = ""


class ProjectEvents(ProjectPath, frozen=True, kw_only=True):
    """A project, and the last event that was seen, where no header says it."""

    after: Annotated[str, msgspec.Meta(description="Like the header Last-Event-ID")] = ""


async def _of_run(call: Call[RunEvents, None]) -> Response:
    scope, run = await call.in_thread(lambda: run_of(call))
    return _stream(call, ("run", scope.project, run.id), lambda: RunSource(scope, run))


async def _of_project(call: Call[ProjectEvents, None]) -> Response:
    scope = call.scope(call.params.project)
    return _stream(call, ("project", scope.project), lambda: ProjectSource(scope))


def _stream(call: Call[Any, None], key: tuple[Any, ...], source: Any) -> Response:
    call.server.events.check()
    events = call.server.events.listen(key, source, last_seen(call.request))
    return EventStream(events, call.still_allowed, call.server.config.limits.chunk_seconds)


_EVENTS = Media(types=("text/event-stream",), about="Server-sent events; the stream stays open")
ROUTES = (
    get(
        RUN + "/events",
        _of_run,
        "What happens in a run, as it happens",
        params=RunEvents,
        result=_EVENTS,
        tag="events",
    ),
    get(
        PROJECT + "/events",
        _of_project,
        "What happens to the runs of a project",
        params=ProjectEvents,
        result=_EVENTS,
        tag="events",
    ),
)
