"""Runs of DAGs and loops: which of their tasks are due, and how they end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from headrace.frontends.kfp.graph import Graph, Node
from headrace.frontends.kfp.references import Fixed, Ref, Several
from headrace.frontends.kfp.scope import (
    CANCELLED,
    FAILED,
    SKIPPED,
    SUCCEEDED,
    Ending,
    Environment,
    Outputs,
    joint_ending,
)


class Scheduler(Protocol):
    """What runs of DAGs ask of the interpreter."""

    @property
    def stopping(self) -> bool:
        """Whether the run is being stopped: only exit tasks are started."""

    def soon(self, action: Callable[[], None]) -> None:
        """Call ``action`` after what is being done."""

    def start_task(self, owner: DagRun, node: Node, done: Callable[[Ending], None]) -> None:
        """Start a task whose time has come; ``done`` is called with how it ended."""

    def start_iteration(
        self, node: Node, environment: Environment, names: tuple[str, str], done: Callable[[Ending], None]
    ) -> Unit | None:
        """Start one iteration of a loop; the unit that it is, if it is one. ``names`` are its path and its place."""


class Unit:
    """A DAG or loop that runs. ``cleans_up``: it runs although the run is being stopped."""

    __slots__ = ("cleans_up", "done")

    cleans_up: bool
    done: Callable[[Ending], None]

    def start(self) -> None:
        """Begin."""
        raise NotImplementedError

    def again(self) -> None:
        """Run what failed, and what was skipped, once more."""
        raise NotImplementedError


class DagRun(Unit):
    """One run of a DAG. ``prefix`` stands before the names of its tasks, ``place`` tells iterations apart."""

    __slots__ = ("_left", "_waiting", "endings", "environment", "graph", "place", "prefix", "scheduler", "units")

    def __init__(self, scheduler: Scheduler, graph: Graph, environment: Environment, prefix: str, place: str) -> None:
        self.scheduler = scheduler
        self.graph = graph
        self.environment = environment
        self.prefix = prefix
        self.place = place
        self.cleans_up = False
        self.endings: dict[str, Ending] = {}
        #: DAGs and loops that tasks of this one are, for ``again``.
        self.units: dict[str, Unit] = {}
        self._waiting = {key: len(node.upstream) for key, node in graph.nodes.items()}
        self._left = len(graph.nodes)

    def start(self) -> None:
        """See ``Unit``."""
        for key in self.graph.first:
            self.scheduler.soon(partial(self._due, key))
        if not self._left:
            self.done(self._ending())

    def again(self) -> None:
        """See ``Unit``."""
        reset = [key for key, one in self.endings.items() if one.state in (FAILED, SKIPPED, CANCELLED)]
        for key in reset:
            del self.endings[key]
        self._left = len(reset)
        for key in reset:
            self._waiting[key] = sum(one not in self.endings for one in self.graph.nodes[key].upstream)
            if not self._waiting[key]:
                self.scheduler.soon(partial(self._due, key))

    def _due(self, key: str) -> None:
        """All tasks before this one are over: run it or not."""
        node = self.graph.nodes[key]
        done = partial(self._over, key)
        before = [self.endings[one].state for one in node.upstream]
        if self.scheduler.stopping and not self.cleans_up and not node.is_exit:
            done(Ending(CANCELLED))
        elif not node.always and any(state != SUCCEEDED for state in before):
            done(Ending(CANCELLED if CANCELLED in before else SKIPPED))
        elif key in self.units:  # it failed, and this is another try
            unit = self.units[key]
            unit.done = done
            unit.again()
        else:
            self.scheduler.start_task(self, node, done)

    def _over(self, key: str, ending: Ending) -> None:
        self.endings[key] = ending
        for follower in self.graph.nodes[key].followers:
            if follower not in self.endings:
                self._waiting[follower] -= 1
                if not self._waiting[follower]:
                    self.scheduler.soon(partial(self._due, follower))
        self._left -= 1
        if not self._left:
            self.done(self._ending())

    def _ending(self) -> Ending:
        ending = joint_ending(list(self.endings.values()))
        if ending.state == SUCCEEDED:
            ending.outputs = self._outputs()
        return ending

    def _outputs(self) -> Outputs:
        """What the DAG gives; what a skipped task would have given is absent."""
        told = self.graph.outputs
        parameters: dict[str, Ref] = {}
        for name, output in told.parameters.items():
            one_of = output.value_from_oneof
            selectors = one_of.parameter_selectors if one_of is not None else (output.value_from_parameter,)
            for one in selectors:
                ending = self.endings[one.producer_subtask] if one is not None else None
                if one is not None and ending is not None and ending.state == SUCCEEDED:
                    if one.output_parameter_key in ending.outputs.parameters:
                        parameters[name] = ending.outputs.parameters[one.output_parameter_key]
                    break
        artifacts: dict[str, list[Ref]] = {}
        for name, artifact in told.artifacts.items():
            for selector in artifact.artifact_selectors:
                ending = self.endings[selector.producer_subtask]
                if ending.state == SUCCEEDED:
                    if selector.output_artifact_key in ending.outputs.artifacts:
                        artifacts[name] = ending.outputs.artifacts[selector.output_artifact_key]
                    break
        return Outputs(parameters, artifacts)


class LoopRun(Unit):
    """One run of a loop: its component once per item, at most ``limit`` at once. ``names``: its path and its place."""

    __slots__ = (
        "_active",
        "_endings",
        "_environment",
        "_items",
        "_limit",
        "_names",
        "_node",
        "_scheduler",
        "_todo",
        "_units",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        node: Node,
        environment: Environment,
        items: list[Ref],
        limit: int,
        names: tuple[str, str],
    ) -> None:
        self._scheduler = scheduler
        self._node = node
        self._environment = environment
        self._items = items
        self._limit = limit
        self._names = names
        self._endings: list[Ending | None] = [None] * len(items)
        self._units: dict[int, Unit] = {}
        self._todo = list(range(len(items) - 1, -1, -1))  # the next one last
        self._active = 0
        self.cleans_up = False

    def start(self) -> None:
        """See ``Unit``."""
        self._fill()
        if not self._items:
            self.done(self._ending())

    def again(self) -> None:
        """See ``Unit``."""
        states = [one.state if one is not None else "" for one in self._endings]
        self._todo = [at for at in range(len(states) - 1, -1, -1) if states[at] != SUCCEEDED]
        for at in self._todo:
            self._endings[at] = None
        self._fill()

    def _fill(self) -> None:
        while self._todo and self._active < self._limit:
            self._active += 1
            self._scheduler.soon(partial(self._begin, self._todo.pop()))

    def _begin(self, at: int) -> None:
        done = partial(self._over, at)
        if self._scheduler.stopping and not self.cleans_up:
            done(Ending(CANCELLED))
        elif at in self._units:
            unit = self._units[at]
            unit.done = done
            unit.again()
        else:
            path, place = self._names
            names = (path, f"{place}[{at}]")
            inside = self._inside(at)
            started = self._scheduler.start_iteration(self._node, inside, names, done)
            if started is not None:
                started.cleans_up = self.cleans_up
                self._units[at] = started

    def _inside(self, at: int) -> Environment:
        """The inputs of an iteration: those of the loop, and its item."""
        task, outer = self._node.task, self._environment
        if task.parameter_iterator is not None:
            parameters = {**outer.parameters, task.parameter_iterator.item_input: self._items[at]}
            inside = Environment(parameters, outer.artifacts, outer.around)
        else:
            assert task.artifact_iterator is not None
            artifacts = {**outer.artifacts, task.artifact_iterator.item_input: [self._items[at]]}
            inside = Environment(outer.parameters, artifacts, outer.around)
        inside.platform = outer.platform
        return inside

    def _over(self, at: int, ending: Ending) -> None:
        self._endings[at] = ending
        self._active -= 1
        if ending.state == SUCCEEDED:
            self._units.pop(at, None)
        self._fill()
        if not self._active and not self._todo:
            self.done(self._ending())

    def _ending(self) -> Ending:
        endings = [one for one in self._endings if one is not None]
        ending = joint_ending(endings)
        if ending.state != SUCCEEDED:
            return ending
        declared = self._node.component.output_definitions
        parameters: dict[str, Ref] = {}
        for key in declared.parameters:
            there = [one.outputs.parameters[key] for one in endings if key in one.outputs.parameters]
            parameters[key] = Several(there) if there else Fixed([])
        artifacts: dict[str, list[Ref]] = {}
        for key in declared.artifacts:
            artifacts[key] = [ref for one in endings for ref in one.outputs.artifacts.get(key, [])]
        return Ending(SUCCEEDED, Outputs(parameters, artifacts))
