"""``Task.metadata``: what is on record of a task, in the entries that the real client has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from headrace.frontends.metaflow.authoring.splits import GANG
from headrace.frontends.metaflow.client.runfacts import facts_of
from headrace.frontends.metaflow.names import stored


@stored
class Metadata(NamedTuple):
    """One fact about a task. ``created_at`` counts milliseconds."""

    name: str
    value: Any
    created_at: int
    type: str
    task: Any


def entries_of(task: Any) -> list[Metadata]:
    """All facts about a task, or about the one attempt that it was asked for with, oldest first."""
    run, record = task._run, task._record
    found = [(name, value, record.created, name) for name, value in _origin(task)]
    for one in run.metadata.attempts(run.id, record.id):
        number = one.attempt - 1
        if task._attempt in (None, number):
            found += [(name, value, one.started, name) for name, value in _facts(task, number)]
            if one.finished is not None:
                ok = str(one.state == "succeeded")
                found.append(("attempt_ok", ok, one.finished, "internal_attempt_status"))
                found.append(("attempt-done", str(number), one.finished, "attempt-done"))
    return [Metadata(name, value, int(moment * 1000), kind, task) for name, value, moment, kind in found]


def _origin(task: Any) -> Iterator[tuple[str, Any]]:
    """What holds whether or not the task itself ever ran."""
    yield "origin-run-id", str(task._tags.origin or None)
    if task.origin_pathspec:
        yield "origin-task-id", task.origin_pathspec.rpartition("/")[2]
        yield "attempt", "0"
        yield "attempt-done", "0"
        yield "attempt_ok", "True"


def _facts(task: Any, attempt: int) -> Iterator[tuple[str, Any]]:
    tags = dict(tag.partition(":")[::2] for tag in task.system_tags)
    for name in ("user", "runtime", "python_version", "metaflow_version"):
        if name in tags:
            yield name, tags[name]
    run = task._run
    yield "script-name", run.record(complete=True).entry.rpartition(":")[0].rpartition("/")[2]
    yield "attempt", str(attempt)
    yield "ds-type", "local"
    yield "ds-root", run.source.settings.home
    if task.code is not None:
        yield "code-package", json.dumps({"location": task.code.path, "sha": task.code.path, "ds_type": "local"})
    yield from _splits(task)
    triggers = facts_of(run).triggers
    if triggers:
        yield "execution-triggers", json.dumps(triggers)


def _splits(task: Any) -> Iterator[tuple[str, Any]]:
    stack = task._stack()
    if not stack:
        return
    steps = facts_of(task._run).graph.get("steps", {})
    path = [f"{target_of(steps, one.step)}:{one.index}" for one in stack]
    yield "foreach-execution-path", ",".join(path)
    if stack[-1].is_gang:
        yield "parallel-world-size", stack[-1].num_splits
        if stack[-1].index == 0:
            yield "internal_task_type", "control_task"
    shown = [f"{one.var}={one.value or ''}" for one in task._frames() if one.var != GANG]
    if shown:
        yield "foreach-stack", shown


def target_of(steps: dict[str, Any], split: str) -> str:
    """The step that a split leads to, by the graph of its run."""
    following = steps.get(split, {}).get("next") or [split]
    return str(following[0])
