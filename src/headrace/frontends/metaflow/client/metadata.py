"""``Task.metadata``: what is on record of a task, in the entries that the real client has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from blake3 import blake3

from headrace.frontends.metaflow.authoring.splits import GANG
from headrace.frontends.metaflow.client.runfacts import facts_of
from headrace.frontends.metaflow.names import stored
from headrace.model.states import TaskState

#: What is told of a card, in this order.
_OF_CARDS = ("rank", "type", "options", "is_editable", "is_runtime_card", "refresh_interval", "customize", "id")


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
    record = task._record
    found = [("origin-run-id", str(task._tags.origin or None), record.created, "origin-run-id")]
    for number, started, finished, succeeded in _attempts(task):
        if task._attempt not in (None, number):
            continue
        found += [(name, value, started, name) for name, value in _facts(task, number)]
        found += [(name, value, started, "card-info") for name, value in _cards(task)]
        if finished is not None:
            found.append(("attempt_ok", str(succeeded), finished, "internal_attempt_status"))
            found.append(("attempt-done", str(number), finished, "attempt-done"))
    if record.reused_from:
        found.append(("origin-task-id", task.origin_pathspec.rpartition("/")[2], record.created, "origin-task-id"))
    return [Metadata(name, value, int(moment * 1000), kind, task) for name, value, moment, kind in found]


def _attempts(task: Any) -> Iterator[tuple[int, float, float | None, bool]]:
    """Number, begin, end and success of the attempts of a task; one that was taken over counts as having had one."""
    run, record = task._run, task._record
    ended, since = 0, record.started or record.created
    for one in run.metadata.attempts(run.id, record.id):
        yield one.attempt - 1, one.started, one.finished, one.state == "succeeded"
        ended, since = one.attempt, max(since, one.finished or one.started)  # an imported one may have no end
    if record.state is TaskState.RUNNING and record.attempts > ended:
        yield record.attempts - 1, since, None, False
    if record.reused_from:
        yield 0, record.created, record.finished or record.created, True


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


def _cards(task: Any) -> Iterator[tuple[str, str]]:
    """What its ``@card`` decorators ask for, each by a name of its own."""
    step = facts_of(task._run).graph.get("steps", {}).get(task._id.step, {})
    decorators = [one for one in step.get("decorators", ()) if one["name"] == "card"]
    for place, one in enumerate(decorators):
        given = one["attributes"]
        name = blake3(f"{task.pathspec}/{place}".encode()).hexdigest()[:32]
        of_users = given.get("type") in ("default", "blank")
        about = {"card_uuid": name, **dict.fromkeys(_OF_CARDS), "is_editable": of_users, "is_runtime_card": of_users}
        yield name, json.dumps({**about, **{key: given[key] for key in _OF_CARDS if key in given}})


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
