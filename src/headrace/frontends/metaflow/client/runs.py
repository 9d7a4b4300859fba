"""The Client API: what was run, as ``Metaflow``, ``Flow``, ``Run``, ``Step``, ``Task`` and ``DataArtifact``.

Everything is read from Headrace's stores when it is asked for. Runs of other dialects are there too.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from headrace.frontends.metaflow.client.base import (
    FoundRun,
    InRun,
    MetaflowObject,
    default_namespace,
    get_namespace,
    namespace,
    open_source,
    when,
)
from headrace.frontends.metaflow.client.code import MetaflowCode, code_of
from headrace.frontends.metaflow.client.events import Trigger
from headrace.frontends.metaflow.client.metadata import Metadata
from headrace.frontends.metaflow.client.providers import default_metadata, get_metadata, inspect_spin, metadata
from headrace.frontends.metaflow.client.runfacts import RunFacts, facts_of
from headrace.frontends.metaflow.client.tags import tags_of_runs
from headrace.frontends.metaflow.client.task import DataArtifact, MetaflowData, Task, last_task, task_of
from headrace.frontends.metaflow.exceptions import MetaflowNotFound
from headrace.frontends.metaflow.names import stored
from headrace.frontends.metaflow.taskids import task_number
from headrace.model.errors import NotFoundError
from headrace.model.records import RunRecord, TaskId, TaskRecord
from headrace.stores.metadata.protocol import RunFilter

_PAGE = 200


@stored
class Metaflow:
    """Everything there is."""

    @property
    def flows(self) -> list[Flow]:
        """Flows in the namespace, that with the newest run first."""
        return list(self)

    def __iter__(self) -> Iterator[Flow]:
        try:
            source, ns = open_source(), get_namespace()
        except NotFoundError:
            return
        for name, _, _ in sorted(source.metadata.flows(source.project), key=lambda one: -one[2]):
            flow = Flow(name, _namespace_check=False)
            flow._namespace = ns
            if flow._is_in(ns):
                yield flow

    def __getitem__(self, name: str) -> Flow:
        return Flow(name)

    def __contains__(self, name: object) -> bool:
        return any(flow.id == name for flow in self)

    def __repr__(self) -> str:
        return "Metaflow()"

    def _ipython_key_completions_(self) -> list[str]:
        return [flow.id for flow in self]


@stored
class Flow(MetaflowObject):
    """All runs of a flow."""

    _KIND, _FORM, _PARTS = "Flow", "FlowName", 1

    def _open(self) -> None:
        if self._source.metadata.latest_run(self.id, self._source.project) is None:
            raise self._absent()

    def _is_in(self, ns: str | None) -> bool:
        return ns is None or next(self._runs_in(ns), None) is not None

    @property
    def created_at(self) -> datetime | None:
        """When its first run began."""
        records = [record for page in self._pages() for record in page[-1:]]
        return when(records[-1].created) if records else None

    def _pages(self) -> Iterator[list[RunRecord]]:
        want = RunFilter(project=self._source.project, flow=self.id, limit=_PAGE)
        while page := self._source.metadata.runs(want):
            yield page
            want = replace(want, before_id=page[-1].id)

    def _runs_in(self, ns: str | None, tags: tuple[str, ...] = ()) -> Iterator[Run]:
        wanted = {*tags, *([] if ns is None else [ns])}
        for page in self._pages():
            found = tags_of_runs(self._source.metadata, [record.id for record in page]) if wanted else {}
            for record in page:
                if wanted and not wanted <= found[record.id].all:
                    continue
                run = Run._near(f"{self.id}/{record.number}", self, ns=self._namespace)
                run.__dict__["_run"] = FoundRun(self._source, record)
                yield run

    def __iter__(self) -> Iterator[Run]:
        return self._runs_in(self._namespace)

    def runs(self, *tags: str) -> Iterator[Run]:
        """Runs in the namespace that have all ``tags``, newest first."""
        return self._runs_in(self._namespace, tags)

    @property
    def latest_run(self) -> Run | None:
        """The newest run."""
        return next(iter(self), None)

    @property
    def latest_successful_run(self) -> Run | None:
        """The newest run that succeeded."""
        return next((run for run in self if run.successful), None)

    def __getitem__(self, name: str) -> Run:
        try:
            run = Run._near(f"{self.id}/{name}", self, ns=self._namespace)
            run._open()
        except MetaflowNotFound:
            raise KeyError(name) from None
        return run


@stored
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
        record = last_task(self, self._graph_endpoints[1])
        return task_of(self, record, self._namespace) if record is not None else None

    @property
    def _facts(self) -> RunFacts:
        return facts_of(self._run)

    @property
    def _graph_endpoints(self) -> tuple[str, str]:
        return self._facts.endpoints

    @property
    def data(self) -> MetaflowData | None:
        """The artifacts of its last task."""
        end = self.end_task
        return end.data if end is not None else None

    @property
    def code(self) -> MetaflowCode | None:
        """Its flow file with the files of the user's that it uses; None when it kept none."""
        return code_of(self._run)

    @property
    def trigger(self) -> Trigger | None:
        """The runs whose end started it; None: a person did."""
        triggers = self._facts.triggers
        return Trigger(triggers) if triggers else None

    def steps(self, *tags: str) -> Iterator[Step]:
        """Its steps, newest first."""
        return self._filtered(tags)

    def __iter__(self) -> Iterator[Step]:
        for name in reversed([step for step in _step_names(self._run) if step]):
            yield self._step(name)

    def _step(self, name: str) -> Step:
        return Step._near(f"{self.pathspec}/{name}", self, ns=self._namespace)

    def __getitem__(self, name: str) -> Step:
        if name not in _step_names(self._run):
            raise KeyError(name)
        return self._step(name)

    # --- tags ---

    def add_tag(self, tag: Any) -> None:
        """Add a tag; see ``add_tags``."""
        self.replace_tags([], _several(tag))

    def add_tags(self, tags: Any) -> None:
        """Add tags; one that is a system tag is left out in silence.

        Raises:
            MetaflowTaggingError: one is not a tag, or there would be too many.
        """
        self.replace_tags([], _several(tags))

    def remove_tag(self, tag: Any) -> None:
        """Remove a tag; see ``remove_tags``."""
        self.replace_tags(_several(tag), [])

    def remove_tags(self, tags: Any) -> None:
        """Remove tags; a system tag among them is an error, and nothing is removed."""
        self.replace_tags(tags, [])

    def replace_tag(self, tag_to_remove: Any, tag_to_add: Any) -> None:
        """Remove one tag and add another."""
        self.replace_tags(_several(tag_to_remove), _several(tag_to_add))

    def replace_tags(self, tags_to_remove: Any, tags_to_add: Any) -> None:
        """Remove tags, then add others, all or nothing.

        Raises:
            MetaflowTaggingError: one is no tag or a system tag, there is nothing to do, or there would be too many.
        """
        from headrace.frontends.metaflow.client.tags import change_tags

        actor = self._run.source.actor
        change_tags(self._run.metadata, self._run.record(fresh=True), tags_to_add, tags_to_remove, actor)


def _several(tag: Any) -> Any:
    return tag if isinstance(tag, (list, tuple, set, frozenset)) else [tag]


def _step_names(run: FoundRun) -> list[str]:
    run.await_own_task()
    return list(dict.fromkeys(one.step for one in run.metadata.step_counts(run.id)))


@stored
class Step(InRun):
    """The tasks of a step."""

    _KIND, _FORM, _PARTS = "Step", "FlowName/RunID/StepName", 3

    def _open(self) -> None:
        super()._open()
        if self.id not in _step_names(self._run):
            raise self._absent()

    def _records(self) -> list[TaskRecord]:
        self._run.await_own_task()
        return self._run.metadata.tasks(self._run.id, self.id)

    def __iter__(self) -> Iterator[Task]:
        for record in reversed(self._records()):
            yield task_of(self, record, self._namespace)

    def tasks(self, *tags: str) -> Iterator[Task]:
        """Its tasks, newest first."""
        return self._filtered(tags)

    @property
    def task(self) -> Task | None:
        """Its newest task."""
        return next(iter(self), None)

    def __getitem__(self, name: str) -> Task:
        number = task_number(str(name))
        record = None if number is None else self._run.metadata.task(self._run.id, TaskId(self.id, number))
        if record is None:
            raise KeyError(name)
        return task_of(self, record, self._namespace)

    @property
    def created_at(self) -> datetime | None:
        """When its first task was made."""
        return min((one.created_at for one in self if one.created_at), default=None)

    @property
    def finished_at(self) -> datetime | None:
        """When its last task ended; None as long as one has not."""
        moments = [one.finished_at for one in self]
        known = [one for one in moments if one is not None]
        return max(known, default=None) if len(known) == len(moments) else None

    @property
    def environment_info(self) -> dict[str, Any] | None:
        """The interpreter, platform and packages that it ran with."""
        task = self.task
        return task.environment_info if task is not None else None

    @property
    def control_task(self) -> Task | None:
        """The first task of a gang; None if it is not a gang."""
        return next(self.control_tasks(), None)

    def control_tasks(self, *tags: str) -> Iterator[Task]:
        """The first tasks of gangs that have all ``tags``."""
        for task in self.tasks(*tags):
            stack = task._stack()
            if stack and stack[-1].is_gang and stack[-1].index == 0:
                yield task

    @property
    def parent_steps(self) -> Iterator[Step]:
        """Steps that lead here."""
        steps = facts_of(self._run).graph.get("steps", {})
        if steps:
            return self._related(name for name, node in steps.items() if self.id in node["next"])
        return self._related(parent.step for task in self for parent in task._parents())

    @property
    def child_steps(self) -> Iterator[Step]:
        """Steps that follow, as far as the run came to them."""
        steps = facts_of(self._run).graph.get("steps", {})
        if steps:
            return self._related(iter(steps.get(self.id, {}).get("next", ())))
        return self._related(child.step for task in self for child in task._children())

    def _related(self, steps: Iterator[str]) -> Iterator[Step]:
        run, there = "/".join(self.path_components[:2]), _step_names(self._run)
        return (Step._near(f"{run}/{name}", self) for name in dict.fromkeys(steps) if name in there)


__all__ = [
    "DataArtifact",
    "Flow",
    "Metadata",
    "Metaflow",
    "MetaflowCode",
    "MetaflowData",
    "MetaflowObject",
    "Run",
    "Step",
    "Task",
    "Trigger",
    "default_metadata",
    "default_namespace",
    "get_metadata",
    "get_namespace",
    "inspect_spin",
    "metadata",
    "namespace",
]
