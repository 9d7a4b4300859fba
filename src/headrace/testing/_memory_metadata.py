"""A metadata store in dictionaries: the model that the others are compared with, and a fast fake for tests.

It is written to be plainly right, not fast: listings look at everything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from headrace.model.errors import LeaseLostError, NotFoundError, UsageError
from headrace.model.records import (
    FOREIGN_NUMBERS,
    ArtifactRecord,
    AttemptRecord,
    Edge,
    Input,
    Lease,
    LogChunk,
    LogSegment,
    MetricChunk,
    MetricSummary,
    Param,
    QueueCount,
    Request,
    RunDetails,
    RunFlags,
    RunRecord,
    Signal,
    Tag,
    TaskId,
    TaskRecord,
    Wait,
    lease_name,
    summed_up,
)
from headrace.model.states import RunState
from headrace.model.values import Blob
from headrace.stores.metadata import _rows, _transfer, _transitions
from headrace.stores.metadata._sql import Row
from headrace.stores.metadata.protocol import (
    AnyOf,
    ArtifactKey,
    AttemptKey,
    CacheEntry,
    DropLog,
    DropOutputs,
    DropQueue,
    NewRun,
    RunChange,
    RunFilter,
    StepCount,
    Untag,
    Where,
    Write,
)
from headrace.stores.metadata.sort_keys import sort_key
from headrace.testing._memory_rows import (
    MAKERS,
    check_where,
    compares,
    edge_key,
    is_marked,
    log_row,
    of_task,
    page,
    sorted_runs,
)
from headrace.testing._memory_tables import Subscription, Tables


class MemoryMetadata:
    """A ``MetadataStore`` that forgets everything with the process. ``clock`` says when leases expire."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.url = "memory:"
        self._all = Tables()
        self._lock = threading.RLock()
        self._token = 0
        self._last_run = 0
        self._arrived = 0
        self._subscriptions: list[Subscription] = []

    def hasty(self) -> MemoryMetadata:
        """See ``MetadataStore``."""
        return self

    # --- leases and writing ---

    def acquire(self, name: str, owner: str, seconds: float, *, dead: str = "") -> Lease | None:
        """See ``MetadataStore``."""
        with self._lock:
            held = self.lease(name)
            if held is not None and held.left > 0 and held.owner != dead:
                return None
            self._token += 1
            lease = Lease(name=name, owner=owner, token=self._token, left=seconds)
            self._all.leases[name] = lease, self._clock() + seconds
            return lease

    def lease(self, name: str) -> Lease | None:
        """See ``MetadataStore``."""
        with self._lock:
            if name not in self._all.leases:
                return None
            lease, expires = self._all.leases[name]
            return msgspec.structs.replace(lease, left=expires - self._clock())

    def _held(self, lease: Lease) -> Lease | None:
        held, _ = self._all.leases.get(lease.name, (None, 0.0))
        return held if held is not None and (held.token, held.owner) == (lease.token, lease.owner) else None

    def release(self, lease: Lease) -> None:
        """See ``MetadataStore``."""
        with self._lock:
            if self._held(lease) is not None:
                del self._all.leases[lease.name]

    def commit(
        self, writes: Sequence[Write], lease: Lease | None = None, seconds: float = 0.0, number: int = 0
    ) -> None:
        """See ``MetadataStore``."""
        with self._lock:
            held = None if lease is None else self._held(lease)
            if lease is not None:
                if held is None:
                    raise LeaseLostError(f"{lease.owner} no longer holds {lease.name}. Nothing was written.")
                if number and number <= self._all.last_commits.get(lease.token, 0):
                    return
            elif not {write.run_id for write in writes} <= self._all.runs.keys():
                raise NotFoundError("there is no such run, or not any more. Nothing was written.")
            _transitions.check(writes, self._recorded())
            if lease is not None and held is not None:
                self._all.last_commits[lease.token] = max(number, self._all.last_commits.get(lease.token, 0))
                expires = max(self._all.leases[lease.name][1], self._clock() + seconds)
                self._all.leases[lease.name] = msgspec.structs.replace(held, note=lease.note), expires
            for write in writes:
                self._put(write)

    def _recorded(self) -> _transitions.Recorded:
        tables = self._all
        return _transitions.Recorded(
            lambda run_id: run.state if (run := tables.runs.get(run_id)) is not None else None,
            lambda key: attempt.state if (attempt := tables.attempts.get(key)) is not None else None,
            lambda key: task.session if (task := tables.tasks.get(key)) is not None else None,
        )

    def _put(self, write: Write) -> None:
        tables = self._all
        match write:
            case RunChange():
                known = tables.runs.get(write.run_id)
                if known is not None:
                    new = {name: getattr(write, name) for name in write.__struct_fields__ if name != "run_id"}
                    new = {name: value for name, value in new.items() if value is not msgspec.UNSET}
                    tables.runs[write.run_id] = msgspec.structs.replace(known, **new)
            case TaskRecord():
                tables.tasks[write.run_id, write.step, write.number] = write
            case AttemptRecord():
                tables.attempts[write.run_id, write.step, write.number, write.attempt] = write
            case ArtifactRecord():
                tables.artifacts[write.run_id, write.step, write.number, write.name] = write
            case DropOutputs():
                mine = (write.run_id, write.step, write.number)
                outputs = [k for k, one in tables.artifacts.items() if k[:3] == mine and one.kind == "output"]
                for key in outputs:
                    del tables.artifacts[key]
                cached = [k for k in tables.cache if (k[1].run_id, k[1].step, k[1].number) == mine]
                for cache_key in cached:
                    del tables.cache[cache_key]
            case Edge():
                tables.edges[write] = None
            case LogChunk():
                self._keep_log(write, write.seq)
            case LogSegment():
                self._drop_log(write, write.pieces[0].seq, write.pieces[-1].seq)
                self._keep_log(write, write.pieces[0].seq)
            case DropLog():
                self._drop_log(write, 0, None)
            case MetricChunk():
                self._arrived += 1
                tables.metrics.append(msgspec.structs.replace(write, id=self._arrived))
            case Tag():
                tables.tags[write.run_id, write.name] = write
            case Untag():
                tables.tags.pop((write.run_id, write.name), None)
            case Param():
                tables.params[write.run_id, write.name] = write
            case Wait():
                tables.waits[write.run_id, write.key] = write
            case RunFlags():
                tables.flags[write.run_id] = write
            case QueueCount():
                tables.queue[write.run_id, write.step] = write
            case Request():
                tables.requests.append(write)
            case DropQueue():
                for queue_key in [key for key in tables.queue if key[0] == write.run_id]:
                    del tables.queue[queue_key]
            case CacheEntry():
                made = tables.runs.get(write.run_id)
                if made is not None:
                    tables.cache[made.project, write] = None

    def _keep_log(self, write: LogChunk | LogSegment, seq: int) -> None:
        self._arrived += 1
        key = (write.run_id, write.step, write.number, write.attempt, seq)
        self._all.logs.setdefault(key, msgspec.structs.replace(write, id=self._arrived))

    def _drop_log(self, write: LogSegment | DropLog, first: int, last: int | None) -> None:
        whose = (write.run_id, write.step, write.number, write.attempt)
        for key, one in list(self._all.logs.items()):
            in_range = first <= key[4] and (last is None or key[4] <= last)
            if key[:4] == whose and one.stream == write.stream and in_range:
                del self._all.logs[key]

    # --- runs ---

    def create_run(self, run: NewRun) -> RunRecord:
        """See ``MetadataStore``."""
        with self._lock:
            number = run.number
            if number is None:
                number = self._all.numbers.get((run.project, run.flow), 0) + 1
            elif self.run(run.flow, number, run.project) is not None:
                raise UsageError(f"there is a run {run.flow}/{number} already")
            inputs = _rows.decode_inputs(run.inputs) if run.inputs else ()
            given = {**msgspec.structs.asdict(run), "number": number, "inputs": inputs}
            return self._add_run(RunRecord(id=0, state=RunState.RUNNING, started=run.created, **given))

    def open_run(self, run: NewRun, owner: str, seconds: float) -> tuple[RunRecord, Lease]:
        """See ``MetadataStore``."""
        with self._lock:
            made = self.create_run(run)
            lease = self.acquire(lease_name(made.id), owner, seconds)
            assert lease is not None
            return made, lease

    def _add_run(self, run: RunRecord) -> RunRecord:
        self._last_run += 1
        key = (run.project, run.flow)
        if run.number < FOREIGN_NUMBERS:
            self._all.numbers[key] = max(run.number, self._all.numbers.get(key, 0))
        self._all.runs[self._last_run] = run = msgspec.structs.replace(run, id=self._last_run)
        return run

    def run(self, flow: str, number: int, project: str = "default") -> RunRecord | None:
        """See ``MetadataStore``."""
        for run in list(self._all.runs.values()):
            if (run.project, run.flow, run.number) == (project, flow, number):
                return run
        return None

    def run_by_id(self, run_id: int) -> RunRecord | None:
        """See ``MetadataStore``."""
        return self._all.runs.get(run_id)

    def latest_run(self, flow: str | None = None, project: str = "default") -> RunRecord | None:
        """See ``MetadataStore``."""
        runs = [run for run in self._all.runs.values() if run.project == project and flow in (None, run.flow)]
        return max(runs, key=lambda run: run.id, default=None)

    def runs(self, want: RunFilter) -> list[RunRecord]:
        """See ``MetadataStore``."""
        check_where(want.where)
        found = [run for run in self._all.runs.values() if self._wanted(run, want)]
        found.sort(key=lambda run: -run.id)
        if want.sort:
            found = sorted_runs(found, {run.id: sort_key(self, run, want.sort) for run in found}, want)
        found = found if want.limit is None else found[: want.limit]
        return [msgspec.structs.replace(run, inputs=(), details=b"") for run in found]

    def _wanted(self, run: RunRecord, want: RunFilter) -> bool:
        if not all(is_marked(self._all.flags.get(run.id, RunFlags(run.id)), mark) for mark in want.marks):
            return False
        tags = {tag.name: tag.value for tag in self.tags([run.id])}
        for tag in want.tags:
            name, valued, value = tag.partition("=")
            if name not in tags or (valued and tags[name] != value):
                return False
        return (
            want.project in (None, run.project)
            and want.flow in (None, run.flow)
            and (not want.states or run.state in want.states)
            and (want.before_id is None or run.id < want.before_id)
            and self._all_hold(run, want.where)
        )

    def _all_hold(self, run: RunRecord, where: Sequence[Where]) -> bool:
        return all(
            any(self._all_hold(run, alternative) for alternative in one.alternatives)
            if isinstance(one, AnyOf)
            else self._holds(run, *one)
            for one in where
        )

    def _holds(self, run: RunRecord, subject: str, sign: str, operand: float | str) -> bool:
        value = self._value(run, subject)
        return value is not None and compares(value, sign, operand, as_text=subject in ("state", "flow"))

    def _value(self, run: RunRecord, subject: str) -> float | str | None:
        group, _, name = subject.partition(".")
        if group == "metrics":
            return {one.name: one.last for one in self.metric_summaries([run.id])}.get(name)
        if group == "tags":
            return {tag.name: tag.value for tag in self.tags([run.id])}.get(name)
        if group == "params":
            text = {param.name: param.text for param in self.params([run.id])}.get(name)
            return msgspec.json.decode(text, type=str) if text is not None and text.startswith('"') else text
        if subject == "duration":
            return None if run.finished is None else run.finished - run.started
        value: float | str = getattr(run, subject)
        return value

    def flows(self, project: str = "default") -> list[tuple[str, int, float]]:
        """See ``MetadataStore``."""
        created: dict[str, list[float]] = {}
        for run in self._all.runs.values():
            if run.project == project:
                created.setdefault(run.flow, []).append(run.created)
        return [(flow, len(times), max(times)) for flow, times in sorted(created.items())]

    def projects(self) -> list[str]:
        """See ``MetadataStore``."""
        return sorted({run.project for run in self._all.runs.values()})

    def requests(self, project: str = "default", run: str = "", limit: int = 100) -> list[Request]:
        """See ``MetadataStore``."""
        found = [one for one in self._all.requests if one.project == project and run in ("", one.run)]
        return found[::-1][:limit]

    def delete_run(self, run_id: int) -> None:
        """See ``MetadataStore``."""
        with self._lock:
            self._all.forget_run(run_id)

    # --- what belongs to a run ---

    def tasks(
        self, run_id: int, step: str | None = None, *, states: Sequence[str] = (), after: int = 0, limit: int = 0
    ) -> list[TaskRecord]:
        """See ``MetadataStore``."""
        found = [
            task
            for key, task in sorted(self._all.tasks.items())
            if key[0] == run_id
            and (step is None or (task.step == step and task.number > after))
            and (not states or task.state in states)
        ]
        return found[:limit] if limit else found

    def task(self, run_id: int, task: TaskId) -> TaskRecord | None:
        """See ``MetadataStore``."""
        return self._all.tasks.get((run_id, *task))

    def step_counts(self, run_id: int) -> list[StepCount]:
        """See ``MetadataStore``."""
        counts: dict[tuple[str, str], int] = {}
        first: dict[str, float] = {}
        for task in self.tasks(run_id):
            key = (task.step, task.state.value)
            counts[key] = counts.get(key, 0) + 1
            first[task.step] = min(task.created, first.get(task.step, task.created))
        ordered = sorted(counts.items(), key=lambda item: (first[item[0][0]], item[0]))
        return [StepCount(step, state, count) for (step, state), count in ordered]

    def queue(self, run_ids: Sequence[int]) -> list[QueueCount]:
        """See ``MetadataStore``."""
        return [count for key, count in sorted(self._all.queue.items()) if key[0] in run_ids]

    def attempts(
        self, run_id: int, task: TaskId | None = None, *, after: AttemptKey | None = None, limit: int = 0
    ) -> list[AttemptRecord]:
        """See ``MetadataStore``."""
        found = of_task(self._all.attempts.items(), run_id, task)
        alone = [one.lone_attempt for one in self.tasks(run_id) if task is None or one.id == task]
        found += [one for one in alone if one is not None]
        found.sort(key=lambda one: (one.step, one.number, one.attempt))
        return page(found, lambda one: (one.step, one.number, one.attempt), after, limit)

    def artifacts(
        self, run_id: int, task: TaskId | None = None, *, after: ArtifactKey | None = None, limit: int = 0
    ) -> list[ArtifactRecord]:
        """See ``MetadataStore``."""
        found = of_task(self._all.artifacts.items(), run_id, task)
        return page(found, lambda one: (one.step, one.number, one.name), after, limit)

    def outputs(self, run_id: int, tasks: Sequence[TaskId]) -> dict[TaskId, dict[str, ArtifactRecord]]:
        """See ``MetadataStore``."""
        return {
            TaskId(*task): {item.name: item for item in self.artifacts(run_id, task) if item.kind == "output"}
            for task in tasks
        }

    def parents(self, run_id: int, task: TaskId) -> list[TaskId]:
        """See ``MetadataStore``."""
        edges = [edge for edge in self.edges(run_id) if (edge.child_step, edge.child_number) == tuple(task)]
        return sorted([TaskId(edge.parent_step, edge.parent_number) for edge in edges])

    def children(self, run_id: int, task: TaskId) -> list[TaskId]:
        """See ``MetadataStore``."""
        edges = [edge for edge in self.edges(run_id) if (edge.parent_step, edge.parent_number) == tuple(task)]
        return sorted([TaskId(edge.child_step, edge.child_number) for edge in edges])

    def edges(self, run_id: int, *, after: Edge | None = None, limit: int = 0) -> list[Edge]:
        """See ``MetadataStore``."""
        found = sorted([edge for edge in self._all.edges if edge.run_id == run_id], key=edge_key)
        return page(found, edge_key, None if after is None else edge_key(after), limit)

    def logs(
        self, run_id: int, task: TaskId | None, attempt: int | None = None, after: int = 0, limit: int = 0
    ) -> list[LogChunk | LogSegment]:
        """See ``MetadataStore``."""
        found = [
            one
            for one in sorted(self._all.logs.values(), key=lambda one: one.id)
            if one.run_id == run_id
            and (task is None or (one.step, one.number) == tuple(task))
            and attempt in (None, one.attempt)
        ]
        return page(found, lambda one: one.id, after, limit)

    def segments(self, run_id: int, *, after: int = 0, limit: int = 0) -> list[LogSegment]:
        """See ``MetadataStore``."""
        found = [one for one in self.logs(run_id, None, after=after) if isinstance(one, LogSegment)]
        return page(found, lambda one: one.id, None, limit)

    def log_position(self, run_id: int) -> int:
        """See ``MetadataStore``."""
        return max([one.id for one in self._all.logs.values() if one.run_id == run_id], default=0)

    def metrics(
        self, run_id: int, name: str | None = None, *, task: TaskId | None = None, after: int = 0, limit: int = 0
    ) -> list[MetricChunk]:
        """See ``MetadataStore``."""
        found = [
            chunk
            for chunk in self._all.metrics
            if chunk.run_id == run_id
            and name in (None, chunk.name)
            and (task is None or (chunk.step, chunk.number) == tuple(task))
        ]
        return page(found, lambda one: one.id, after, limit)

    def metric_summaries(self, run_ids: Sequence[int]) -> list[MetricSummary]:
        """See ``MetadataStore``."""
        return summed_up(chunk for chunk in self._all.metrics if chunk.run_id in run_ids)

    def tags(self, run_ids: Sequence[int], *, after: tuple[int, str] | None = None, limit: int = 0) -> list[Tag]:
        """See ``MetadataStore``."""
        found = [tag for key, tag in sorted(self._all.tags.items()) if key[0] in run_ids]
        return page(found, lambda one: (one.run_id, one.name), after, limit)

    def params(self, run_ids: Sequence[int], *, after: tuple[int, str] | None = None, limit: int = 0) -> list[Param]:
        """See ``MetadataStore``."""
        found = [param for key, param in sorted(self._all.params.items()) if key[0] in run_ids]
        return page(found, lambda one: (one.run_id, one.name), after, limit)

    def flags(self, run_ids: Sequence[int]) -> list[RunFlags]:
        """See ``MetadataStore``."""
        return [flags for run_id, flags in sorted(self._all.flags.items()) if run_id in run_ids]

    def waits(self, run_id: int) -> list[Wait]:
        """See ``MetadataStore``."""
        found = [wait for wait in self._all.waits.values() if wait.run_id == run_id]
        return sorted(found, key=lambda wait: (wait.created, wait.key))

    # --- cache and signals ---

    def cached(self, key: bytes, project: str) -> CacheEntry | None:
        """See ``MetadataStore``."""
        found = [entry for where, entry in self._all.cache if (where, entry.key) == (project, key)]
        return min(found, key=lambda one: (-one.created, one.run_id, one.step, one.number), default=None)

    def cached_of_run(self, run_id: int) -> list[CacheEntry]:
        """See ``MetadataStore``."""
        found = [entry for _, entry in self._all.cache if entry.run_id == run_id]
        return sorted(found, key=lambda one: (one.step, one.number, one.created))

    def forget_cached(self, entry: CacheEntry, project: str, *, result: bool = False) -> None:
        """See ``MetadataStore``."""
        with self._lock:
            for where, one in list(self._all.cache):
                same = (one.key, one.created) == (entry.key, entry.created) if result else one == entry
                if where == project and same:
                    del self._all.cache[where, one]

    def send(self, run_id: int, kind: str, name: str, value: bytes, sender: str, now: float) -> None:
        """See ``MetadataStore``."""
        with self._lock:
            self._arrived += 1
            signal = Signal(
                id=self._arrived, run_id=run_id, kind=kind, name=name, value=value, sender=sender, created=now
            )
            self._all.signals.append(signal)
            for one in list(self._subscriptions):
                one.hear(signal)

    def subscribe(self, run_id: int, after: int, heard: Callable[[Signal], None]) -> Subscription:
        """See ``MetadataStore``; it is the sender's thread that ``heard`` is called in."""
        with self._lock:
            made = Subscription(self._subscriptions, self._lock, run_id, heard)
            self._subscriptions.append(made)
            for signal in self.signals(run_id, after):
                made.hear(signal)
            return made

    def signals(self, run_id: int, after: int = 0) -> list[Signal]:
        """See ``MetadataStore``."""
        return [signal for signal in self._all.signals if signal.run_id == run_id and signal.id > after]

    # --- keeping house ---

    def referenced_blobs(self) -> Iterator[bytes]:
        """See ``MetadataStore``."""
        packed = [artifact.value for artifact in self._all.artifacts.values()]
        packed += [attempt.exception for attempt in self._all.attempts.values() if attempt.exception is not None]
        inputs: list[Input] = [item for task in self._all.tasks.values() for item in task.inputs]
        for run in self._all.runs.values():
            inputs += run.inputs
            if run.details:
                details = msgspec.msgpack.decode(run.details, type=RunDetails)
                code = details.code.package if details.code is not None else None
                yield from [blob.digest for blob in (*details.sources.values(), details.git_diff, code) if blob]
        yield from [one.blob.digest for one in self._all.logs.values() if isinstance(one, LogSegment)]
        for value in [*packed, *[item.value for item in inputs]]:
            yield from [blob.digest for blob in value.blobs]

    def code_packages(self) -> Iterator[Blob]:
        """See ``MetadataStore``."""
        details = [
            msgspec.msgpack.decode(run.details, type=RunDetails) for run in self._all.runs.values() if run.details
        ]
        yield from dict.fromkeys([one.code.package for one in details if one.code is not None])

    def export(self, run_id: int) -> Mapping[str, list[bytes]]:
        """See ``MetadataStore``."""
        run = self._all.runs.get(run_id)
        if run is None:
            return {}
        rows: dict[str, list[Row]] = {
            "run_details": [(run_id, _rows.pack_tuple(run.inputs), run.details)],
            "tasks": [_rows.task_row(task) for task in self.tasks(run_id)],
            "shared_values": [],
            "attempts": [_rows.attempt_row(one) for one in of_task(self._all.attempts.items(), run_id, None)],
            "artifacts": [_rows.artifact_row(artifact) for artifact in self.artifacts(run_id)],
            "edges": [_rows.edge_row(edge) for edge in self.edges(run_id)],
            "logs": [log_row(one) for one in self.logs(run_id, None)],
            "metrics": [_rows.metric_row(chunk) for chunk in self.metrics(run_id)],
            "metric_summaries": _rows.summary_rows(self.metrics(run_id)),
            "tags": [_rows.tag_row(tag) for tag in self.tags([run_id])],
            "params": [_rows.param_row(param) for param in self.params([run_id])],
            "waits": [_rows.wait_row(wait) for wait in self.waits(run_id)],
        }
        return _transfer.packed(_rows.run_row(run), rows)

    def import_rows(self, rows: Mapping[str, Iterable[bytes]], project: str) -> RunRecord:
        """See ``MetadataStore``."""
        read = _transfer.read_export(rows)
        with self._lock:
            inputs, details = read["run_details"][0] if read["run_details"] else (b"", b"")
            run = _rows.run_of((0, *read["runs"][0]), inputs, details)
            run = msgspec.structs.replace(run, project=project)
            if run.state is RunState.RUNNING:
                run = msgspec.structs.replace(run, state=RunState.INTERRUPTED)
            if self.run(run.flow, run.number, project) is not None:
                run = msgspec.structs.replace(run, number=self._all.numbers.get((project, run.flow), 0) + 1)
            run = self._add_run(run)
            shared = _transfer.shared_of(read)
            for row in read["tasks"]:
                self._put(_rows.task_of((run.id, *row), shared))
            for table, make in MAKERS.items():
                for row in read[table]:
                    self._put(make((run.id, *row)))
            return run

    def compact(self) -> int:
        """See ``MetadataStore``."""
        return 0

    def close(self) -> None:
        """See ``MetadataStore``."""
