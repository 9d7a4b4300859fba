"""Tasks and artifacts of the Client API. ``client`` has what is above them: steps, runs, flows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import Any

from headrace.client.loading import load
from headrace.client.source import RunReader
from headrace.frontends.metaflow.names import CARD, FOREACH, INPUTS, INTERNAL, SUCCESS, TRANSITION
from headrace.frontends.metaflow.objects import InRun, MetaflowData, place_of, when
from headrace.model.errors import NotFoundError
from headrace.model.records import ArtifactRecord, TaskId, TaskRecord
from headrace.model.states import FINAL_TASK_STATES, TaskState
from headrace.model.values import Packed

#: What a task took is on record with its result; those without one are asked for what they were given.
_WITHOUT_EDGES = (TaskState.RUNNING, TaskState.FAILED, TaskState.CANCELLED)


class Task(InRun):
    """One execution of a step."""

    _KIND, _FORM, _PARTS = "Task", "FlowName/RunID/StepName/TaskID", 4

    def _open(self) -> None:
        super()._open()
        assert self._record

    @cached_property
    def _record(self) -> TaskRecord:
        step, number = self.path_components[2:]
        record = self._run.metadata.task(self._run.id, TaskId(step, int(number))) if number.isdigit() else None
        if record is None:
            raise self._absent()
        return record

    @property
    def _id(self) -> TaskId:
        return self._record.id

    # --- how it went ---

    @property
    def created_at(self) -> datetime | None:
        """When it was made."""
        return when(self._record.created)

    @property
    def finished(self) -> bool:
        """Whether it came to its end, successfully or with a failure that ``@catch`` caught."""
        return self._record.state is TaskState.SUCCEEDED

    @property
    def successful(self) -> bool:
        """Whether it came to its end without a failure, caught ones included."""
        return self.finished and SUCCESS not in self._outputs()

    @property
    def finished_at(self) -> datetime | None:
        """When it ended."""
        return when(self._record.finished) if self._record.state in FINAL_TASK_STATES else None

    @property
    def exception(self) -> Any:
        """What it failed with."""
        found = self._outputs().get("_exception")
        return None if found is None else load(found.value, self._run)

    @property
    def current_attempt(self) -> int:
        """The number of its last attempt, from 0."""
        return self._attempt if self._attempt is not None else max(0, self._record.attempts - 1)

    @property
    def index(self) -> int | None:
        """Its number in the innermost foreach."""
        stack = self._stack()
        return stack[-1][3] if stack else None

    def _stack(self) -> list[Any]:
        for one in self._record.inputs:
            if one.name == FOREACH:
                frames: list[Any] = load(one.value, self._run)
                return frames
        return []

    @property
    def origin_pathspec(self) -> str | None:
        """The task whose result it took over."""
        return self._record.reused_from or None

    # --- artifacts ---

    def _outputs(self) -> dict[str, ArtifactRecord]:
        return {one.name: one for one in self._run.metadata.artifacts(self._run.id, self._id)}

    def _table(self) -> dict[str, Packed]:
        """What it inherited and what it made."""
        table = {one.name: one.value for one in self._record.inputs}
        table |= {name: one.value for name, one in self._outputs().items()}
        return {name: one for name, one in table.items() if name not in INTERNAL and not name.startswith(CARD)}

    def _card_pages(self) -> list[tuple[str, str]]:
        return [(name, load(one.value, self._run)) for name, one in self._outputs().items() if name.startswith(CARD)]

    def __iter__(self) -> Iterator[DataArtifact]:
        for name in self._table():
            if not name.startswith("_"):
                yield self._near(DataArtifact, [self.pathspec, name])

    def __getitem__(self, name: str) -> DataArtifact:
        if name not in self._table():
            raise KeyError(name)
        found: DataArtifact = self._near(DataArtifact, [self.pathspec, name])
        return found

    @property
    def artifacts(self) -> Any:
        """Its artifacts as attributes, not loaded."""
        from collections import namedtuple

        artifacts = {one.id: one for one in self}
        return namedtuple("MetaflowArtifacts", artifacts)(**artifacts)

    @property
    def data(self) -> MetaflowData:
        """Its artifacts as attributes, loaded when looked at."""
        return MetaflowData(self._run, {k: v for k, v in self._table().items() if not k.startswith("_")})

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
        run, metadata = self._run, self._run.metadata
        records = [metadata.task(run.id, child) for child in metadata.children(run.id, self._id)]
        records += metadata.tasks(run.id, states=_WITHOUT_EDGES)
        found = {one.id: None for one in records if one is not None and self._id in task_of(run, one)._parents()}
        return sorted(found)

    @property
    def parent_task_pathspecs(self) -> Iterator[str]:
        """Addresses of the tasks that led here."""
        return iter([f"{'/'.join(self.path_components[:2])}/{one}" for one in self._parents()])

    @property
    def child_task_pathspecs(self) -> Iterator[str]:
        """Addresses of the tasks that followed."""
        return iter([f"{'/'.join(self.path_components[:2])}/{one}" for one in self._children()])

    @property
    def parent_tasks(self) -> Iterator[Task]:
        """The tasks that led here."""
        return (self._near(Task, [one]) for one in self.parent_task_pathspecs)

    @property
    def child_tasks(self) -> Iterator[Task]:
        """The tasks that followed."""
        return (self._near(Task, [one]) for one in self.child_task_pathspecs)

    # --- what it wrote ---

    def _log(self, stream: str) -> str:
        from headrace.client.logs import task_log

        return str(task_log(self._run, self._id, self.current_attempt + 1, stream))

    @property
    def stdout(self) -> str:
        """What its last attempt printed."""
        return self._log("out")

    @property
    def stderr(self) -> str:
        """What its last attempt wrote to stderr."""
        return self._log("err")

    @property
    def stdout_size(self) -> int:
        """Bytes of it."""
        return len(self.stdout.encode())

    @property
    def stderr_size(self) -> int:
        """Bytes of it."""
        return len(self.stderr.encode())

    def loglines(self, stream: str, as_unicode: bool = True) -> Iterator[tuple[datetime, Any]]:
        """``(time, line)`` of ``stdout`` or ``stderr``."""
        short = {"stdout": "out", "stderr": "err"}[stream]
        for chunk in self._run.metadata.logs(self._run.id, self._id, self.current_attempt + 1):
            if chunk.stream == short:
                for line in chunk.data.decode(errors="replace").splitlines():
                    yield datetime.fromtimestamp(chunk.time), line if as_unicode else line.encode()

    @property
    def metadata_dict(self) -> dict[str, str]:
        """Facts about it by name."""
        facts = {tag.partition(":")[0]: tag.partition(":")[2] for tag in self.system_tags}
        facts |= {
            "attempt": str(self.current_attempt),
            "origin-run-id": str(self._tags.origin or None),
            "ds-type": "local",
        }
        if self.origin_pathspec:
            facts["origin-task-id"] = self.origin_pathspec.rpartition("/")[2]
        if self.finished:
            facts |= {"attempt-done": str(self.current_attempt), "attempt_ok": "True"}
        return facts

    @property
    def metadata(self) -> list[Any]:
        """The same as a list of named tuples."""
        from collections import namedtuple

        entry = namedtuple("entry", "name value created_at type task")
        return [entry(name, value, self.created_at, name, self) for name, value in self.metadata_dict.items()]

    @property
    def runtime_name(self) -> str:
        """Where it ran."""
        return "dev"

    @property
    def code(self) -> None:
        """None: see ``Run.code``."""
        return

    @property
    def environment_info(self) -> None:
        """None: see ``headrace show``."""
        return


def task_of(run: RunReader, record: TaskRecord) -> Task:
    """The task of a record, without looking for it."""
    task = Task(f"{run.flow}/{run.number}/{record.step}/{record.number}", _checked=True)
    task._run = run
    task._place = place_of(run)
    task._record = record
    return task


class DataArtifact(InRun):
    """One artifact of a task."""

    _KIND, _FORM, _PARTS = "DataArtifact", "FlowName/RunID/StepName/TaskID/ArtifactName", 5

    def _open(self) -> None:
        super()._open()
        if self.id not in self.parent._table():
            raise self._absent()

    @property
    def parent(self) -> Task:
        """Its task."""
        try:
            task: Task = self._near(Task, self.path_components[:4])
            task._open()
            return task
        except NotFoundError as error:
            raise self._absent() from error

    @property
    def _packed(self) -> Packed:
        return self.parent._table()[self.id]

    @property
    def data(self) -> Any:
        """Its value."""
        return load(self._packed, self._run)

    @property
    def sha(self) -> str:
        """What identifies its content."""
        return self._packed.digest.hex()

    @property
    def size(self) -> int:
        """Bytes of it."""
        return self._packed.size

    @property
    def created_at(self) -> datetime | None:
        """When its task was made."""
        return self.parent.created_at

    @property
    def finished_at(self) -> datetime | None:
        """When its task ended."""
        return self.parent.finished_at
