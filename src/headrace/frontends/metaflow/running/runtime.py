"""Drives a Metaflow run: submits tasks to the engine and, when one ends, those that its ``_transition`` leads to.

The graph is not consulted: what a task says decides. Every task carries the splits around it; a step that takes
``inputs`` closes the innermost, once all its branches have arrived.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

from headrace.frontends.metaflow.authoring.graph import FlowGraph
from headrace.frontends.metaflow.authoring.splits import GANG, Transition
from headrace.frontends.metaflow.exceptions import MetaflowException, StepFailed
from headrace.frontends.metaflow.names import FLOW_NAME, FOREACH, INPUTS, INTERNAL, SUCCESS, TRANSITION
from headrace.frontends.metaflow.running.console import Console
from headrace.frontends.metaflow.running.join_argument import join_shape
from headrace.frontends.metaflow.running.livetasks import LiveTasks
from headrace.frontends.metaflow.running.plan import StepPlan
from headrace.frontends.metaflow.taskids import shown
from headrace.model.calls import Call, PendingInput, PendingSource, TaskHandle
from headrace.model.outcomes import Cancelled, InputUnreadable, Problem, Raised
from headrace.model.states import TaskState
from headrace.model.values import Packed
from headrace.services.session import Session
from headrace.stores import codecs

#: What a log ends with, and the console shows, of a task that was ended because another one failed.
KILLED = "[KILLED BY ORCHESTRATOR]"
#: Where an artifact is: in the output of a task, or known by itself.
Where = Packed | tuple[TaskHandle, str]
#: How long tasks may go on after another one failed, in seconds.
_GRACE = 5.0


FINISHED = "Task finished successfully."


def last_words(problem: Problem) -> str:
    """What the log of a failed attempt ends with, and the console shows; what the step raised stands there already."""
    if problem.exit_code == -signal.SIGSEGV:
        return "Task failed with a segmentation fault."
    return "Task failed." if isinstance(problem, Raised) else f"{problem.error}\nTask failed."


class Group:
    """The branches of one split that has not been joined."""

    __slots__ = ("arrived", "count", "missing")

    def __init__(self, count: int) -> None:
        self.count = count
        self.missing = count
        self.arrived: list[Node | None] = [None] * count


class Split:
    """A split as one of its branches sees it. ``frame`` is set for a foreach: step, variable, splits, index."""

    __slots__ = ("frame", "group", "index")

    def __init__(self, group: Group, index: int, frame: list[Any] | None) -> None:
        self.group = group
        self.index = index
        self.frame = frame


class Node:
    """A call, or task, of the run with what it inherited and the splits it is in."""

    __slots__ = ("call", "splits", "step", "table", "task")

    def __init__(self, step: str, table: dict[str, Where], splits: tuple[Split, ...], call: Call) -> None:
        self.step = step
        self.table = table
        self.splits = splits
        self.call = call
        self.task: TaskHandle  # once it was submitted

    @property
    def stack(self) -> list[list[Any]]:
        """The foreach frames around it."""
        return [one.frame for one in self.splits if one.frame is not None]


class Runtime:
    """One run, from its first task to its last."""

    def __init__(
        self,
        session: Session,
        graph: FlowGraph,
        plans: Mapping[str, StepPlan],
        base: dict[str, Packed],
        console: Console,
        max_splits: int,
    ) -> None:
        self._session = session
        self._store = session.stores.artifacts
        self._graph = graph
        self._plans = plans
        self._base = base
        self._console = console
        self._max_splits = max_splits
        #: The task that ended the flow, with all its artifacts.
        self.last: Node | None = None
        self.tasks = LiveTasks(session, plans, console)
        self._timer: threading.Timer | None = None
        self.failed: list[TaskHandle] = []
        #: Run nothing, only take over what the origin finished.
        self.only_known = False

    def run(self) -> None:
        """Run to the end.

        Raises:
            MetaflowException: a task failed, or went where the flow does not lead.
        """
        try:
            self._submit([self._node(self._graph.start_step, dict(self._base), (), [])])
            self.tasks.follow()
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def artifacts_of(self, node: Node) -> dict[str, Where]:
        """Where the artifacts are that a finished task hands on, those it inherited included."""
        table: dict[str, Where] = dict(self._base) if self._graph[node.step].num_args > 1 else dict(node.table)
        for output in node.task.outputs:
            if output.name not in INTERNAL and output.name != FLOW_NAME:
                table[output.name] = (node.task, output.name)
        return table

    # --- what happens ------------------------------------------------------------------------------------------

    def _ended(self, node: Node, task: TaskHandle) -> None:
        name = str(task.id)
        if task.problem is not None:
            self._on_failure(task, task.problem, name)
            return
        if self.failed:
            self._console.ended(name)
            return
        transition = self._from_gang(node) or self._transition(task)
        if task.origin:
            origin = shown(task.origin.partition("/")[2])
            self._console.say(f"[{self._console.run}/{name}] Cloned from {origin}.")
        elif not self._console.has_started(name):
            self._console.say(f"[{self._console.run}/{name}] Was finished already.")
        else:
            is_foreach = transition is not None and transition.kind == "foreach"
            yields = (f"Foreach yields {transition.splits} child steps.",) if is_foreach else ()  # type: ignore[union-attr]
            self._console.ended(name, *yields, FINISHED)
        if task.attempt == task.attempts_before:  # taken over: the code may have been edited since
            transition = self._led_now(node, transition)
        if transition is not None:
            self._go_on(node, transition)
        elif node.step == self._graph.end_step:
            self.last = node
        else:
            raise MetaflowException(
                f"Step *{node.step}* ended without a call of self.next(): nobody knows what follows. End it with one."
            )

    def _on_failure(self, task: TaskHandle, problem: Problem, name: str) -> None:
        if isinstance(problem, Cancelled):
            self._console.ended(name, *([KILLED] if self._console.has_started(name) else []), bad=True)
            return
        never_ran = (problem.error, "Task failed.") if isinstance(problem, InputUnreadable) else ()
        self._console.ended(name, *never_ran, bad=True)
        if not self.failed:
            self._console.say("Workflow failed.", bad=True)
            self._end_others()
        self.failed.append(task)

    def _end_others(self) -> None:
        """Let running tasks finish if they are quick; start no more."""
        waiting = [one for one in self.tasks if one.state is not TaskState.RUNNING]
        for task in waiting:
            self._session.cancel(task)
        self._console.say(f"Terminating {len(self.tasks) - len(waiting)} active tasks...", bad=True)
        timer = threading.Timer(_GRACE, self.tasks.cancel)
        timer.daemon = True
        timer.start()
        self._timer = timer

    def _from_gang(self, node: Node) -> Transition | None:
        """Where a node of a gang leads, whatever it says: to the join, which follows the step of the gang."""
        frame = node.splits[-1].frame if node.splits else None
        is_node = frame is not None and frame[1] == GANG and frame[0] in self._graph[node.step].in_funcs
        return Transition(list(self._graph[node.step].out_funcs)) if is_node else None

    def _transition(self, task: TaskHandle) -> Transition | None:
        read: Any = codecs.unpack(task.output(TRANSITION), self._store)
        return None if read is None else Transition(*read)

    # --- going on ----------------------------------------------------------------------------------------------

    def _led_now(self, node: Node, to: Transition | None) -> Transition | None:
        """Where a task leads that was taken over: where the code leads now, as its artifacts are what decides there.

        Raises:
            MetaflowException: that would take running the step.
        """
        now = self._graph[node.step]
        if to is None and not now.out_funcs:
            return None
        if to is not None and all(target in now.out_funcs for target in to.targets):
            return to
        before = to if to is not None else Transition([])
        if (
            now.condition
            or now.parallel_foreach
            or before.kind == "parallel"
            or (now.foreach_param or "") != before.var
        ):
            raise MetaflowException(
                f"Step *{node.step}* was finished already, but its code was edited since and leads elsewhere now. Run "
                f"it again, with all that follows: resume {node.step} (or headrace resume --from {node.step})"
            )
        if not now.out_funcs:
            return None
        return Transition(list(now.out_funcs), before.kind if before.var else "", before.var, before.splits)

    def _go_on(self, node: Node, to: Transition) -> None:
        expected = self._graph[node.step].out_funcs
        for target in to.targets:
            if target not in expected:
                raise MetaflowException(
                    f"Based on static analysis of the code, step *{node.step}* was expected to transition to step(s) "
                    f"*{', '.join(expected)}*. However, when the code was executed, self.next() was called with "
                    f"*{', '.join(to.targets)}*. Make sure there is only one unconditional self.next() call in the end "
                    "of your step."
                )
        table = self.artifacts_of(node)
        parents = [PendingInput(TRANSITION, None, (PendingSource(node.task, TRANSITION),))]
        if to.kind in ("foreach", "parallel"):
            self._split(node, to, table, parents)
        elif len(to.targets) > 1:
            group = Group(len(to.targets))
            self._submit(
                [
                    self._node(target, table, (*node.splits, Split(group, at, None)), parents)
                    for at, target in enumerate(to.targets)
                ]
            )
        elif self._graph[to.targets[0]].num_args > 1:
            self._arrive(node, to.targets[0])
        else:
            self._submit([self._node(to.targets[0], table, node.splits, parents)])

    def _split(self, node: Node, to: Transition, table: dict[str, Where], parents: list[PendingInput]) -> None:
        if to.kind == "foreach" and to.splits > self._max_splits:
            raise StepFailed(
                f"Foreach in step *{node.step}* yielded {to.splits} child steps which is more than the current maximum "
                f"of {self._max_splits} children. You can raise the maximum with the --max-num-splits option."
            )
        room = self._session.max_parallel
        if to.kind == "parallel" and 0 < room < to.splits:
            raise StepFailed(
                f"Step *{to.targets[0]}* is to run as a gang of {to.splits} tasks at once, but at most {room} tasks "
                "may run at once. You can raise the maximum with the --max-workers option."
            )
        group = Group(to.splits)
        children: list[Node] = []
        for index in range(to.splits):
            split = Split(group, index, [node.step, to.var, to.splits, index])
            child = self._node(to.targets[0], table, (*node.splits, split), parents)
            if to.kind == "parallel" and index:
                child.call.beside = children[0].call
            children.append(child)
        self._submit(children)

    def _arrive(self, node: Node, join: str) -> None:
        """A branch reached the join of its innermost split."""
        if not node.splits:
            raise MetaflowException(f"Step *{join}* is a join, but nothing was split before *{node.step}*.")
        split = node.splits[-1]
        group = split.group
        group.arrived[split.index] = node
        group.missing -= 1
        if not group.missing:
            branches = [one for one in group.arrived if one is not None]
            group.arrived = []
            self._submit([self._join(join, branches, node.splits[:-1])])

    def _join(self, step: str, branches: list[Node], splits: tuple[Split, ...]) -> Node:
        """All branches in one argument: a template of steps, frames and names, with a hole for every artifact."""
        tables: list[tuple[str, list[Any], dict[str, tuple[TaskHandle, str] | None]]] = []
        for branch in branches:
            table: dict[str, Where] = {**self.artifacts_of(branch), TRANSITION: (branch.task, TRANSITION)}
            if any(output.name == SUCCESS for output in branch.task.outputs):  # a failure of it was caught
                table[SUCCESS] = (branch.task, SUCCESS)
            made = {name: where if isinstance(where, tuple) else None for name, where in table.items()}
            tables.append((branch.step, branch.stack, made))
        shape, fills = join_shape(tables)
        sources = tuple(PendingSource(*where) for where in fills)
        one = PendingInput(INPUTS, codecs.pack(shape, self._store), sources)
        return self._node(step, dict(self._base), splits, [one])

    # --- tasks -------------------------------------------------------------------------------------------------

    def _node(self, step: str, table: dict[str, Where], splits: tuple[Split, ...], more: list[PendingInput]) -> Node:
        pending = list(more)
        stack = [one.frame for one in splits if one.frame is not None]
        if stack:
            pending.append(PendingInput(FOREACH, codecs.pack(stack, self._store)))
        for name in sorted(table):
            where = table[name]
            if isinstance(where, tuple):
                pending.append(PendingInput(name, None, (PendingSource(*where),)))
            else:
                pending.append(PendingInput(name, where))
        return Node(step, table, splits, Call(self._plans[step].info(self._session), tuple(pending)))

    def _submit(self, nodes: list[Node]) -> None:
        if self.only_known:
            known = [node for node in nodes if self._session.was_finished(node.call)]
            is_gang = any(node.call.beside is not None for node in nodes)
            nodes = known if len(known) == len(nodes) or not is_gang else []
        tasks = self.tasks.submit([(node.call, partial(self._ended, node)) for node in nodes])
        for node, task in zip(nodes, tasks, strict=True):
            node.task = task
