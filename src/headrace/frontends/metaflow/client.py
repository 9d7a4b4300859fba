"""The Client API: what was run, as ``Metaflow``, ``Flow``, ``Run``, ``Step``, ``Task`` and ``DataArtifact``.

Everything is read from Headrace's stores when it is asked for. Runs of other dialects are there too.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from headrace.client.loading import load
from headrace.client.source import RunReader
from headrace.frontends.metaflow.cards import PREFIX
from headrace.frontends.metaflow.exceptions import (
    MetaflowNotFound,
)
from headrace.frontends.metaflow.objects import (
    InRun,
    MetaflowData,
    MetaflowObject,
    default_namespace,
    get_namespace,
    namespace,
    open_source,
    when,
)
from headrace.frontends.metaflow.task import FOREACH, INPUTS, INTERNAL, SUCCESS, TRANSITION
from headrace.model.errors import NotFoundError
from headrace.model.records import ArtifactRecord, RunRecord, TaskId, TaskRecord
from headrace.model.states import FINAL_TASK_STATES, RunState, TaskState
from headrace.model.values import Packed
from headrace.stores.metadata.protocol import RunFilter

_PAGE = 200
#: What a task took is on record with its result; those without one are asked for what they were given.
_WITHOUT_EDGES = (TaskState.RUNNING, TaskState.FAILED, TaskState.CANCELLED)


class Metaflow:
    """Everything there is."""

    @property
    def flows(self) -> list[Flow]:
        """Flows in the namespace, that with the newest run first."""
        return list(self)

    def __iter__(self) -> Iterator[Flow]:
        source = open_source()
        for name, _, _ in sorted(source.metadata.flows(source.project), key=lambda one: -one[2]):
            flow = Flow(name, _checked=True)
            if flow.is_in_namespace():
                yield flow

    def __getitem__(self, name: str) -> Flow:
        return Flow(name)

    def __contains__(self, name: object) -> bool:
        return any(flow.id == name for flow in self)

    def __repr__(self) -> str:
        return "Metaflow()"


class Flow(MetaflowObject):
    """All runs of a flow."""

    _KIND, _FORM, _PARTS = "Flow", "FlowName", 1

    def _open(self) -> None:
        source = open_source()
        if source.metadata.latest_run(self.id, source.project) is None:
            raise self._absent()

    def is_in_namespace(self) -> bool:
        """Whether one of its runs is."""
        return next(iter(self), None) is not None

    @property
    def parent(self) -> None:
        """None."""
        return

    @property
    def created_at(self) -> datetime | None:
        """When its first run began."""
        records = list(_records(self.id))
        return when(records[-1].created) if records else None

    def __iter__(self) -> Iterator[Run]:
        return self.runs()

    def runs(self, *tags: str) -> Iterator[Run]:
        """Runs in the namespace that have all ``tags``, newest first."""
        ns = get_namespace()
        for record in _records(self.id):
            run = Run(f"{self.id}/{record.number}", _checked=True)
            have = run.tags
            if (ns is None or ns in have) and all(tag in have for tag in tags):
                yield run

    @property
    def latest_run(self) -> Run | None:
        """The newest run."""
        return next(self.runs(), None)

    @property
    def latest_successful_run(self) -> Run | None:
        """The newest run that succeeded."""
        return next((run for run in self.runs() if run.successful), None)

    def __getitem__(self, name: str) -> Run:
        try:
            return Run(f"{self.id}/{name}")
        except MetaflowNotFound:
            raise KeyError(name) from None


def _records(flow: str) -> Iterator[RunRecord]:
    source = open_source()
    have = 0
    while True:
        page = source.metadata.runs(RunFilter(project=source.project, flow=flow, limit=have + _PAGE))[have:]
        yield from page
        have += len(page)
        if len(page) < _PAGE:
            return


class Run(InRun):
    """One execution of a flow."""

    _KIND, _FORM, _PARTS = "Run", "FlowName/RunID", 2

    @property
    def parent(self) -> Flow:
        """Its flow."""
        return Flow(self.path_components[0], _checked=True)

    @property
    def created_at(self) -> datetime | None:
        """When it began."""
        return when(self._run.record().created)

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        end = self.end_task
        return end is not None and end.finished

    @property
    def successful(self) -> bool:
        """Whether it came to its end without failure."""
        end = self.end_task
        return end is not None and end.successful

    @property
    def finished_at(self) -> datetime | None:
        """When its last task ended."""
        end = self.end_task
        return end.finished_at if end is not None else None

    @property
    def end_task(self) -> Task | None:
        """The task of its last step, which may have failed; None when it did not come so far."""
        succeeded = self._run.record().state is RunState.SUCCEEDED
        name = self._graph_endpoints[1] if succeeded else "end"  # of the others, nobody knows where they would end
        records = self._run.metadata.tasks(self._run.id, name, limit=1)
        return _task(self._run, records[0]) if records else None

    @property
    def _graph_endpoints(self) -> tuple[str, str]:
        steps = [step for step in _step_names(self._run) if step]
        start = "start" if "start" in steps or not steps else steps[0]
        return start, "end" if "end" in steps or not steps else steps[-1]

    @property
    def data(self) -> Any:
        """The artifacts of its last task."""
        end = self.end_task
        return end.data if end is not None else None

    @property
    def code(self) -> None:
        """None: the sources of a run are kept by Headrace (``headrace show``)."""
        return

    @property
    def trigger(self) -> None:
        """What started it; None: a person."""
        return

    def steps(self, *tags: str) -> Iterator[Step]:
        """Its steps, newest first."""
        return iter(self) if all(tag in self.tags for tag in tags) else iter(())

    def __iter__(self) -> Iterator[Step]:
        for name in reversed([step for step in _step_names(self._run) if step]):
            yield _step(self._run, name)

    # --- tags ---

    def add_tag(self, tag: Any) -> None:
        """Add a tag; see ``add_tags``."""
        self.add_tags(list(tag) if isinstance(tag, (list, tuple, set, frozenset)) else [tag])

    def add_tags(self, tags: Any) -> None:
        """Add tags; one that is a system tag is left out in silence.

        Raises:
            MetaflowTaggingError: one is no tag, or there would be too many.
        """
        self.replace_tags([], tags)

    def remove_tag(self, tag: Any) -> None:
        """Remove a tag; see ``remove_tags``."""
        self.remove_tags(list(tag) if isinstance(tag, (list, tuple, set, frozenset)) else [tag])

    def remove_tags(self, tags: Any) -> None:
        """Remove tags; a system tag among them is an error, and nothing is removed."""
        self.replace_tags(tags, [])

    def replace_tag(self, tag_to_remove: Any, tag_to_add: Any) -> None:
        """Remove one tag and add another."""
        self.replace_tags([tag_to_remove], [tag_to_add])

    def replace_tags(self, tags_to_remove: Any, tags_to_add: Any) -> None:
        """Remove tags, then add others, all or nothing."""
        from headrace.frontends.metaflow.tagging import change_tags

        remove = [tags_to_remove] if isinstance(tags_to_remove, str) else list(tags_to_remove)
        add = [tags_to_add] if isinstance(tags_to_add, str) else list(tags_to_add)
        change_tags(self._run.metadata, self._run.id, add, remove)


def _step_names(run: RunReader) -> list[str]:
    return list(dict.fromkeys(one.step for one in run.metadata.step_counts(run.id)))


def _step(run: RunReader, name: str) -> Step:
    step = Step(f"{run.flow}/{run.number}/{name}", _checked=True)
    step._run = run
    return step


def _task(run: RunReader, record: TaskRecord) -> Task:
    task = Task(f"{run.flow}/{run.number}/{record.step}/{record.number}", _checked=True)
    task._run = run
    task._record = record
    return task


class Step(InRun):
    """The tasks of a step."""

    _KIND, _FORM, _PARTS = "Step", "FlowName/RunID/StepName", 3

    def _open(self) -> None:
        super()._open()
        if self.id not in _step_names(self._run):
            raise self._absent()

    @property
    def parent(self) -> Run:
        """Its run."""
        return Run("/".join(self.path_components[:2]), _checked=True)

    def _records(self) -> list[TaskRecord]:
        return self._run.metadata.tasks(self._run.id, self.id)

    def __iter__(self) -> Iterator[Task]:
        for record in reversed(self._records()):
            yield _task(self._run, record)

    def tasks(self, *tags: str) -> Iterator[Task]:
        """Its tasks, newest first."""
        return iter(self) if all(tag in self.tags for tag in tags) else iter(())

    @property
    def task(self) -> Task | None:
        """Its newest task."""
        return next(iter(self), None)

    def __getitem__(self, name: str) -> Task:
        record = self._run.metadata.task(self._run.id, TaskId(self.id, int(name))) if str(name).isdigit() else None
        if record is None:
            raise KeyError(name)
        return _task(self._run, record)

    @property
    def created_at(self) -> datetime | None:
        """When its first task was made."""
        return min((one.created_at for one in self if one.created_at), default=None)

    @property
    def finished_at(self) -> datetime | None:
        """When its last task ended."""
        return max((one.finished_at for one in self if one.finished_at), default=None)

    @property
    def environment_info(self) -> None:
        """None: see ``headrace show``."""
        return

    @property
    def control_task(self) -> Task | None:
        """The first task of a gang."""
        return next(self.control_tasks(), None)

    def control_tasks(self, *tags: str) -> Iterator[Task]:
        """The first tasks of gangs."""
        for task in self:
            stack = task._stack()
            if stack and stack[-1][1] == "_parallel_ubf_iter" and stack[-1][3] == 0:
                yield task

    @property
    def parent_steps(self) -> Iterator[Step]:
        """Steps whose tasks led here."""
        names = dict.fromkeys(parent.step for task in self for parent in task._parents())
        return iter([_step(self._run, name) for name in names])

    @property
    def child_steps(self) -> Iterator[Step]:
        """Steps that followed."""
        names = dict.fromkeys(child.step for task in self for child in task._children())
        return iter([_step(self._run, name) for name in names])


class Task(InRun):
    """One execution of a step."""

    _KIND, _FORM, _PARTS = "Task", "FlowName/RunID/StepName/TaskID", 4
    _record: TaskRecord

    def _open(self) -> None:
        super()._open()
        step, number = self.path_components[2:]
        record = self._run.metadata.task(self._run.id, TaskId(step, int(number))) if number.isdigit() else None
        if record is None:
            raise self._absent()
        self._record = record

    @property
    def _id(self) -> TaskId:
        return self._record.id

    @property
    def parent(self) -> Step:
        """Its step."""
        return _step(self._run, self._record.step)

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
        return {name: one for name, one in table.items() if name not in INTERNAL and not name.startswith(PREFIX)}

    def _card_pages(self) -> list[tuple[str, str]]:
        return [(name, load(one.value, self._run)) for name, one in self._outputs().items() if name.startswith(PREFIX)]

    def __iter__(self) -> Iterator[DataArtifact]:
        for name in self._table():
            if not name.startswith("_"):
                yield DataArtifact(f"{self.pathspec}/{name}", _checked=True)

    def __getitem__(self, name: str) -> DataArtifact:
        if name not in self._table():
            raise KeyError(name)
        return DataArtifact(f"{self.pathspec}/{name}", _checked=True)

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
        found = {one.id: None for one in records if one is not None and self._id in _task(run, one)._parents()}
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
        return (Task(one, _checked=False) for one in self.parent_task_pathspecs)

    @property
    def child_tasks(self) -> Iterator[Task]:
        """The tasks that followed."""
        return (Task(one, _checked=False) for one in self.child_task_pathspecs)

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
            return Task("/".join(self.path_components[:4]))
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


__all__ = [
    "DataArtifact",
    "Flow",
    "Metaflow",
    "MetaflowData",
    "MetaflowObject",
    "Run",
    "Step",
    "Task",
    "default_namespace",
    "get_namespace",
    "namespace",
]
