"""Tasks and artifacts of the Client API. ``runs`` has what is above them: steps, runs, flows."""

from __future__ import annotations

import pickle
from collections import namedtuple
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

from blake3 import blake3

from headrace._base.lazy import lazy
from headrace.client.object_loader import load
from headrace.frontends.metaflow.authoring.splits import Frame
from headrace.frontends.metaflow.client.base import InRun, when
from headrace.frontends.metaflow.client.code import MetaflowCode, code_of, environment_of
from headrace.frontends.metaflow.client.metadata import Metadata, entries_of
from headrace.frontends.metaflow.client.providers import SPIN
from headrace.frontends.metaflow.names import ATTEMPT, CARD, FOREACH, INPUTS, SUCCESS, TRANSITION, is_artifact, stored
from headrace.frontends.metaflow.taskids import shown, task_number
from headrace.model.records import ArtifactRecord, AttemptRecord, TaskId, TaskRecord
from headrace.model.states import FINAL_TASK_STATES, Failure, TaskState
from headrace.model.values import Packed
from headrace.services.logs import LogFilter, read_logs

#: What a task took is on record with its result; those without one are asked for what they were given.
_WITHOUT_EDGES = (TaskState.RUNNING, TaskState.FAILED, TaskState.CANCELLED)
#: Failures after which the artifacts of an attempt were written down: its process lived.
_ORDERLY = (Failure.ERROR, Failure.EXIT)
_STREAMS = {"stdout": "out", "stderr": "err"}


@stored
class Task(InRun):
    """One execution of a step; with ``attempt``, one try of it, from 0."""

    _KIND, _FORM, _PARTS = "Task", "FlowName/RunID/StepName/TaskID", 4
    _found: TaskRecord | None = None

    def _open(self) -> None:
        super()._open()
        assert self._record

    @property
    def _record(self) -> TaskRecord:
        """Its row, read again as long as it may change."""
        if self._found is None or self._found.state not in FINAL_TASK_STATES:
            step, name = self.path_components[2:]
            number = task_number(name)
            self._run.await_own_task()
            record = None if number is None else self._run.metadata.task(self._run.id, TaskId(step, number))
            if record is None:
                raise self._absent()
            self._found = record
        return self._found

    @property
    def _id(self) -> TaskId:
        return self._record.id

    # --- how it went ---

    @property
    def created_at(self) -> datetime | None:
        """When it was made."""
        return when(self._record.created)

    @property
    def current_attempt(self) -> int:
        """The number of its last attempt, or of the one that was asked for, from 0."""
        return self._attempt if self._attempt is not None else self._last

    @property
    def _last(self) -> int:
        return max(0, self._record.attempts - 1)

    def _earlier(self) -> AttemptRecord | None:
        """The attempt that was asked for and was not the last; None when it died without leaving anything."""
        records = self._run.metadata.attempts(self._run.id, self._id)
        found = [one for one in records if one.attempt == self.current_attempt + 1 and one.failure in _ORDERLY]
        return found[0] if found else None

    @property
    def finished(self) -> bool:
        """Whether it came to its end, successfully or with a failure that ``@catch`` caught."""
        return self.current_attempt == self._last and self._record.state is TaskState.SUCCEEDED

    @property
    def successful(self) -> bool:
        """Whether it came to its end without a failure, caught ones included."""
        return self.finished and SUCCESS not in self._own()

    @property
    def finished_at(self) -> datetime | None:
        """When it ended."""
        if self.current_attempt == self._last:
            return when(self._record.finished) if self._record.state in FINAL_TASK_STATES else None
        earlier = self._earlier()
        return when(earlier.finished) if earlier is not None else None

    @property
    def exception(self) -> Any:
        """What it failed with."""
        found = self._own().get("_exception")
        return None if found is None else load(found.value, self._run)

    @property
    def index(self) -> int | None:
        """Its number in the innermost foreach."""
        stack = self._stack()
        return stack[-1].index if stack else None

    def _stack(self) -> list[Frame]:
        """The foreach frames around it, outermost first."""
        for one in self._record.inputs:
            if one.name == FOREACH:
                return [Frame(*frame) for frame in load(one.value, self._run)]
        return []

    def _frames(self) -> list[Any]:
        from headrace.frontends.metaflow.client.private import frames_of

        return frames_of(self)

    @property
    def origin_pathspec(self) -> str | None:
        """The task whose result it took over."""
        return shown(self._record.reused_from) or None

    # --- artifacts ---

    def _rows(self) -> list[ArtifactRecord]:
        return self._run.metadata.artifacts(self._run.id, self._id)

    def _own(self) -> dict[str, ArtifactRecord]:
        """What the attempt made, marks that are no artifacts included."""
        if self.current_attempt != self._last:
            mark = f"{ATTEMPT}{self.current_attempt}_"
            return {row.name.removeprefix(mark): row for row in self._rows() if row.name.startswith(mark)}
        logged = self._record.state is not TaskState.SUCCEEDED  # what a failed attempt had made so far
        found = [row for row in self._rows() if row.kind == "output" or logged]
        return {row.name: row for row in found if not row.name.startswith((ATTEMPT, CARD))}

    def _table(self) -> dict[str, Packed]:
        """What it inherited and what it made."""
        if self.current_attempt != self._last and self._earlier() is None:
            return {}
        table = {one.name: one.value for one in self._record.inputs}
        table |= {name: one.value for name, one in self._own().items()}
        if self._run.source.project.endswith(SPIN) and self._tags.is_bare:
            return {}
        return {name: one for name, one in table.items() if is_artifact(name)}

    def _derived(self) -> dict[str, Callable[[], Any]]:
        """Artifacts that no task wrote, but that the real client has."""
        from headrace.frontends.metaflow.client.private import private_artifacts

        return private_artifacts(self)

    def _of_run(self, task: TaskId) -> Task:
        """Another task of its run."""
        record = self._run.metadata.task(self._run.id, task)
        if record is None:
            raise self._absent()
        return task_of(self, record)

    def _card_rows(self) -> list[ArtifactRecord]:
        """The cards that were made of it."""
        return [row for row in self._rows() if row.name.startswith(CARD)]

    def __iter__(self) -> Iterator[DataArtifact]:
        for name in self._table():
            if not name.startswith("_"):
                yield self._artifact(name)

    def __getitem__(self, name: str) -> DataArtifact:
        if name not in self._table() and name not in self._derived():
            raise KeyError(name)
        return self._artifact(name)

    def _artifact(self, name: str) -> DataArtifact:
        found = DataArtifact._near(f"{self.pathspec}/{name}", self, attempt=self._attempt, ns=self._namespace)
        found.__dict__["parent"] = self
        return found

    @property
    def artifacts(self) -> Any:
        """Its artifacts as attributes, not loaded."""
        artifacts = {one.id: one for one in self}
        return namedtuple("MetaflowArtifacts", artifacts)(**artifacts)

    @property
    def data(self) -> MetaflowData:
        """Its artifacts as attributes, loaded when looked at."""
        return MetaflowData(self)

    # --- around it ---

    def _parents(self) -> list[TaskId]:
        found: dict[TaskId, None] = {}
        for one in self._record.inputs:
            if one.name in (TRANSITION, INPUTS):
                for source in one.sources:
                    if source.output == TRANSITION:
                        found[TaskId(source.step, source.number)] = None
        return list(found)

    def _children(self) -> list[TaskId]:
        run, memory = self._run, self._run.memory()
        open_ends = memory.get("open ends")
        if open_ends is None:
            open_ends = memory["open ends"] = {}
            for one in run.metadata.tasks(run.id, states=_WITHOUT_EDGES):
                for parent in task_of(self, one)._parents():
                    open_ends.setdefault(parent, []).append(one.id)
        found = [one for one in run.metadata.children(run.id, self._id) if self._id in self._parents_of(one, memory)]
        return sorted({*found, *open_ends.get(self._id, ())})

    def _parents_of(self, task: TaskId, memory: dict[Any, Any]) -> frozenset[TaskId]:
        """The parents of another task. Many may share a child, such as a join, that has them all to read."""
        known: frozenset[TaskId] | None = memory.get(task)
        if known is None:
            record = self._run.metadata.task(self._run.id, task)
            known = memory[task] = frozenset() if record is None else frozenset(task_of(self, record)._parents())
        return known

    def _addresses(self, tasks: list[TaskId]) -> Iterator[str]:
        run = "/".join(self.path_components[:2])
        return (f"{run}/{one}" for one in tasks)

    @property
    def parent_task_pathspecs(self) -> Iterator[str]:
        """Addresses of the tasks that led here."""
        return self._addresses(self._parents())

    @property
    def child_task_pathspecs(self) -> Iterator[str]:
        """Addresses of the tasks that followed."""
        return self._addresses(self._children())

    @property
    def parent_tasks(self) -> Iterator[Task]:
        """The tasks that led here."""
        return (Task._near(one, self) for one in self.parent_task_pathspecs)

    @property
    def child_tasks(self) -> Iterator[Task]:
        """The tasks that followed."""
        return (Task._near(one, self) for one in self.child_task_pathspecs)

    # --- what it wrote ---

    @property
    def stdout(self) -> str:
        """What its last attempt printed."""
        return "".join(f"{line}\n" for _, line in self.loglines("stdout"))

    @property
    def stderr(self) -> str:
        """What its last attempt wrote to stderr."""
        return "".join(f"{line}\n" for _, line in self.loglines("stderr"))

    @property
    def stdout_size(self) -> int:
        """Bytes of it."""
        return len(self.stdout.encode())

    @property
    def stderr_size(self) -> int:
        """Bytes of it."""
        return len(self.stderr.encode())

    def loglines(
        self, stream: str, as_unicode: bool = True, meta_dict: dict[str, Any] | None = None
    ) -> Iterator[tuple[datetime, Any]]:
        """``(time, line)`` of ``stdout`` or ``stderr``, times in UTC."""
        rest, moment = b"", 0.0
        if stream not in _STREAMS:
            return
        want = LogFilter(task=self._id, attempt=self.current_attempt + 1, stream=_STREAMS[stream])
        for chunk in read_logs(self._run.metadata, self._run.artifacts, self._run.id, want):
            moment = chunk.time
            *lines, rest = (rest + chunk.data).split(b"\n")
            for line in lines:
                yield _utc(moment), line.decode(errors="replace") if as_unicode else line
        if rest:
            yield _utc(moment), rest.decode(errors="replace") if as_unicode else rest

    # --- what it was ---

    @property
    def metadata(self) -> list[Metadata]:
        """Facts about it and its attempts: name, value, time in milliseconds, type."""
        return entries_of(self)

    @property
    def metadata_dict(self) -> dict[str, Any]:
        """The newest of the facts by name."""
        return {one.name: one.value for one in sorted(self.metadata, key=lambda one: one.created_at)}

    @property
    def runtime_name(self) -> str | None:
        """Where it ran, such as ``dev``."""
        names = [tag.partition(":")[2] for tag in self.system_tags if tag.startswith("runtime:")]
        return names[0] if names else None

    @lazy
    def code(self) -> MetaflowCode | None:
        """The code of its run; None when the run kept none."""
        return code_of(self._run)

    @lazy
    def environment_info(self) -> dict[str, Any] | None:
        """The interpreter, platform and packages that it ran with."""
        return environment_of(self._run)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None)


def task_of(near: InRun, record: TaskRecord, ns: str | None = None) -> Task:
    """The task of a record, without looking for it."""
    run = near._run
    task = Task._near(f"{run.flow}/{run.number}/{record.id}", near, ns=ns)
    task._found = record
    return task


def last_task(near: InRun, step: str) -> TaskRecord | None:
    """The newest task of a step."""
    near._run.await_own_task()
    records = near._run.metadata.tasks(near._run.id, step)
    return records[-1] if records else None


@stored
class DataArtifact(InRun):
    """One artifact of a task."""

    _KIND, _FORM, _PARTS = "DataArtifact", "FlowName/RunID/StepName/TaskID/ArtifactName", 5

    def _open(self) -> None:
        super()._open()
        if self.id not in self.parent._table() and self.id not in self.parent._derived():
            raise self._absent()

    @lazy
    def parent(self) -> Task:
        """Its task."""
        return Task._near("/".join(self.path_components[:4]), self, attempt=self._attempt)

    @property
    def _packed(self) -> Packed | None:
        found: Packed | None = self.parent._table().get(self.id)
        return found

    @property
    def data(self) -> Any:
        """Its value."""
        packed = self._packed
        return self.parent._derived()[self.id]() if packed is None else load(packed, self._run)

    @property
    def sha(self) -> str:
        """What identifies its content."""
        packed = self._packed
        return blake3(pickle.dumps(self.data)).hexdigest() if packed is None else packed.digest.hex()

    @property
    def size(self) -> int:
        """Bytes of it."""
        packed = self._packed
        return len(pickle.dumps(self.data)) if packed is None else packed.size

    @property
    def created_at(self) -> datetime | None:
        """When its task wrote it: at its end."""
        return self.parent.finished_at or self.parent.created_at

    @property
    def finished_at(self) -> datetime | None:
        """The same."""
        return self.created_at


@stored
class MetaflowData:
    """Artifacts of a task as attributes, loaded when looked at."""

    def __init__(self, artifacts: Any) -> None:
        self._artifacts: dict[str, DataArtifact] = {one.id: one for one in artifacts}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self._artifacts:
            raise AttributeError(name)
        return self._artifacts[name].data

    def __contains__(self, name: object) -> bool:
        return name in self._artifacts

    def __dir__(self) -> list[str]:
        return [*self._artifacts, *object.__dir__(self)]

    def __repr__(self) -> str:
        return f"<MetaflowData: {', '.join(self._artifacts)}>"
