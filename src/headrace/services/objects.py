"""Artifacts by name, as records and as the objects they are."""

from __future__ import annotations

import os
import sys

from headrace.model.errors import NotFoundError
from headrace.model.records import FLOW_TASK, UNLISTED, ArtifactRecord, RunRecord, TaskId
from headrace.model.values import Preview
from headrace.services.describe import ArtifactView, view_artifact
from headrace.services.names import Name, find_step, find_task, task_name
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore


def list_artifacts(metadata: MetadataStore, run: RunRecord, name: Name) -> list[ArtifactView]:
    """The artifacts of a run, a step or a task.

    Raises:
        NotFoundError: there is no such step or task.
    """
    if name.step and name.task is not None:
        records = metadata.artifacts(run.id, find_task(metadata, run, name).id)
    else:
        records = metadata.artifacts(run.id)
        if name.step:
            find_step(metadata, run, name.step, limit=1)
            records = [one for one in records if one.step == name.step]
    return [view_artifact(run, one) for one in records if one.kind not in UNLISTED]


def find_artifact(metadata: MetadataStore, run: RunRecord, name: Name) -> ArtifactRecord:
    """The artifact that ``name`` means: the named one, else ``result``, else the only one. A run alone: its result.

    A task's inputs go by their names too, where it has no output of that name.

    Raises:
        NotFoundError: there is none, or several.
    """
    records = []
    task = FLOW_TASK
    wanted = name.output
    if not name.step:
        records = metadata.artifacts(run.id, FLOW_TASK)
    else:
        if name.task is None and not wanted:
            # ``train/42/loss_curve`` is what the flow itself logged, unless there is a step of that name.
            records = [one for one in metadata.artifacts(run.id, FLOW_TASK) if one.name == name.step]
            if records:
                return records[0]
        task = find_task(metadata, run, name).id
        records = metadata.artifacts(run.id, task)
    records = [one for one in records if one.kind not in UNLISTED]
    by_name = {one.name: one for one in records}
    if wanted in by_name:
        return by_name[wanted]
    if not wanted and "result" in by_name:
        return by_name["result"]
    if not wanted and len(records) == 1:
        return records[0]
    taken = _input(metadata, run, task, wanted) if wanted else None
    if taken is not None:
        return taken
    raise NotFoundError(_no_artifact(metadata, run, task, wanted, list(by_name)))


def _input(metadata: MetadataStore, run: RunRecord, task: TaskId, wanted: str) -> ArtifactRecord | None:
    record = metadata.task(run.id, task)
    for one in record.inputs if record is not None else ():
        if one.name.lstrip("/*") != wanted or one.template:
            continue
        if one.sources:
            source = one.sources[0]
            made = metadata.outputs(run.id, [TaskId(source.step, source.number)])
            return made[TaskId(source.step, source.number)][source.output]
        assert record is not None
        return ArtifactRecord(
            run_id=run.id,
            step=task.step,
            number=task.number,
            name=wanted,
            value=one.value,
            preview=Preview(""),
            created=record.created,
            kind="input",
        )
    return None


def _no_artifact(metadata: MetadataStore, run: RunRecord, task: TaskId, wanted: str, there: list[str]) -> str:
    of = task_name(run, task)
    there = [one for one in there if one[:1] != "_"]  # without what a dialect notes for itself
    if not there and task == FLOW_TASK and metadata.artifacts(run.id):
        why = "" if run.state == "succeeded" else f": it is {run.state}"
        return f"{of} has no artifacts of its own{why}; those of its tasks: headrace artifacts {of}"
    if not there:
        record = metadata.task(run.id, task)
        state = record.state if record is not None else run.state
        return f"{of} has no artifacts: it is {state}"
    if wanted:
        return f"{of} has no artifact {wanted!r}; it has {', '.join(there)}"
    return f"{of} has several artifacts; name one: " + ", ".join(f"{of}/{one}" for one in there)


def load_artifact(record: ArtifactRecord, artifacts: ArtifactStore, run: RunRecord) -> object:
    """The object itself. This may run code of the object's author: for the user's own process only.

    Raises:
        NotLoadableError: this process lacks the code or packages that it needs.
        BlobError: its bytes are gone or damaged.
    """
    folder = os.path.dirname(run.entry.rpartition(":")[0])  # noqa: PTH120
    if folder and folder not in sys.path and os.path.isdir(folder):  # noqa: PTH112
        sys.path.append(folder)  # classes that the flow's file defines are found by its name
    return codecs.unpack(record.value, artifacts)
