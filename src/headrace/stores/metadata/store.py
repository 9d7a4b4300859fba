"""The metadata store on an SQL database. What it promises is in ``protocol``; how SQL is spelt, in ``_sql``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import asdict, astuple

from headrace.model.errors import LeaseLostError, StoreAwayError, StoreDamagedError, StoreError, UsageError
from headrace.model.records import (
    FOREIGN_NUMBERS,
    ArtifactRecord,
    AttemptRecord,
    Edge,
    Lease,
    LogChunk,
    LogSegment,
    MetricChunk,
    MetricSummary,
    Param,
    QueueCount,
    Request,
    RunFlags,
    RunRecord,
    Signal,
    Tag,
    TaskId,
    TaskRecord,
    Wait,
    lease_name,
)
from headrace.model.states import IllegalTransitionError
from headrace.model.values import Blob
from headrace.stores.metadata import _filters, _rows, _schema, _transfer, _transitions, _writes
from headrace.stores.metadata._audited import audited
from headrace.stores.metadata._database import (
    ANSWER_SECONDS,
    DRIVER_SECONDS,
    ConflictError,
    Database,
    PatientWrite,
    RefusedStateError,
    Transaction,
    UnfitTextError,
    Write,
    patiently,
)
from headrace.stores.metadata._shared import SharedValues
from headrace.stores.metadata._signals import SignalPoller
from headrace.stores.metadata._sql import Row, Statements, parts_of
from headrace.stores.metadata._subscriptions import Subscription
from headrace.stores.metadata.protocol import ArtifactKey, AttemptKey, CacheEntry, NewRun, RunFilter, StepCount
from headrace.stores.metadata.protocol import Write as Written

#: How often a transaction that lost against another is tried.
_CHANCES = 5


class _Doubt(msgspec.Struct, frozen=True):
    """A commit that the database did not confirm, and what the lease's row says since it was made."""

    writes: Sequence[Written]
    mark: int


class _Hold(msgspec.Struct, frozen=True):
    """How a commit holds its lease: extended to ``seconds`` from now, and marked."""

    lease: Lease
    seconds: float
    mark: int
    in_order: bool = False  # the mark must be greater than that of the commit before


class SqlMetadata:
    """A ``MetadataStore`` in SQLite or PostgreSQL; made by ``open_metadata``."""

    def __init__(self, database: Database, *, patient: bool = True) -> None:
        self.url = database.url
        self._database = database
        self._statements: Statements = database.statements
        self._patient = patient
        self._in_doubt: _Doubt | None = None
        self._signals = SignalPoller(database)
        self._shared = SharedValues()

    @property
    def database(self) -> Database:
        """The open database, for what else is in it."""
        return self._database

    def hasty(self) -> SqlMetadata:
        """See ``MetadataStore``."""
        store = SqlMetadata(self._database, patient=False)
        store._signals = self._signals
        return store

    def _writing(self) -> Write:
        if self._patient:
            return audited(PatientWrite(self._database.write(ANSWER_SECONDS)), self._database)
        return audited(self._database.write(DRIVER_SECONDS), self._database)

    def _rows(self, text: str, params: Row = ()) -> list[Row]:
        if self._patient:
            return patiently(lambda: self._database.rows(text, params))
        return self._database.rows(text, params, DRIVER_SECONDS)

    def _select(self, *names: str, **values: object) -> list[Row]:
        statement = self._statements(*names)
        return self._rows(statement.text, statement.bind(values))

    def _ask(self, text: str, **values: object) -> list[Row]:
        statement = self._statements.compile(text)
        return self._rows(statement.text, statement.bind(values))

    def _within(self, transaction: Transaction, /, *names: str, **values: object) -> list[Row]:
        statement = self._statements(*names)
        return transaction.rows(statement.text, statement.bind(values))

    def _change(self, transaction: Transaction, which: str, /, **values: object) -> None:
        statement = self._statements(which)
        transaction.change(statement.text, statement.bind(values))

    # --- leases and writing ---

    def acquire(self, name: str, owner: str, seconds: float, *, dead: str = "") -> Lease | None:
        """See ``MetadataStore``."""
        with self._writing() as transaction:
            return self._acquire(transaction, name, owner, seconds, dead)

    def _acquire(self, transaction: Transaction, name: str, owner: str, seconds: float, dead: str) -> Lease | None:
        self._check_version(transaction)
        token = self._within(transaction, "next_token")[0][0]
        taken = self._within(transaction, "take_lease", name=name, owner=owner, token=token, seconds=seconds, dead=dead)
        return Lease(name=name, owner=owner, token=token, left=seconds) if taken else None

    def _check_version(self, transaction: Transaction) -> None:
        """Refuse to go on with a database that a newer Headrace migrated while this process had it open."""
        _schema.check(self._within(transaction, "version")[0][0], self.url)

    def lease(self, name: str) -> Lease | None:
        """See ``MetadataStore``."""
        rows = self._select("lease", name=name)
        return _rows.lease_of(rows[0]) if rows else None

    def release(self, lease: Lease) -> None:
        """See ``MetadataStore``."""
        with self._writing() as transaction:
            self._change(transaction, "release", name=lease.name, token=lease.token, owner=lease.owner)

    def commit(
        self, writes: Sequence[Written], lease: Lease | None = None, seconds: float = 0.0, number: int = 0
    ) -> None:
        """See ``MetadataStore``."""
        if lease is None:
            hold = None
        elif number:
            hold = _Hold(lease, seconds, number, in_order=True)
        else:
            hold = _Hold(lease, seconds, self._mark(writes))
        for chance in range(_CHANCES):
            try:
                self._commit(writes, hold, fit=False)
                break
            except UnfitTextError:
                self._commit(writes, hold, fit=True)
                break
            except (LeaseLostError, RefusedStateError) as error:
                if hold is not None and hold.in_order and self._is_past(hold):
                    return
                if isinstance(error, LeaseLostError):
                    raise
                _transitions.check(writes, _transitions.recorded_in(self))
                raise IllegalTransitionError(str(error)) from error
            except ConflictError:
                if chance == _CHANCES - 1:
                    raise
                time.sleep(0.01 * (chance + 1))
            except StoreAwayError:
                if hold is not None and hold.mark and not hold.in_order:
                    self._in_doubt = _Doubt(writes, hold.mark)
                raise
            except StoreError:
                with self._writing() as transaction:  # tables may be others than this version knows
                    self._check_version(transaction)
                raise
        self._in_doubt = None

    def _mark(self, writes: Sequence[Written]) -> int:
        """What a server's row says once ``writes`` were committed, so that this can be known without its answer.

        0 where the connection cannot break between a commit and its answer.
        """
        if self._database.one_writer:
            return 0
        doubt = self._in_doubt
        return doubt.mark if doubt is not None and doubt.writes is writes else int.from_bytes(os.urandom(7)) + 1

    def _commit(self, writes: Sequence[Written], hold: _Hold | None, fit: bool) -> None:
        with self._writing() as transaction:
            if hold is not None:
                doubt = self._in_doubt
                if doubt is not None and doubt.mark == hold.mark and self._was_made(transaction, hold):
                    return
                self._hold(transaction, hold)
            else:
                _writes.find_runs(writes, transaction, self._statements, shared=not self._database.one_writer)
            fresh = _writes.apply(writes, transaction, self._statements, self._shared, fit=fit)
        if fresh:
            self._shared.confirm(fresh)

    def _is_past(self, hold: _Hold) -> bool:
        """Whether the owner of the lease made this commit, or a later one."""
        lease = hold.lease
        rows = self._select("last_commit", name=lease.name, token=lease.token, owner=lease.owner)
        return bool(rows) and rows[0][0] >= hold.mark

    def _was_made(self, transaction: Transaction, hold: _Hold) -> bool:
        """Whether the server made a commit that it did not confirm; waits for it where it is still at work."""
        lease = hold.lease
        rows = self._within(transaction, "lock_lease", name=lease.name, token=lease.token, owner=lease.owner)
        return bool(rows) and rows[0][0] == hold.mark

    def _hold(self, transaction: Transaction, hold: _Hold) -> None:
        """See to it that the lease is held, and long enough; a row is only written when it changes."""
        lease = hold.lease
        if not (hold.seconds or hold.mark):  # every commit but one a second
            held = transaction.rows(self._statements.texts["check_lease"], (lease.name, lease.token, lease.owner))
            if held:
                return
        lost = LeaseLostError(
            f"{lease.owner} no longer holds {lease.name}: another process has taken it over, or the run was deleted"
        )
        keep = self._statements("keep_lease_in_order" if hold.in_order else "keep_lease")
        values = {"name": lease.name, "token": lease.token, "owner": lease.owner, "note": lease.note}
        transaction.must_change(keep.text, keep.bind({**values, "seconds": hold.seconds, "mark": hold.mark}), lost)

    # --- runs ---

    def create_run(self, run: NewRun) -> RunRecord:
        """See ``MetadataStore``."""
        with self._writing() as transaction:
            return self._create_run(transaction, run)

    def open_run(self, run: NewRun, owner: str, seconds: float) -> tuple[RunRecord, Lease]:
        """See ``MetadataStore``."""
        with self._writing() as transaction:
            made = self._create_run(transaction, run)
            lease = self._acquire(transaction, lease_name(made.id), owner, seconds, "")
            if lease is None:
                raise StoreDamagedError(f"{self.url}: the new run {made.name} has a lease already")
        return made, lease

    def _create_run(self, transaction: Transaction, run: NewRun) -> RunRecord:
        given = {**asdict(run), "number": self._number_for(transaction, run)}
        inputs = given.pop("inputs")
        run_id = self._within(transaction, "insert_run", **given)[0][0]
        self._change(transaction, "insert_details", run_id=run_id, inputs=inputs, details=b"")
        row = self._within(transaction, "run_columns", "run_by_id", run_id=run_id)[0]
        return _rows.run_of(row, run.inputs)

    def _number_for(self, transaction: Transaction, run: NewRun) -> int:
        flow = {"project": run.project, "flow": run.flow}
        if run.number is None:
            number: int = self._within(transaction, "next_number", **flow)[0][0]
            return number
        if self._within(transaction, "run_columns", "run_by_name", **flow, number=run.number):
            raise UsageError(f"there is a run {run.flow}/{run.number} already")
        if run.number < FOREIGN_NUMBERS:
            self._change(transaction, "reserve_number", **flow, number=run.number)
        return run.number

    def _run(self, condition: str, **values: object) -> RunRecord | None:
        rows = self._select("run_columns", condition, **values)
        if not rows:
            return None
        large = self._select("details", run_id=rows[0][0])
        inputs, details = large[0] if large else (b"", b"")
        return _rows.run_of(rows[0], inputs, details)

    def run(self, flow: str, number: int, project: str = "default") -> RunRecord | None:
        """See ``MetadataStore``."""
        return self._run("run_by_name", project=project, flow=flow, number=number)

    def run_by_id(self, run_id: int) -> RunRecord | None:
        """See ``MetadataStore``."""
        return self._run("run_by_id", run_id=run_id)

    def latest_run(self, flow: str | None = None, project: str = "default") -> RunRecord | None:
        """See ``MetadataStore``."""
        if flow is None:
            return self._run("latest_run", project=project)
        return self._run("latest_run_of_flow", project=project, flow=flow)

    def runs(self, want: RunFilter) -> list[RunRecord]:
        """See ``MetadataStore``."""
        text, values = _filters.conditions(want)
        statement = self._statements.compile(self._statements.source("run_columns") + text)
        return [_rows.run_of(row) for row in self._rows(statement.text, tuple(values))]

    def flows(self, project: str = "default") -> list[tuple[str, int, float]]:
        """See ``MetadataStore``."""
        return [(flow, count, newest) for flow, count, newest in self._select("flows", project=project)]

    def projects(self) -> list[str]:
        """See ``MetadataStore``."""
        return [project for (project,) in self._select("projects")]

    def requests(self, project: str = "default", run: str = "", limit: int = 100) -> list[Request]:
        """See ``MetadataStore``."""
        rows = self._select("requests", project=project, run=run, every=int(not run), limit=limit)
        return [Request(*row) for row in rows]

    def delete_run(self, run_id: int) -> None:
        """See ``MetadataStore``."""
        with self._writing() as transaction:
            _transfer.delete(transaction, self._database, run_id)

    # --- what belongs to a run ---

    def tasks(
        self, run_id: int, step: str | None = None, *, states: Sequence[str] = (), after: int = 0, limit: int = 0
    ) -> list[TaskRecord]:
        """See ``MetadataStore``."""
        text = self._statements.source("task_columns") + " WHERE run_id = :run_id"
        values: dict[str, object] = {"run_id": run_id}
        if step is not None:
            text += " AND step = :step AND number > :after"
            values |= {"step": step, "after": after}
        if states:
            named = {f"state_{chr(97 + index)}": str(state) for index, state in enumerate(states)}
            text += f" AND state IN ({', '.join([f':{name}' for name in named])})"
            values |= named
        text += " ORDER BY step, number"
        if limit:
            text += " LIMIT :limit"
            values["limit"] = limit
        return self._tasks_of(self._ask(text, **values))

    def _tasks_of(self, rows: list[Row]) -> list[TaskRecord]:
        """Tasks of one run, made whole with the values that they share."""
        named = {digest for row in rows for digest in _rows.shared_digests(row[_rows.INPUTS_AT])}
        shared: dict[bytes, bytes] = {}
        if named:
            text = self._statements.source("shared_columns") + " WHERE run_id = :run_id AND digest IN "
            for part, marks in parts_of(named):
                shared.update(self._rows(self._statements.compile(text + marks).text, (rows[0][0], *part)))
        return [_rows.task_of(row, shared) for row in rows]

    def task(self, run_id: int, task: TaskId) -> TaskRecord | None:
        """See ``MetadataStore``."""
        rows = self._select("task_columns", "of_task", run_id=run_id, step=task[0], number=task[1])
        return self._tasks_of(rows)[0] if rows else None

    def step_counts(self, run_id: int) -> list[StepCount]:
        """See ``MetadataStore``."""
        rows = self._select("step_counts", run_id=run_id)
        first: dict[str, float] = {}
        for step, _, _, created in rows:
            first[step] = min(created, first.get(step, created))
        rows.sort(key=lambda row: (first[row[0]], row[0], row[1]))
        return [StepCount(step, state, count) for step, state, count, _ in rows]

    def queue(self, run_ids: Sequence[int]) -> list[QueueCount]:
        """See ``MetadataStore``."""
        return [QueueCount(*row) for row in self._of_runs("queue_columns", run_ids, order="step")]

    def _page(
        self,
        columns: str,
        of: Mapping[str, object],
        key: Sequence[str],
        after: Sequence[object] | None,
        limit: int,
        *more: str,
    ) -> list[Row]:
        """Rows that ``of`` (by column) and ``more`` allow, by ``key``: beyond ``after``, at most ``limit`` (0: all)."""
        values = dict(of)
        conditions = [*[f"{column} = :{column}" for column in of], *more]
        if after is not None:
            marks = [f"after_{column}" for column in key]
            values |= zip(marks, after, strict=True)
            conditions.append(f"({', '.join(key)}) > ({', '.join([f':{mark}' for mark in marks])})")
        text = f"{self._statements.source(columns)} WHERE {' AND '.join(conditions)} ORDER BY {', '.join(key)}"
        if limit:
            text += " LIMIT :limit"
            values["limit"] = limit
        return self._ask(text, **values)

    def attempts(
        self, run_id: int, task: TaskId | None = None, *, after: AttemptKey | None = None, limit: int = 0
    ) -> list[AttemptRecord]:
        """See ``MetadataStore``."""
        of, key = _of_task(run_id, task), ("step", "number")
        rows = self._page("attempt_columns", of, (*key, "attempt"), after, limit)
        alone = self._page("lone_attempt_columns", of, (*key, "attempts"), after, limit, "success IS NOT NULL")
        found = [*map(_rows.attempt_of, rows), *map(_rows.lone_attempt_of, alone)]
        if rows and alone:
            found.sort(key=lambda one: (one.step, one.number, one.attempt))
        return found[:limit] if limit else found

    def artifacts(
        self, run_id: int, task: TaskId | None = None, *, after: ArtifactKey | None = None, limit: int = 0
    ) -> list[ArtifactRecord]:
        """See ``MetadataStore``."""
        rows = self._page("artifact_columns", _of_task(run_id, task), ("step", "number", "name"), after, limit)
        return [_rows.artifact_of(row) for row in rows]

    def outputs(self, run_id: int, tasks: Sequence[TaskId]) -> dict[TaskId, dict[str, ArtifactRecord]]:
        """See ``MetadataStore``."""
        by_step: dict[str, list[int]] = {}
        for step, number in tasks:
            by_step.setdefault(step, []).append(number)
        found: dict[TaskId, dict[str, ArtifactRecord]] = {TaskId(*task): {} for task in tasks}
        text = self._statements.source("artifact_columns") + (
            " WHERE run_id = :run_id AND kind = 'output' AND step = :step AND number IN "
        )
        for step, numbers in by_step.items():
            for part, marks in parts_of(numbers):
                statement = self._statements.compile(text + marks)
                params = (run_id, step, *part)
                for row in self._rows(statement.text, params):
                    found[TaskId(row[1], row[2])][row[3]] = _rows.artifact_of(row)
        return found

    def parents(self, run_id: int, task: TaskId) -> list[TaskId]:
        """See ``MetadataStore``."""
        return [_rows.task_id_of(row) for row in self._select("parents", run_id=run_id, step=task[0], number=task[1])]

    def children(self, run_id: int, task: TaskId) -> list[TaskId]:
        """See ``MetadataStore``."""
        return [_rows.task_id_of(row) for row in self._select("children", run_id=run_id, step=task[0], number=task[1])]

    def edges(self, run_id: int, *, after: Edge | None = None, limit: int = 0) -> list[Edge]:
        """See ``MetadataStore``."""
        key = ("child_step", "child_number", "parent_step", "parent_number")
        beyond = None if after is None else [getattr(after, column) for column in key]
        return [Edge(*row) for row in self._page("edge_columns", {"run_id": run_id}, key, beyond, limit)]

    def logs(
        self, run_id: int, task: TaskId | None, attempt: int | None = None, after: int = 0, limit: int = 0
    ) -> list[LogChunk | LogSegment]:
        """See ``MetadataStore``."""
        of = _of_task(run_id, task)
        if attempt is not None:
            of["attempt"] = attempt
        return [_rows.log_of(row) for row in self._page("log_columns", of, ("id",), (after,), limit)]

    def segments(self, run_id: int, *, after: int = 0, limit: int = 0) -> list[LogSegment]:
        """See ``MetadataStore``."""
        text = f"{self._statements.source('log_columns')} WHERE run_id = :run_id AND id > :after"
        text += f" AND segment IS NOT NULL ORDER BY id{f' LIMIT {limit:d}' if limit else ''}"
        found = [_rows.log_of(row) for row in self._ask(text, run_id=run_id, after=after)]
        return [one for one in found if isinstance(one, LogSegment)]

    def log_position(self, run_id: int) -> int:
        """See ``MetadataStore``."""
        return self._select("log_position", run_id=run_id)[0][0] or 0

    def metrics(
        self, run_id: int, name: str | None = None, *, task: TaskId | None = None, after: int = 0, limit: int = 0
    ) -> list[MetricChunk]:
        """See ``MetadataStore``."""
        of = _of_task(run_id, task)
        if name is not None:
            of["name"] = name
        return [_rows.metric_of(row) for row in self._page("metric_columns", of, ("id",), (after,), limit)]

    def _of_runs(
        self,
        columns: str,
        run_ids: Sequence[int],
        order: str = "name",
        after: tuple[int, str] | None = None,
        limit: int = 0,
    ) -> list[Row]:
        rows: list[Row] = []
        beyond = "" if after is None else f" AND (run_id, {order}) > (:value, :value)"
        most = f" LIMIT {limit:d}" if limit else ""
        for part, marks in parts_of(run_ids if after is None else [one for one in run_ids if one >= after[0]]):
            text = f"{self._statements.source(columns)} WHERE run_id IN {marks}{beyond} ORDER BY run_id, {order}{most}"
            rows += self._rows(self._statements.compile(text).text, (*part, *(after or ())))
            if limit and len(rows) >= limit:
                break
        return rows[:limit] if limit else rows

    def metric_summaries(self, run_ids: Sequence[int]) -> list[MetricSummary]:
        """See ``MetadataStore``."""
        return [_rows.summary_of(row) for row in self._of_runs("summary_columns", run_ids)]

    def tags(self, run_ids: Sequence[int], *, after: tuple[int, str] | None = None, limit: int = 0) -> list[Tag]:
        """See ``MetadataStore``."""
        return [Tag(*row) for row in self._of_runs("tag_columns", run_ids, "name", after, limit)]

    def params(self, run_ids: Sequence[int], *, after: tuple[int, str] | None = None, limit: int = 0) -> list[Param]:
        """See ``MetadataStore``."""
        return [_rows.param_of(row) for row in self._of_runs("param_columns", run_ids, "name", after, limit)]

    def flags(self, run_ids: Sequence[int]) -> list[RunFlags]:
        """See ``MetadataStore``."""
        return [_rows.flags_of(row) for row in self._of_runs("flags_columns", run_ids, order="run_id")]

    def waits(self, run_id: int) -> list[Wait]:
        """See ``MetadataStore``."""
        return [_rows.wait_of(row) for row in self._select("waits", run_id=run_id)]

    # --- cache and signals ---

    def cached(self, key: bytes, project: str) -> CacheEntry | None:
        """See ``MetadataStore``."""
        rows = self._select("cached", cache_key=key, project=project)
        return CacheEntry(*rows[0]) if rows else None

    def cached_of_run(self, run_id: int) -> list[CacheEntry]:
        """See ``MetadataStore``."""
        return [CacheEntry(*row) for row in self._select("cached_of_run", run_id=run_id)]

    def forget_cached(self, entry: CacheEntry, project: str, *, result: bool = False) -> None:
        """See ``MetadataStore``."""
        key, run_id, step, number, created = astuple(entry)
        with self._writing() as transaction:
            self._change(
                transaction,
                "forget_result" if result else "forget_cached",
                project=project,
                cache_key=key,
                created=created,
                run_id=run_id,
                step=step,
                number=number,
            )

    def send(self, run_id: int, kind: str, name: str, value: bytes, sender: str, now: float) -> None:
        """See ``MetadataStore``."""
        with self._writing() as transaction:
            transaction.in_order(run_id)
            self._change(
                transaction,
                "put_signal",
                run_id=run_id,
                kind=kind,
                name=name,
                body=value,
                sender=sender,
                created=now,
            )
            transaction.announce()

    def subscribe(self, run_id: int, after: int, heard: Callable[[Signal], None]) -> Subscription:
        """See ``MetadataStore``."""
        return self._signals.add(run_id, after, heard)

    def signals(self, run_id: int, after: int = 0) -> list[Signal]:
        """See ``MetadataStore``."""
        return [
            _rows.signal_of(row) for row in self._select("signal_columns", "signals_of_run", run_id=run_id, after=after)
        ]

    # --- keeping house ---

    def referenced_blobs(self) -> Iterator[bytes]:
        """See ``MetadataStore``."""
        return _transfer.referenced_blobs(self._database)

    def code_packages(self) -> Iterator[Blob]:
        """See ``MetadataStore``."""
        return _transfer.code_packages(self._database)

    def export(self, run_id: int) -> Mapping[str, list[bytes]]:
        """See ``MetadataStore``."""
        return _transfer.export(self._database, run_id)

    def import_rows(self, rows: Mapping[str, Iterable[bytes]], project: str) -> RunRecord:
        """See ``MetadataStore``."""
        read = _transfer.read_export(rows)
        with self._writing() as transaction:
            run_id = _transfer.bring_in(transaction, self._database, read, project)
        run = self.run_by_id(run_id)
        if run is None:
            raise StoreError(f"the run just brought into {self.url} was deleted by another process")
        return run

    def compact(self) -> int:
        """See ``MetadataStore``."""
        with self._writing() as transaction:
            _transfer.delete_orphans(transaction)
        return self._database.compact()

    def close(self) -> None:
        """See ``MetadataStore``."""
        self._signals.close()
        self._database.close()


def _of_task(run_id: int, task: TaskId | None) -> dict[str, object]:
    """Columns that rows of one task have in common, or those of a whole run."""
    return {"run_id": run_id} if task is None else {"run_id": run_id, "step": task[0], "number": task[1]}
