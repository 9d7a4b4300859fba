"""The answer of the cache: a task of another run that had the same step, code, inputs and environment."""

from __future__ import annotations

from headrace.engine.events import CacheAnswer
from headrace.engine.rows import task_cache_key
from headrace.engine.tasks import Task
from headrace.model.messages import Output
from headrace.model.records import TaskId
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore


def look_up(task: Task, project: str, metadata: MetadataStore, artifacts: ArtifactStore, now: float) -> CacheAnswer:
    """The outputs of a task with the cache key of ``task``, if one in ``project`` has them still."""
    key = task_cache_key(task)
    while (entry := metadata.cached(key, project)) is not None:
        task_id = TaskId(entry.step, entry.number)
        made = metadata.task(entry.run_id, task_id)
        records = list(metadata.outputs(entry.run_id, [task_id]).get(task_id, {}).values())
        origin = metadata.run_by_id(entry.run_id)
        if made is None or made.cache_key != key or origin is None:
            # It ran again, from other code, when its run went on; or its run was deleted just now.
            metadata.forget_cached(entry, project)
        elif artifacts.missing(b for r in records for b in r.value.blobs):
            metadata.forget_cached(entry, project, result=True)
        else:
            outputs = tuple(Output(r.name, r.value, r.preview) for r in records)
            return CacheAnswer(task, outputs, f"{origin.name}/{task_id}", now, entry)
    return CacheAnswer(task, None, "", now)
