"""Runs the DAGs of a pipeline: which tasks run, with which inputs, and what came of them.

One thread does all of it. Other threads only append to ``_news``. What is to be done next is in ``_todo``, a queue of
functions, so that a chain of ten thousand skipped tasks does not recurse. The rules are those of docs/kfp.md.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from headrace.frontends.kfp import inputs as task_inputs
from headrace.frontends.kfp.contract import JobFacts
from headrace.frontends.kfp.dags import DagRun, LoopRun, Unit
from headrace.frontends.kfp.errors import TaskInputError
from headrace.frontends.kfp.graph import Graphs, Node
from headrace.frontends.kfp.inputs import Around, Ground
from headrace.frontends.kfp.interrupts import InterruptGate
from headrace.frontends.kfp.ir import Pipeline
from headrace.frontends.kfp.plan import Planner, seconds
from headrace.frontends.kfp.references import Fixed, Out, Ref
from headrace.frontends.kfp.scope import CANCELLED, FAILED, SKIPPED, SUCCEEDED, Ending, Environment, Outputs
from headrace.model.calls import Call, TaskHandle
from headrace.model.outcomes import NOT_ITS_OWN
from headrace.services.session import Session

#: Iterations of one loop that are begun at once where the loop sets no limit: memory is bounded by this.
_WINDOW = 2_000


class Interpreter:
    """One run of a pipeline.

    ``final_states`` are the states that exit tasks hear: how SUCCEEDED, FAILED and CANCELLED are called.
    """

    def __init__(
        self, pipeline: Pipeline, session: Session, planner: Planner, job: JobFacts, final_states: dict[str, str]
    ) -> None:
        self.session = session
        self.store = session.stores.artifacts
        self._ground = Ground(self.store, job, pipeline, final_states, session.cluster is not None)
        self._pipeline = pipeline
        self._planner = planner
        self._graphs = Graphs(pipeline.spec)
        self._todo: deque[Callable[[], None]] = deque()
        self._news: deque[Callable[[], None]] = deque()
        self._rang = threading.Event()
        self._calls: list[tuple[Call, Callable[[TaskHandle], None]]] = []
        self._live: dict[TaskHandle, None] = {}
        self._delayed = 0
        self._ending: Ending | None = None
        #: The first task that failed by itself, as its name and what was wrong; the task of the engine if it has one.
        self.first_failure: tuple[str, str, TaskHandle | None] | None = None
        self.stopping = False

    def run(
        self,
        arguments: dict[str, Any],
        gate: InterruptGate,
        artifacts: Mapping[str, list[Any]] = MappingProxyType({}),
        within: str = "",
    ) -> Ending:
        """Run the pipeline to its end. ``artifacts`` as they are stored; ``within`` stands before names of steps.

        Raises:
            KeyboardInterrupt: it is to stop; ``clean_up`` runs what is left to run.
            LeaseLostError, StoreError: the run cannot go on.
        """
        root = self._pipeline.spec.root
        assert root.dag is not None
        given: dict[str, list[Ref]] = {name: [Fixed(one) for one in ones] for name, ones in artifacts.items()}
        environment = Environment({name: Fixed(value) for name, value in arguments.items()}, given, None)
        self.begin(DagRun(self, self._graphs.of(root.dag), environment, within, ""), self._over)
        return self._follow(gate)

    def clean_up(self, gate: InterruptGate) -> Ending:
        """After an interrupt: end what is not over as cancelled, and run the exit tasks. Raises as ``run``."""
        self.stopping = True
        return self._follow(gate)

    def begin(self, unit: Unit, done: Callable[[Ending], None]) -> None:
        """Start a DAG or a loop; ``done`` is called with how it ended."""
        unit.done = done
        self.soon(unit.start)

    def soon(self, action: Callable[[], None]) -> None:
        """Call ``action`` after what is being done."""
        self._todo.append(action)

    def _over(self, ending: Ending) -> None:
        self._ending = ending

    # --- one task -----------------------------------------------------------------------------------------------

    def start_task(self, owner: DagRun, node: Node, done: Callable[[Ending], None]) -> None:
        """Start a task whose time has come: its condition, then its loop, its DAG, its component."""
        path = f"{owner.prefix}{node.key}"
        place = f"{owner.place}/{node.key}"
        try:
            environment = task_inputs.resolve(self._ground, Around(owner.environment, owner.endings), node, place)
            if not task_inputs.condition_holds(self._ground, node, environment):
                done(Ending(SKIPPED))
                return
            iterated = node.task.parameter_iterator is not None or node.task.artifact_iterator is not None
            if not iterated and node.component.dag is None:
                self._call(path, place, node, environment, done)
                return
            if iterated:
                items = task_inputs.items(self._ground, node, environment)
        except TaskInputError as error:
            done(self._failed(path, f"task {path!r}: {error}"))
            return
        cleans_up = owner.cleans_up or (self.stopping and node.is_exit)
        if iterated:
            limit = max(0, node.task.iterator_policy.parallelism_limit) or _WINDOW
            unit: Unit = LoopRun(self, node, environment, items, limit, (path, place))
        else:
            unit = self.dag_run(node, environment, path, place)
        unit.cleans_up = cleans_up
        owner.units[node.key] = unit
        self.begin(unit, partial(self._unit_over, unit, node, done, 0))

    def start_iteration(
        self, node: Node, environment: Environment, names: tuple[str, str], done: Callable[[Ending], None]
    ) -> Unit | None:
        """Start one iteration of a loop; the unit that it is, None where its component has an executor.

        ``names`` are its path and its place.
        """
        path, place = names
        if node.component.dag is None:
            try:
                self._call(path, place, node, environment, done)
            except TaskInputError as error:
                done(self._failed(path, f"task {path!r}: {error}"))
            return None
        unit = self.dag_run(node, environment, path, place)
        self.begin(unit, done)
        return unit

    def dag_run(self, node: Node, environment: Environment, path: str, place: str) -> DagRun:
        """A run of the DAG of a task's component."""
        assert node.component.dag is not None
        return DagRun(self, self._graphs.of(node.component.dag), environment, f"{path}.", place)

    def _unit_over(self, unit: Unit, node: Node, done: Callable[[Ending], None], tries: int, ending: Ending) -> None:
        """A DAG or loop ended: run its failed and skipped tasks again, if its task has a retry policy."""
        policy = node.task.retry_policy
        if ending.state != FAILED or tries >= policy.max_retry_count or self.stopping:
            done(ending)
            return
        wait = min(
            seconds(policy.backoff_duration) * max(1.0, policy.backoff_factor) ** tries,
            seconds(policy.backoff_max_duration) or 3600.0,
        )
        unit.done = partial(self._unit_over, unit, node, done, tries + 1)
        self._delayed += 1
        timer = threading.Timer(wait, self._ring, (partial(self._again, unit, ending),))
        timer.daemon = True
        timer.start()

    def _again(self, unit: Unit, ending: Ending) -> None:
        self._delayed -= 1
        if self.stopping:
            unit.done(ending)
        else:
            self.first_failure = None
            unit.again()

    def _call(
        self, path: str, place: str, node: Node, environment: Environment, done: Callable[[Ending], None]
    ) -> None:
        pending = task_inputs.arguments(self._ground, node, environment, place)
        values = task_inputs.resource_values(self._ground, node, environment)
        call = self._planner.call(path, node, pending, values, environment.platform)
        self._calls.append((call, partial(self._task_over, path, node, done)))

    def _task_over(self, path: str, node: Node, done: Callable[[Ending], None], task: TaskHandle) -> None:
        del self._live[task]
        if self.session.failure is not None:
            raise self.session.failure
        problem = task.problem
        if problem is None:
            there = {one.name for one in task.outputs}
            declared = node.component.output_definitions
            parameters = {key: Out(task, key) for key in declared.parameters if key in there}
            artifacts = {key: [Out(task, key)] for key in declared.artifacts if key in there}
            done(Ending(SUCCEEDED, Outputs(dict(parameters), {key: list(one) for key, one in artifacts.items()})))
        elif isinstance(problem, NOT_ITS_OWN):
            done(Ending(CANCELLED))
        else:
            self.session.seen(task)
            done(self._failed(path, problem.error, task))

    def _failed(self, path: str, error: str, task: TaskHandle | None = None) -> Ending:
        if self.first_failure is None:
            self.first_failure = (path, error, task)
        return Ending(FAILED, error=error)

    # --- the loop -----------------------------------------------------------------------------------------------

    def _follow(self, gate: InterruptGate) -> Ending:
        while True:
            while self._todo:
                self._todo.popleft()()
            if self._calls:
                self._submit()
            elif self._news:
                self._news.popleft()()
            elif self._live or self._delayed:
                self._wait(gate)
            else:
                break
        assert self._ending is not None, "a task of the pipeline was never decided"
        return self._ending

    def _submit(self) -> None:
        calls, self._calls = self._calls, []
        tasks = self.session.submit(*[call for call, _ in calls])
        for task, (_, then) in zip(tasks, calls, strict=True):
            self._live[task] = None
            self.session.notify(task, partial(self._ring, partial(then, task)))

    def _ring(self, action: Callable[[], None]) -> None:
        """Called by any thread."""
        self._news.append(action)
        self._rang.set()

    def _wait(self, gate: InterruptGate) -> None:
        """Wait for news. A thread that waits for the one task that is live hears its worker itself, which is faster."""
        self._rang.clear()
        if self._news:
            return
        with gate:
            if len(self._live) == 1 and not self._delayed:
                self.session.wait(next(iter(self._live)))
            self._rang.wait()
