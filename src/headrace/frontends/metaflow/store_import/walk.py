"""The way a run took, from what its tasks left: which task led to which, and what each took over from it.

This goes as ``running.runtime`` goes when it runs a flow, so that the inputs of a task are what they would be had it
run here: tasks that are looked for by step and foreach indices take the place of tasks that are submitted.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from headrace.frontends.metaflow.authoring.splits import Transition
from headrace.frontends.metaflow.names import FOREACH, INPUTS, SUCCESS, TRANSITION
from headrace.frontends.metaflow.running.join_argument import join_shape
from headrace.frontends.metaflow.store_import.folder import TaskFolder
from headrace.model.records import Input, Source, TaskId
from headrace.model.values import Packed
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore


class Made(NamedTuple):
    """An output of a task."""

    task: TaskId
    name: str
    value: Packed

    def source(self) -> Source:
        """As an input of another."""
        return Source(self.task.step, self.task.number, self.name, self.value.digest)


#: Where an artifact comes from: a task, or the start of the run.
Where = Made | Packed


class Group:
    """The branches of a split that has not been joined."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.arrived: dict[int, Arrived] = {}


class Split(NamedTuple):
    """A split as one of its branches sees it; ``frame`` is set for a foreach: step, variable, splits, index."""

    group: Group
    at: int
    frame: list[Any] | None


class Expected(NamedTuple):
    """A task that should be there: what it was given."""

    step: str
    splits: tuple[Split, ...]
    table: Mapping[str, Where]
    first: tuple[Input, ...] = ()
    is_join: bool = False

    @property
    def stack(self) -> list[list[Any]]:
        """The foreach frames around it."""
        return [one.frame for one in self.splits if one.frame is not None]

    def inputs(self, names: frozenset[str], store: ArtifactStore) -> tuple[Input, ...]:
        """Its inputs, of its artifacts those in ``names``."""
        found = list(self.first)
        if self.stack:
            found.append(Input(FOREACH, codecs.pack(self.stack, store)))
        for name in sorted(names & self.table.keys()):
            where = self.table[name]
            if isinstance(where, Made):
                found.append(Input(name, where.value, (where.source(),)))
            else:
                found.append(Input(name, where))
        return tuple(found)


class Outcome(NamedTuple):
    """What came of a task that was found: its outputs that are artifacts, and where it led. None: it did not end."""

    task: TaskId
    outputs: Mapping[str, Packed]
    transition: Transition | None = None
    packed: Packed | None = None
    caught: Packed | None = None  # the mark of a failure that was caught


class Arrived(NamedTuple):
    """A branch at a join. ``marks``: its outputs that are no artifacts."""

    expected: Expected
    table: Mapping[str, Where]
    marks: Mapping[str, Made]


class Walk:
    """The tasks of one run, each handed out once, after those that it depends on."""

    def __init__(
        self, joins: frozenset[str], start: str, base: Mapping[str, Packed], found: Found, store: ArtifactStore
    ) -> None:
        self._joins = joins
        self._base = base
        self._found = found
        self._store = store
        self._queue: deque[Expected] = deque([Expected(start, (), dict(base))])

    def visit(self, look: Callable[[TaskFolder, Expected], Outcome]) -> Iterator[None]:
        """Call ``look`` with every task, one for each step of the iteration; what it returns says what is next."""
        while self._queue:
            expected = self._queue.popleft()
            folder = self._found.take(expected.step, tuple(frame[3] for frame in expected.stack))
            if folder is not None:
                self._go_on(expected, look(folder, expected))
                yield
        for folder in self._found.rest():  # what led there is gone, or damaged
            look(folder, Expected(folder.step, (), dict(self._base), (), folder.step in self._joins))
            yield

    def _go_on(self, expected: Expected, outcome: Outcome) -> None:
        to = outcome.transition
        if to is None or outcome.packed is None:
            return
        table: dict[str, Where] = dict(self._base) if expected.is_join else dict(expected.table)
        table.update({name: Made(outcome.task, name, value) for name, value in outcome.outputs.items()})
        way = Made(outcome.task, TRANSITION, outcome.packed)
        first = (Input(TRANSITION, outcome.packed, (way.source(),)),)
        splits = expected.splits
        if to.kind in ("foreach", "parallel"):
            group = Group(to.splits)
            for index in range(to.splits):
                split = Split(group, index, [expected.step, to.var, to.splits, index])
                self._queue.append(Expected(to.targets[0], (*splits, split), table, first))
        elif len(to.targets) > 1:
            group = Group(len(to.targets))
            for at, target in enumerate(to.targets):
                self._queue.append(Expected(target, (*splits, Split(group, at, None)), table, first))
        elif to.targets[0] in self._joins and splits:
            marks = {TRANSITION: way}
            if outcome.caught is not None:
                marks[SUCCESS] = Made(outcome.task, SUCCESS, outcome.caught)
            self._arrive(to.targets[0], splits, Arrived(expected, table, marks))
        else:
            self._queue.append(Expected(to.targets[0], splits, table, first))

    def _arrive(self, join: str, splits: tuple[Split, ...], branch: Arrived) -> None:
        group = splits[-1].group
        group.arrived[splits[-1].at] = branch
        if len(group.arrived) < group.count:
            return
        made: dict[tuple[TaskId, str], Made] = {}
        tables: list[tuple[str, list[Any], dict[str, tuple[TaskId, str] | None]]] = []
        for at in sorted(group.arrived):
            one = group.arrived[at]
            mine: dict[str, tuple[TaskId, str] | None] = {}
            for name, where in {**one.table, **one.marks}.items():
                mine[name] = None
                if isinstance(where, Made):
                    mine[name] = key = (where.task, where.name)
                    made[key] = where
            tables.append((one.expected.step, one.expected.stack, mine))
        group.arrived.clear()
        shape, fills = join_shape(tables)
        sources = tuple(made[key].source() for key in fills)
        first = (Input(INPUTS, codecs.pack(shape, self._store), sources, template=True),)
        self._queue.append(Expected(join, splits[:-1], dict(self._base), first, True))


class Found:
    """The tasks that are there, by step and foreach indices; of equal ones (loops) the smaller number comes first."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[str, tuple[int, ...]], deque[TaskFolder]] = defaultdict(deque)

    def add(self, folder: TaskFolder, indices: tuple[int, ...]) -> None:
        """A task; to be called in order of their numbers."""
        self._tasks[folder.step, indices].append(folder)

    def take(self, step: str, indices: tuple[int, ...]) -> TaskFolder | None:
        """The first of those that were not taken."""
        waiting = self._tasks.get((step, indices))
        return waiting.popleft() if waiting else None

    def rest(self) -> Iterator[TaskFolder]:
        """All that were not taken."""
        for waiting in self._tasks.values():
            while waiting:
                yield waiting.popleft()


__all__ = ["Expected", "Found", "Made", "Outcome", "Walk"]
