"""The Client API: what was run, as ``Metaflow``, ``Flow``, ``Run``, ``Step``, ``Task`` and ``DataArtifact``.

Everything is read from Headrace's stores when it is asked for. Runs of other dialects are there too.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from headrace.client.source import RunReader, Source
from headrace.frontends.metaflow.clienttask import DataArtifact, Task, task_of
from headrace.frontends.metaflow.exceptions import MetaflowNamespaceMismatch, MetaflowNotFound
from headrace.frontends.metaflow.objects import (
    InRun,
    MetaflowData,
    MetaflowObject,
    default_namespace,
    get_namespace,
    namespace,
    open_source,
    place_of,
    when,
)
from headrace.model.records import RunRecord, TaskId, TaskRecord
from headrace.model.states import RunState
from headrace.stores.metadata.protocol import RunFilter

_PAGE = 200


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
        source = self._source
        if source.metadata.latest_run(self.id, source.project) is None:
            raise self._absent()

    def is_in_namespace(self) -> bool:
        """Whether one of its runs is."""
        return next(iter(self), None) is not None

    @property
    def created_at(self) -> datetime | None:
        """When its first run began."""
        records = list(_records(self._source, self.id))
        return when(records[-1].created) if records else None

    def __iter__(self) -> Iterator[Run]:
        return self.runs()

    def runs(self, *tags: str) -> Iterator[Run]:
        """Runs in the namespace that have all ``tags``, newest first."""
        ns = get_namespace()
        for record in _records(self._source, self.id):
            run: Run = self._near(Run, [self.id, str(record.number)])
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
            run: Run = self._near(Run, [self.id, name])
            run._open()
        except MetaflowNotFound:
            raise KeyError(name) from None
        if not run.is_in_namespace():
            raise MetaflowNamespaceMismatch(get_namespace())
        return run


def _records(source: Source, flow: str) -> Iterator[RunRecord]:
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
        return task_of(self._run, records[0]) if records else None

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
    step._place = place_of(run)
    return step


class Step(InRun):
    """The tasks of a step."""

    _KIND, _FORM, _PARTS = "Step", "FlowName/RunID/StepName", 3

    def _open(self) -> None:
        super()._open()
        if self.id not in _step_names(self._run):
            raise self._absent()

    def _records(self) -> list[TaskRecord]:
        return self._run.metadata.tasks(self._run.id, self.id)

    def __iter__(self) -> Iterator[Task]:
        for record in reversed(self._records()):
            yield task_of(self._run, record)

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
        return task_of(self._run, record)

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
