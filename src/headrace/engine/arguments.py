"""Arguments of a task as its worker gets them, once all that they are made of is there."""

from __future__ import annotations

from headrace.engine.tasks import Task
from headrace.model.messages import Argument
from headrace.model.records import TaskId


def arguments_of(task: Task) -> tuple[Argument, ...]:
    """The arguments of ``task``, whose sources have all succeeded."""
    arguments = []
    for one in task.pending:
        name = "" if one.name.startswith(("/", "*")) else one.name  # those can go by position only
        if not one.sources:
            assert one.value is not None
            arguments.append(Argument(name, one.value))
        elif one.value is None:
            source = one.sources[0]
            arguments.append(Argument(name, source.task.output(source.output)))
        else:
            fills = tuple(source.task.output(source.output) for source in one.sources)
            arguments.append(Argument(name, one.value, fills, template=True))
    return tuple(arguments)


def source_of(task: Task, digest: bytes) -> tuple[TaskId, str] | None:
    """Which output of which task a blob belongs to, among the inputs of ``task``."""
    for one in task.pending:
        for source in one.sources:
            packed = source.task.output(source.output)
            if any(blob.digest == digest for blob in packed.blobs):
                return source.task.id, source.output
    return None
