"""How data went through a run: between its steps, and up and down from one task."""

from __future__ import annotations

from collections import deque

import msgspec

from headrace.model.records import Edge, RunRecord, TaskId
from headrace.services.describe import ALL_ROWS
from headrace.services.names import task_name
from headrace.services.paging import each_edge
from headrace.stores.metadata.protocol import MetadataStore, StepCount

#: Tasks at each end of a step whose data are looked at in a very large run.
_LOOKED_AT = 20
#: Parents of a task that are read at first, and that are counted one by one.
_FEW, _COUNTED = 32, 1_000
_BEYOND = 2**53


class StepEdge(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks of step ``child`` took outputs of tasks of ``parent``: ``count`` pairs of them.

    In a very large run they are found, and their number is estimated, from the first and the last tasks of each step;
    ``exact`` is False then.
    """

    parent: str
    child: str
    count: int
    exact: bool = True


class TaskNode(msgspec.Struct, frozen=True, kw_only=True):
    """A task in a lineage: ``distance`` steps of data away, below zero where its outputs led here.

    ``reused_from`` is the task of another run that its outputs come from.
    """

    task: str
    step: str
    state: str
    distance: int
    reused_from: str


class TaskEdge(msgspec.Struct, frozen=True, kw_only=True):
    """An output of ``parent`` went into ``child``."""

    parent: str
    child: str


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where the data of a task came from, and where they went; ``more``: there are tasks beyond the limit."""

    task: str
    nodes: list[TaskNode]
    edges: list[TaskEdge]
    more: bool


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A run that tasks of this one took results from, and how many did."""

    run: str
    tasks: int


def step_edges(metadata: MetadataStore, run_id: int) -> list[StepEdge]:
    """The edges of a run between steps, in the order of the children."""
    counts = metadata.step_counts(run_id)
    if sum(one.count for one in counts) > ALL_ROWS:
        return _sampled(metadata, run_id, counts)
    found: dict[tuple[str, str], int] = {}
    for edge in each_edge(metadata, run_id):
        key = (edge.parent_step, edge.child_step)
        found[key] = found.get(key, 0) + 1
    return [StepEdge(parent=parent, child=child, count=count) for (parent, child), count in found.items()]


def _sampled(metadata: MetadataStore, run_id: int, counts: list[StepCount]) -> list[StepEdge]:
    totals: dict[str, int] = {}
    for one in counts:
        totals[one.step] = totals.get(one.step, 0) + one.count
    found = []
    for step, total in totals.items():
        some = metadata.tasks(run_id, step, limit=_LOOKED_AT)
        some += metadata.tasks(run_id, step, after=max(total - _LOOKED_AT, _LOOKED_AT), limit=_LOOKED_AT)
        pairs: dict[str, int] = {}
        exact = len(some) == total
        for task in some:
            counted, whole = _parents_by_step(metadata, run_id, task.id, totals)
            exact = exact and whole
            for parent_step, count in counted.items():
                pairs[parent_step] = pairs.get(parent_step, 0) + count
        for parent_step, count in pairs.items():
            estimate = round(count * total / len(some))
            found.append(StepEdge(parent=parent_step, child=step, count=estimate, exact=exact))
    return found


def _parents_by_step(
    metadata: MetadataStore, run_id: int, task: TaskId, totals: dict[str, int]
) -> tuple[dict[str, int], bool]:
    """How many tasks of each step gave an output to ``task``, and whether they were counted: of a step with more than
    ``_COUNTED`` of them, all its tasks are taken to have."""
    found: dict[str, int] = {}
    whole = True
    after, limit = Edge(run_id, "", -1, task.step, task.number), _FEW
    while page := metadata.edges(run_id, after=after, limit=limit):
        own = [one for one in page if (one.child_step, one.child_number) == task]
        for one in own:
            found[one.parent_step] = found.get(one.parent_step, 0) + 1
        if len(own) < limit:
            break
        last = own[-1].parent_step
        if limit == _COUNTED and len({one.parent_step for one in own}) == 1:
            found[last], whole = max(totals.get(last, 0), found[last]), False
            after = Edge(run_id, last, _BEYOND, task.step, task.number)
        else:  # the last step of the page begins anew on the next
            del found[last]
            after = Edge(run_id, last, -1, task.step, task.number)
        limit = _COUNTED
    return found, whole


def lineage_of(metadata: MetadataStore, run: RunRecord, task: TaskId, limit: int) -> Lineage:
    """What ``task`` of ``run`` is made of, and what is made of it: the nearest tasks first.

    Args:
        limit: tasks up, and as many down.
    """
    nodes: dict[TaskId, int] = {task: 0}
    edges: dict[tuple[TaskId, TaskId], None] = {}
    more = False
    for sign, listing in ((-1, metadata.parents), (1, metadata.children)):
        queue, count = deque([(task, 0)]), 0
        while queue:
            here, distance = queue.popleft()
            for other in listing(run.id, here):
                if other not in nodes and count == limit:
                    more = True
                    continue
                edges[(other, here) if sign < 0 else (here, other)] = None
                if other not in nodes:
                    count += 1
                    nodes[other] = distance + sign
                    queue.append((other, distance + sign))
    made = []
    for one, distance in nodes.items():
        record = metadata.task(run.id, one)
        if record is not None:
            state, origin = str(record.state), record.reused_from
            made.append(
                TaskNode(task=task_name(run, one), step=one.step, state=state, distance=distance, reused_from=origin)
            )
    named = [TaskEdge(parent=task_name(run, a), child=task_name(run, b)) for a, b in edges]
    return Lineage(task=task_name(run, task), nodes=made, edges=named, more=more)


def origins_of(metadata: MetadataStore, run: RunRecord, limit: int = 100_000) -> list[Origin]:
    """The runs whose results tasks of ``run`` took over, those with most tasks first."""
    found: dict[str, int] = {}
    left = limit
    for step in dict.fromkeys(one.step for one in metadata.step_counts(run.id) if one.step):
        after = 0
        while left > 0 and (page := metadata.tasks(run.id, step, after=after, limit=1_000)):
            for one in page:
                if one.reused_from:
                    other = "/".join(one.reused_from.split("/")[:2])
                    found[other] = found.get(other, 0) + 1
            after, left = page[-1].number, left - len(page)
    return [Origin(run=name, tasks=count) for name, count in sorted(found.items(), key=lambda one: -one[1])]
