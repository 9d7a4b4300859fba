"""Names as people write them: ``train/42``, ``train`` (its newest run), ``train/42/fit/3/result``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from headrace.model.errors import NotFoundError
from headrace.model.records import RunRecord, TaskId, TaskRecord, task_number
from headrace.stores.metadata.protocol import MetadataStore

_FORMS = "names look like train/42 (a run), train (its newest run), train/42/fit/3 (a task)"


class Name(NamedTuple):
    """A name taken apart; ``number`` None: the newest run, ``flow`` empty: of any flow."""

    flow: str = ""
    number: int | None = None
    step: str = ""
    task: int | None = None
    output: str = ""


def parse_name(text: str) -> Name:
    """Take ``RUN[/STEP[/N[/OUTPUT]]]`` apart; the run's number may be left out for the newest run.

    Raises:
        NotFoundError: it cannot be a name.
    """
    parts = text.strip().strip("/").split("/")
    if parts == [""]:
        return Name()
    if not all(parts) or is_number(parts[0]):
        raise NotFoundError(f"{text!r} names no run: {_FORMS}")
    flow, rest = parts[0], parts[1:]
    number = _int(rest.pop(0)) if rest and is_number(rest[0]) else None
    step = rest.pop(0) if rest else ""
    task = None
    if rest:
        task = read_task(rest[0])
        if task is None:
            raise NotFoundError(f"{text!r}: {rest[0]!r} is not the number of a task; {_FORMS}")
        rest = rest[1:]
    if len(rest) > 1:
        raise NotFoundError(f"{text!r} has too many parts; {_FORMS}")
    return Name(flow, number, step, task, rest[0] if rest else "")


def is_number(text: str) -> bool:
    """Whether ``text`` is a whole number in plain digits."""
    return text.isascii() and text.isdigit()


def read_task(text: str) -> int | None:
    """The number of a task, as ``3`` or, of a node of a gang, ``2_node_1``; None when it can be none."""
    return _int(text) if is_number(text) else task_number(text)


def _int(text: str) -> int:
    """The number; a huge one, which no store can hold, becomes one that no run has."""
    return int(text) if len(text) < 19 else 2**62


def find_run(metadata: MetadataStore, project: str, text: str = "") -> RunRecord:
    """The run that ``text`` names, which may name a task of it too.

    Raises:
        NotFoundError: there is none; the message says what there is.
    """
    name = parse_name(text)
    if name.number is None:
        run = metadata.latest_run(name.flow or None, project)
    else:
        run = metadata.run(name.flow, name.number, project)
    if run is None:
        raise NotFoundError(_no_run(metadata, project, name))
    return metadata.run_by_id(run.id) or run


def _no_run(metadata: MetadataStore, project: str, name: Name) -> str:
    told = [] if name.number is None else metadata.requests(project, f"{name.flow}/{name.number}")
    for gone in [one for one in told if one.action == "delete"]:
        when = datetime.fromtimestamp(gone.created).astimezone()
        return f"run {gone.run} was deleted by {gone.actor} at {when:%Y-%m-%d %H:%M}"
    flows = metadata.flows(project)
    if not flows:
        where = f" of project {project!r}" if project != "default" else ""
        return f"there are no runs{where} yet in {metadata.url}; start one with `headrace run FILE.py`"
    names = [flow for flow, _, _ in flows]
    if name.flow not in names:
        from difflib import get_close_matches

        near = get_close_matches(name.flow, names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names[:10])}"
        return f"no runs of a flow {name.flow!r} in {metadata.url}{hint}"
    newest = metadata.latest_run(name.flow, project)
    last = f"; the newest is {newest.name}" if newest is not None else ""
    return f"there is no run {name.flow}/{name.number}{last}"


def find_task(metadata: MetadataStore, run: RunRecord, name: Name) -> TaskRecord:
    """The task ``name`` of ``run``; without a number, the only one of its step.

    Raises:
        NotFoundError: there is none, or several.
    """
    if not name.step:
        raise NotFoundError(f"{run.name} is a run; name one of its tasks, such as {run.name}/STEP/1")
    if name.task is not None:
        task = metadata.task(run.id, TaskId(name.step, name.task))
        if task is not None:
            return task
    tasks = find_step(metadata, run, name.step, limit=2)
    if not tasks:
        raise NotFoundError(
            f"no task of step {name.step!r} of {run.name} has begun yet; look again, or: headrace show {run.name}"
        )
    if name.task is None and len(tasks) == 1:
        return tasks[0]
    if name.task is None:
        raise NotFoundError(f"step {name.step!r} of {run.name} has several tasks; name one: {run.name}/{tasks[0].id}")
    only = f"it is {tasks[0].id}"
    if len(tasks) > 1:
        total = sum(one.count for one in metadata.step_counts(run.id) if one.step == name.step)
        only = f"step {name.step!r} has {total}, the first is {tasks[0].id}"
    raise NotFoundError(f"{run.name} has no task {TaskId(name.step, name.task)}; {only}")


def find_step(
    metadata: MetadataStore,
    run: RunRecord,
    step: str,
    *,
    states: Sequence[str] = (),
    after: int = 0,
    limit: int = 0,
) -> list[TaskRecord]:
    """The tasks of a step by number: those in ``states`` (none: in any), with numbers above ``after``.

    At most ``limit`` tasks are returned; 0: all.

    Raises:
        NotFoundError: the run has no task of the step.
    """
    tasks = metadata.tasks(run.id, step, states=states, after=after, limit=limit)
    queued = [one.step for one in metadata.queue([run.id])] if not tasks else []
    if not tasks and step not in queued and not metadata.tasks(run.id, step, limit=1):
        steps = list(dict.fromkeys([one.step for one in metadata.step_counts(run.id) if one.step] + queued))
        there = f"; it has {', '.join(steps)}" if steps else "; it has no tasks"
        raise NotFoundError(f"{run.name} has no step {step!r}{there}")
    return tasks


def task_name(run: RunRecord, task: TaskId) -> str:
    """``train/42/fit/3``; the run's own name for the flow function."""
    return f"{run.name}/{task}" if task.step else run.name
