"""What the real client has of a task beside the artifacts that steps make, such as ``_task_ok`` and ``_foreach_var``.

None of it is stored: everything is made, when it is looked at, from what is on record of the task and of those before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from headrace.client.object_loader import load
from headrace.frontends.metaflow.authoring.splits import GANG, ForeachFrame, Frame, ParallelUBF, Transition, shown_value
from headrace.frontends.metaflow.client.metadata import target_of
from headrace.frontends.metaflow.client.runfacts import facts_of
from headrace.frontends.metaflow.names import INPUTS, TRANSITION


def private_artifacts(task: Any) -> dict[str, Callable[[], Any]]:
    """The artifacts that no task wrote, by name, and what makes them. A step's own of such a name come before them."""
    to = _transition(task)
    stack = task._stack()
    found: dict[str, Callable[[], Any]] = {
        "_configs_processed": lambda: True,
        "_current_step": lambda: task.path_components[2],
        "_exception": lambda: task.exception,
        "_foreach_num_splits": lambda: to.splits if to.kind == "foreach" else None,
        "_foreach_stack": lambda: frames_of(task),
        "_foreach_var": lambda: _variable(to),
        "_graph_info": lambda: facts_of(task._run).graph,
        "_iteration_stack": lambda: _iterations(task),
        "_success": lambda: task.successful,
        "_task_ok": lambda: task.finished,
        TRANSITION: lambda: (to.targets, _variable(to)) if to.targets else None,
    }
    splitting = _foreach_of(task, to, stack)
    if splitting is not None:
        found["_foreach_values"] = lambda: None if splitting[1] == GANG else _values(*splitting)
    if GANG in (to.var, stack[-1].var if stack else ""):
        nodes = to.splits if to.var == GANG else stack[-1].num_splits
        found |= {"_unbounded_foreach": lambda: True, GANG: lambda: ParallelUBF(nodes)}
    if stack and stack[-1].is_gang and stack[-1].index == 0:
        found |= {"_control_mapper_tasks": lambda: _nodes(task), "_control_task_is_mapper_zero": lambda: True}
    return found


def _transition(task: Any) -> Transition:
    """Where a task led; one without targets when it did not."""
    row = task._own().get(TRANSITION)
    read = load(row.value, task._run) if row is not None and task.finished else None
    return Transition(*read) if read else Transition([])


def _variable(to: Transition) -> str | None:
    return to.var if to.kind in ("foreach", "parallel") else None


def frames_of(task: Any) -> list[ForeachFrame]:
    """The foreach frames around a task, outermost first, as ``_foreach_stack`` has them."""
    found, steps = [], facts_of(task._run).graph.get("steps", {})
    for at, one in enumerate(task._stack()):
        value = None if one.is_gang else _item(task, at, one)
        splits = None if one.is_gang else one.num_splits
        found.append(ForeachFrame(target_of(steps, one.step), one.var, splits, one.index, value))
    return found


def _item(task: Any, at: int, frame: Frame) -> str | None:
    """What the value of a frame is shown as; None: it is not known any more."""
    packed = task._table().get(frame.var)
    if packed is None:  # a join in between inherited nothing
        split = _split_of(task, at)
        packed = None if split is None else split._table().get(frame.var)
    values: Any = None if packed is None else load(packed, task._run)
    try:
        return shown_value(values[frame.index])
    except (TypeError, LookupError):  # no sequence
        texts = _texts(values)
        return texts[frame.index] if frame.index < len(texts) else None


def _texts(values: Any) -> list[str]:
    return [shown_value(one) for one in values] if isinstance(values, Iterable) else []


def _values(split: Any, var: str) -> list[str]:
    """What a foreach went over."""
    packed = split._table().get(var)
    return [] if packed is None else _texts(load(packed, split._run))


# --- the tasks around it --------------------------------------------------------------------------------------------


def _foreach_of(task: Any, to: Transition, stack: list[Frame]) -> tuple[Any, str] | None:
    """The task that split the flow last, as far as that is inherited: a join inherits nothing. With the variable."""
    if _variable(to):
        return task, to.var
    if not stack:
        return None
    split = _split_of(task, len(stack) - 1, through_joins=False)
    return None if split is None else (split, stack[-1].var)


def _split_of(task: Any, at: int, *, through_joins: bool = True) -> Any:
    """The task that made the frame at a place of the stack; None: it is not on record."""
    step = task._stack()[at].step
    for one in _before(task, through_joins=through_joins):
        if one._id.step == step and len(one._stack()) == at:
            return one
    return None


def _before(task: Any, *, through_joins: bool) -> Iterator[Any]:
    """The tasks that led to one, nearest first; of the branches of a join, the first."""
    seen = {task._id}
    while through_joins or not any(one.name == INPUTS for one in task._record.inputs):
        parents = [one for one in task._parents() if one not in seen]
        if not parents:
            return
        seen.add(parents[0])
        task = task._of_run(parents[0])
        yield task


def _iterations(task: Any) -> list[int]:
    """How often a step that leads to itself ran before, as a list; an empty one for all other steps."""
    node = facts_of(task._run).graph.get("steps", {}).get(task._id.step, {})
    if task._id.step not in node.get("next", ()):
        return []
    count = 0
    for one in _before(task, through_joins=False):
        if one._id.step != task._id.step:
            break
        count += 1
    return [count]


def _nodes(task: Any) -> list[str]:
    """The tasks of a gang, by their run, step and id."""
    splits = task._parents()
    found = []
    for record in task._run.metadata.tasks(task._run.id, task._id.step):
        one = task._of_run(record.id)
        if one._parents() == splits:
            found.append((one._stack()[-1].index, one.pathspec.partition("/")[2]))
    return [name for _, name in sorted(found)]
