"""Making a finished task again from what the store knows of it, when its outputs are gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headrace.engine.tasks import Task
from headrace.model.calls import PendingInput, PendingSource, StepInfo
from headrace.model.errors import BlobMissingError
from headrace.model.messages import Output
from headrace.model.records import NODES, ArtifactRecord, Input, TaskId, TaskRecord, node_number
from headrace.model.states import TaskState
from headrace.stores.metadata.protocol import MetadataStore


def rebuild(
    lost: TaskId, run_id: int, metadata: MetadataStore, find: Callable[[str, bytes], StepInfo | None]
) -> tuple[Task, TaskRecord]:
    """A new task that will do what ``lost`` did. ``find`` knows steps by name and code.

    Raises:
        BlobMissingError: this session does not know the step, so it cannot run it again.
    """
    record = metadata.task(run_id, lost)
    step = find(lost.step, record.code) if record is not None else None
    if record is None or step is None:
        raise BlobMissingError(
            f"the outputs of task {lost} are gone from the artifact store, and this session does not know step "
            f"{lost.step!r} to run it again; run the flow from its start with `headrace resume --from {lost.step}`"
        )
    parents = {TaskId(source.step, source.number) for one in record.inputs for source in one.sources}
    outputs = metadata.outputs(run_id, list(parents))
    pending = tuple(_pending(one, outputs, step) for one in record.inputs)
    return Task(step, pending), record


def gang_of(lost: TaskId, run_id: int, metadata: MetadataStore) -> list[TaskId]:
    """The tasks that have to run again with ``lost``, itself among them: its gang, in order of their ranks."""
    first = lost.number % NODES
    found = [TaskId(lost.step, first)]
    while metadata.task(run_id, node := TaskId(lost.step, node_number(first, len(found)))) is not None:
        found.append(node)
    return found


def _pending(one: Input, outputs: Mapping[TaskId, Mapping[str, ArtifactRecord]], step: StepInfo) -> PendingInput:
    if not one.sources:
        return PendingInput(one.name, one.value)
    sources = tuple(
        PendingSource(finished(step, TaskId(s.step, s.number), outputs.get(TaskId(s.step, s.number), {})), s.output)
        for s in one.sources
    )
    return PendingInput(one.name, one.value if one.template else None, sources)


def finished(step: StepInfo, task_id: TaskId, outputs: Mapping[str, ArtifactRecord]) -> Task:
    """A stand-in for a task that finished before: it has its id and its outputs, and nothing to do."""
    task = Task(step, ())
    task.id = task_id
    task.state = TaskState.SUCCEEDED
    task.outputs = tuple(Output(r.name, r.value, r.preview) for r in outputs.values())
    return task
