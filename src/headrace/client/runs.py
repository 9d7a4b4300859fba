"""``headrace.Run``, ``Task`` and ``Artifact``: what was run, read back as Python objects.

Everything is loaded when it is asked for, and asked for again while it may change, so that a run can be watched from
another process. Objects are unpickled in the process that asks: only read runs of people you trust.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from types import SimpleNamespace
from typing import Any, overload

from headrace._base.sizes import format_duration, format_size
from headrace.client.attempts import Attempt
from headrace.client.facts import RunFacts, page_at
from headrace.client.html import html_facts, html_preview, html_table, html_text, text_table
from headrace.client.logs import Printed, task_log
from headrace.client.metrics import Metrics
from headrace.client.object_loader import load
from headrace.client.source import RunReader, moment, open_run, shown
from headrace.client.stored_value import StoredValue
from headrace.client.views import Inputs, LogText, Named, missing
from headrace.model.errors import NotFoundError, RemoteTraceback, RunFailedError, TaskError, UsageError
from headrace.model.records import FLOW_TASK, ArtifactRecord, RunRecord, TaskId, TaskRecord
from headrace.model.states import FINAL_TASK_STATES, TaskState
from headrace.services.live_counts import LOST
from headrace.services.names import Name, find_task, parse_name, read_task, task_name
from headrace.services.run_rows import CRASHED
from headrace.settings import Settings, without_password
from headrace.wiring import Scope, scope_at

_PAGE = 1000
_SHOWN = 20
#: The record of a task that is over is asked for again when it is older than this: a resume may run it again.
_FRESH = 0.5
_FATES = {"cancelled": "was cancelled", "interrupted": "was interrupted"}


class Run(RunFacts):
    """One execution of a flow. ``Run("train/42")``, or ``Run("train")`` for the newest of a flow.

    ``run["fit"]`` are the tasks of a step, ``run["fit"][2]`` is ``train/42/fit/2``.

    Raises:
        NotFoundError: there is no such run.
    """

    def __init__(self, name: str) -> None:
        self._open(name, None)

    def _open(self, name: str, scope: Scope | None) -> None:
        if parse_name(name.removesuffix("/latest")).step:
            raise NotFoundError(f"{name!r} names a task, not a run; use headrace.Task({name!r})")
        self._reader = open_run(name, scope)

    @classmethod
    def _in(cls, scope: Scope | None, name: str) -> Run:
        run = cls.__new__(cls)
        run._open(name, scope)
        return run

    @classmethod
    def _of(cls, reader: RunReader) -> Run:
        run = cls.__new__(cls)
        run._reader = reader
        return run

    @property
    def record(self) -> RunRecord:
        """The whole row of the run as it stands in the store."""
        return self._reader.record(complete=True)

    def __getitem__(self, step: str) -> Tasks:
        """The tasks of a step; raises NotFoundError, a KeyError, when the run has none of it."""
        if step not in self.steps:
            raise missing("step", step, self.name, list(self.steps))
        return Tasks(self._reader, step)

    def __contains__(self, step: object) -> bool:
        return step in self.steps

    def __iter__(self) -> Iterator[str]:
        return iter(self.steps)

    @property
    def tasks(self) -> Tasks:
        """All tasks of the run."""
        return Tasks(self._reader, None)

    @property
    def artifacts(self) -> Named[Artifact]:
        """All its artifacts: ``result`` of the flow, what the flow logged, and ``fit/2/result`` of tasks."""
        records = shown(self._reader.metadata.artifacts(self._reader.id))
        found = [Artifact._of(self._reader, record) for record in records]
        return Named("artifact", self.name, {one._key: one for one in found}, Artifact._brief)

    @property
    def result(self) -> Any:
        """What the flow returned, loaded anew each time.

        Raises:
            RunFailedError: it returned nothing because it failed, crashed or was stopped.
            UsageError: it is still running, or a script without a flow.
        """
        record = self._reader.record(fresh=True)
        state = self.state
        for artifact in self._reader.metadata.artifacts(self._reader.id, FLOW_TASK) if state == "succeeded" else ():
            if artifact.name == "result":
                return load(artifact.value, self._reader)
        if state == "running":
            raise UsageError(f"run {self.name} is running; wait for its result with .wait()")
        if record.dialect == "track":
            raise UsageError(f"run {self.name} was recorded by headrace.track, it has no result; see .artifacts")
        told = f": {record.error}" if record.error else ""
        failed = RunFailedError(f"run {self.name} has no result, it {_FATES.get(state, state)}{told}")
        raise failed from (RemoteTraceback(record.traceback) if record.traceback else None)

    @property
    def failed_task(self) -> Task | None:
        """The task whose failure ended the run, when one did."""
        step, _, number = self._reader.record().failed_task.rpartition("/")
        known = read_task(number)
        record = None if known is None else self._reader.metadata.task(self._reader.id, TaskId(step, known))
        return None if record is None else Task._of(self._reader, record)

    def wait(self, timeout: float | None = None) -> Run:
        """Wait until it is over, however it ends, and return it.

        Raises:
            TimeoutError: it still runs after ``timeout`` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.02
        while self._reader.state(fresh=True) == "running":
            left = pause if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"run {self.name} is still running after {timeout:g} s")
            time.sleep(min(pause, left))
            pause = min(0.5, pause * 1.5)
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and _place(self._reader) == _place(other._reader)

    def __hash__(self) -> int:
        return hash(_place(self._reader))

    def __reduce__(self) -> Any:
        return _pickled(Run, self.name, self._reader.source)


def _pickled(kind: type[Run] | type[Task], name: str, scope: Scope) -> Any:
    """Found again by name: where ``connect`` said, else in the scope of the process that loads it."""
    return (reopen, (kind, name, without_password(scope.settings))) if scope.named else (kind, (name,))


def reopen(kind: type[Run] | type[Task], name: str, settings: Settings) -> Run | Task:
    """The run or task of that name where ``settings`` say; raises NotFoundError."""
    return kind._in(scope_at(settings), name)


def _place(reader: RunReader) -> tuple[str, int]:
    return (reader.metadata.url, reader.id)


# --- tasks ------------------------------------------------------------------------------------------------------


class Task(Printed):
    """One execution of a step: ``Task("train/42/fit/3")``, or ``Task("train/fit/3")`` in the newest run.

    Raises:
        NotFoundError: there is no such task.
    """

    def __init__(self, name: str) -> None:
        self._open(name, None)

    @classmethod
    def _in(cls, scope: Scope | None, name: str) -> Task:
        task = cls.__new__(cls)
        task._open(name, scope)
        return task

    def _open(self, name: str, scope: Scope | None) -> None:
        parsed = parse_name(name.replace("/latest/", "/", 1))
        self._reader = open_run(parsed.flow if parsed.number is None else f"{parsed.flow}/{parsed.number}", scope)
        self._record = find_task(self._reader.metadata, self._reader.record(), parsed)
        self._read = time.monotonic()

    @classmethod
    def _of(cls, reader: RunReader, record: TaskRecord) -> Task:
        task = cls.__new__(cls)
        task._reader, task._record, task._read = reader, record, time.monotonic()
        return task

    def _now(self) -> TaskRecord:
        if self._record.state not in FINAL_TASK_STATES or time.monotonic() - self._read > _FRESH:
            found = self._reader.metadata.task(self._reader.id, self.id)
            if found is None:
                raise NotFoundError(f"task {self.name} was deleted with its run")
            self._record, self._read = found, time.monotonic()
        return self._record

    @property
    def id(self) -> TaskId:
        """Step and number."""
        return self._record.id

    @property
    def name(self) -> str:
        """``train/42/fit/3``."""
        return f"{self._reader.name}/{self._record.id}"

    @property
    def step(self) -> str:
        """The name of its step."""
        return self._record.step

    @property
    def number(self) -> int:
        """Which task of its step it is in its run, counted from 1."""
        return self._record.number

    @property
    def run(self) -> Run:
        """The run it is part of."""
        return Run._of(self._reader)

    @property
    def state(self) -> str:
        """``running``, ``delayed``, ``succeeded``, ``failed``, ``cancelled`` or ``stale``.

        A task that ran when its run crashed is ``lost``.
        """
        state = self._now().state
        return LOST if state is TaskState.RUNNING and self._reader.state() == CRASHED else str(state)

    @property
    def error(self) -> str:
        """The last line of its failure; empty when it did not fail."""
        return self._now().error

    @property
    def traceback(self) -> LogText:
        """The traceback of its last attempt; empty when that did not fail."""
        attempts = self.attempts
        return attempts[-1].traceback if attempts else LogText("")

    @property
    def exception(self) -> BaseException | None:
        """What its last attempt raised, as an object where it can be one."""
        attempts = self.attempts
        return attempts[-1].exception if attempts else None

    @property
    def started(self) -> datetime | None:
        """When its last attempt began, in local time."""
        return moment(self._now().started)

    @property
    def finished(self) -> datetime | None:
        """When it ended, in local time; None before."""
        return moment(self._now().finished)

    @property
    def duration(self) -> float | None:
        """Seconds it took, or takes so far; None before it started."""
        record = self._now()
        if record.started is None:
            return None
        if record.finished is None and (record.state is not TaskState.RUNNING or self._reader.state() == CRASHED):
            return None
        return max(0.0, (record.finished or time.time()) - record.started)

    @property
    def cpu_seconds(self) -> float:
        """Processor time of all its attempts."""
        return sum(attempt.cpu_seconds for attempt in self.attempts)

    @property
    def peak_memory(self) -> int:
        """The most bytes that one of its attempts occupied."""
        return max((attempt.peak_memory for attempt in self.attempts), default=0)

    @property
    def attempts(self) -> list[Attempt]:
        """Its attempts, first to last."""
        return [Attempt(self._reader, one) for one in self._reader.metadata.attempts(self._reader.id, self.id)]

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of its step."""
        return self._record.tags

    @property
    def reused_from(self) -> str:
        """``train/41/fit/3`` when its result came from the cache, else empty."""
        return self._now().reused_from

    # --- values -----------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> Inputs:
        """Its arguments by name, as the function got them; each is loaded when it is asked for."""
        return Inputs(self._reader, self.name, self._record.inputs)

    @property
    def artifacts(self) -> Named[Artifact]:
        """Its outputs, and what it logged, by name."""
        return self._artifacts(("output", "logged"))

    @property
    def outputs(self) -> Named[Artifact]:
        """Its outputs by name: ``result``, or one for each field of what the step returns."""
        return self._artifacts(("output",))

    def _artifacts(self, kinds: tuple[str, ...]) -> Named[Artifact]:
        records = self._reader.metadata.artifacts(self._reader.id, self.id)
        found = {one.name: Artifact._of(self._reader, one) for one in records if one.kind in kinds}
        return Named("artifact", self.name, found, Artifact._brief)

    @property
    def result(self) -> Any:
        """What the step returned, loaded anew each time.

        The outputs of a task of another dialect, which has no one result, come as a ``SimpleNamespace``.

        Raises:
            TaskError: it failed or was cancelled; UsageError: it has not finished.
        """
        outputs = self.outputs
        record = self._now()
        if not outputs:
            if record.state not in FINAL_TASK_STATES:
                raise UsageError(f"task {self.name} has no result yet, it is {record.state}")
            trace = self.traceback
            told = f": {record.error}" if record.error else ""
            fate = "failed" if record.state is TaskState.FAILED else f"is {record.state}"
            raise TaskError(f"task {self.name} has no result, it {fate}{told}") from (
                RemoteTraceback(trace) if trace else None
            )
        if "result" in outputs:
            return outputs["result"].value
        return SimpleNamespace(**{name: artifact.value for name, artifact in outputs.items()})

    @property
    def metrics(self) -> Metrics:
        """What it logged, by name."""
        return Metrics(self._reader, self.id)

    def _log(self, stream: str) -> LogText:
        return task_log(self._reader, self.id, self._now().attempts or None, stream)

    # --- lineage ----------------------------------------------------------------------------------------------

    @property
    def parents(self) -> list[Task]:
        """The tasks whose outputs went into this one."""
        return _tasks(self._reader, self._reader.metadata.parents(self._reader.id, self.id))

    @property
    def children(self) -> list[Task]:
        """The tasks that took an output of this one."""
        return _tasks(self._reader, self._reader.metadata.children(self._reader.id, self.id))

    # --- showing ----------------------------------------------------------------------------------------------

    def _row(self) -> tuple[str, ...]:
        duration = self.duration
        short = str(self.id)
        return (short, self.state, "" if duration is None else format_duration(duration), self.error)

    def __repr__(self) -> str:
        return f"<task {self.name}: {', '.join(part for part in self._row()[1:] if part)}>"

    def _repr_html_(self) -> str:
        _, state, duration, error = self._row()
        peak = format_size(self.peak_memory) if self.peak_memory else ""
        cpu = format_duration(self.cpu_seconds) if self.cpu_seconds else ""
        facts = [("state", state), ("duration", duration), ("cpu", cpu), ("peak memory", peak), ("error", error)]
        more = self.inputs._repr_html_() + self.artifacts._repr_html_() + html_text(self.traceback)
        return html_facts(f"task {self.name}", facts, more, page_at(self._reader.source, self.name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and (_place(self._reader), self.id) == (_place(other._reader), other.id)

    def __hash__(self) -> int:
        return hash((_place(self._reader), self.id))

    def __reduce__(self) -> Any:
        return _pickled(Task, self.name, self._reader.source)


def _tasks(reader: RunReader, ids: list[TaskId]) -> list[Task]:
    records = [reader.metadata.task(reader.id, one) for one in ids]
    return [Task._of(reader, record) for record in records if record is not None]


class Tasks:
    """The tasks of a step, or of a run, in order.

    ``tasks[2]`` of a step is task *number* 2, counted from 1 as in ``train/42/fit/2``; ``tasks[-1]`` is the last one.
    Slices go by position as everywhere: ``tasks[:2]`` are the first two. Of a whole run, where numbers repeat from
    step to step, ``run.tasks[i]`` goes by position too.
    """

    def __init__(self, reader: RunReader, step: str | None) -> None:
        self._reader = reader
        self._step = step

    def __len__(self) -> int:
        counts = self._reader.metadata.step_counts(self._reader.id)
        return sum(one.count for one in counts if one.step and self._step in (None, one.step))

    def __iter__(self) -> Iterator[Task]:
        for step in [self._step] if self._step is not None else Run._of(self._reader).steps:
            after = 0
            while records := self._reader.metadata.tasks(self._reader.id, step, after=after, limit=_PAGE):
                yield from [Task._of(self._reader, record) for record in records]
                after = records[-1].number

    @overload
    def __getitem__(self, number: int) -> Task: ...

    @overload
    def __getitem__(self, number: slice) -> list[Task]: ...

    def __getitem__(self, number: int | slice) -> Task | list[Task]:
        if isinstance(number, slice):
            ahead = number.start is None or number.start >= 0
            bounded = ahead and number.stop is not None and number.stop >= 0
            return list(islice(self, number.stop) if bounded else self)[number]
        if number < 0 or self._step is None:
            try:
                return list(self)[number]
            except IndexError:
                raise missing("task", number, self._owner, [f"{len(self)} tasks"]) from None
        name = Name(self._reader.flow, self._reader.number, self._step, number)
        return Task._of(self._reader, find_task(self._reader.metadata, self._reader.record(), name))

    @property
    def _owner(self) -> str:
        return self._reader.name if self._step is None else f"{self._reader.name}/{self._step}"

    def _rows(self, limit: int) -> list[tuple[str, ...]]:
        return [task._row() for task in self[:limit]]

    def _rest(self, limit: int) -> str:
        return f"... {len(self)} tasks" if len(self) > limit else ""

    def __repr__(self) -> str:
        table = text_table(("task", "state", "duration", "error"), self._rows(_SHOWN))
        return "\n".join(part for part in (f"<tasks of {self._owner}>", table, self._rest(_SHOWN)) if part)

    def _repr_html_(self) -> str:
        rows, rest = self._rows(_SHOWN), self._rest(_SHOWN)
        return html_table(f"tasks of {self._owner}", ("task", "state", "duration", "error"), rows, rest)


# --- artifacts --------------------------------------------------------------------------------------------------


class Artifact(StoredValue):
    """A named output of a task, or what it logged: ``Artifact("train/42/fit/3/model")``; ``result`` may be left out.

    Raises:
        NotFoundError: there is no such artifact.
    """

    def __init__(self, name: str) -> None:
        self._open(name, None)

    @classmethod
    def _in(cls, scope: Scope | None, name: str) -> Artifact:
        artifact = cls.__new__(cls)
        artifact._open(name, scope)
        return artifact

    def _open(self, name: str, scope: Scope | None) -> None:
        parsed = parse_name(name.replace("/latest/", "/", 1))
        if parsed.step and parsed.task is not None:
            found = Task._in(scope, name.removesuffix(f"/{parsed.output}") if parsed.output else name).artifacts
        else:
            run = Run._in(scope, parsed.flow if parsed.number is None else f"{parsed.flow}/{parsed.number}")
            found = run.artifacts
        artifact = found[parsed.output or (parsed.step if parsed.task is None else "") or "result"]
        self._reader, self._record = artifact._reader, artifact._record

    @classmethod
    def _of(cls, reader: RunReader, record: ArtifactRecord) -> Artifact:
        artifact = cls.__new__(cls)
        artifact._reader, artifact._record = reader, record
        return artifact

    @property
    def name(self) -> str:
        """``result``, or what the step or the call that logged it named it."""
        return self._record.name

    @property
    def _task_id(self) -> TaskId:
        return TaskId(self._record.step, self._record.number)

    @property
    def _key(self) -> str:
        return f"{self._task_id}/{self.name}" if self._record.step else self.name

    @property
    def path(self) -> str:
        """Its name in full: ``train/42/fit/3/result``."""
        return f"{task_name(self._reader.record(), self._task_id)}/{self.name}"

    @property
    def producer(self) -> Task | None:
        """The task that made it. Of a flow's result, one that returned the very same; None when none did."""
        if self._record.step:
            return next(iter(_tasks(self._reader, [self._task_id])), None)
        for other in self._reader.metadata.artifacts(self._reader.id):
            if other.step and other.kind == "output" and other.value.digest == self._record.value.digest:
                return next(iter(_tasks(self._reader, [TaskId(other.step, other.number)])), None)
        return None

    @property
    def consumers(self) -> list[Task]:
        """The tasks of its run that took it as an argument, or inside one."""
        wanted = {(*self._task_id, self.name), (*self._task_id, "result")}  # itself, or as a part of the whole
        children = _tasks(self._reader, self._reader.metadata.children(self._reader.id, self._task_id))
        return [
            child
            for child in children
            if any((s.step, s.number, s.output) in wanted for one in child._record.inputs for s in one.sources)
        ]

    def _brief(self) -> str:
        text = " ".join(self.preview.text.split())
        return ", ".join(part for part in (self.type, format_size(self.size), text[:60]) if part)

    def __repr__(self) -> str:
        return f"<artifact {self.path}: {self._brief()}>"

    def _repr_html_(self) -> str:
        facts = [("type", self.type), ("size", format_size(self.size)), *self.preview.facts]
        return html_facts(f"artifact {self.path}", facts, html_preview(self.preview))
