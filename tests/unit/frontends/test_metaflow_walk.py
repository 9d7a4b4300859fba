"""The way that a run of Metaflow took, found again from what its tasks left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.frontends.metaflow.authoring.splits import Transition
from headrace.frontends.metaflow.names import INPUTS, TRANSITION
from headrace.frontends.metaflow.running.join_argument import join_shape
from headrace.frontends.metaflow.store_import.folder import RunFolder, TaskFolder
from headrace.frontends.metaflow.store_import.walk import Expected, Found, Outcome, Walk
from headrace.frontends.metaflow.taskids import task_number, task_text
from headrace.model.records import TaskId
from headrace.stores import codecs
from headrace.stores.artifacts.memory import MemoryStore

RUN = RunFolder(Path("nowhere"), "Flow", 1795421914720807)


class Way:
    """A run as ``step/id[indices] -> where it led``; ``seen`` says from which tasks each was found to come."""

    def __init__(self, joins: tuple[str, ...], *tasks: tuple[str, tuple[int, ...], Transition | None]) -> None:
        self.store = MemoryStore()
        self.ways: dict[str, Transition | None] = {}
        self.seen: dict[str, list[str]] = {}
        self.inputs: dict[str, Any] = {}
        found = Found()
        for name, indices, way in tasks:
            step, _, number = name.partition("/")
            found.add(TaskFolder(RUN, step, number), indices)
            self.ways[name] = way
        walk = Walk(frozenset(joins), "start", {"alpha": codecs.pack(1, self.store)}, found, self.store)
        for _ in walk.visit(self.look):
            pass

    def look(self, folder: TaskFolder, expected: Expected) -> Outcome:
        name = f"{folder.step}/{folder.name}"
        inputs = expected.inputs(frozenset({"alpha", "made"}), self.store)
        sources = [source for one in inputs for source in one.sources if source.output == TRANSITION]
        self.seen[name] = [f"{one.step}/{task_text(one.number)}" for one in sources]
        self.inputs[name] = {one.name: one for one in inputs}
        way = self.ways[name]
        packed = codecs.pack(None if way is None else way.as_list(), self.store)
        made = codecs.pack(name, self.store)
        return Outcome(TaskId(folder.step, folder.number), {"made": made}, way, packed)


def to(*targets: str) -> Transition:
    return Transition(list(targets))


def test_a_loop_is_a_chain() -> None:
    way = Way(
        (),
        ("start/1", (), to("loop")),
        ("loop/2", (), to("loop")),
        ("loop/3", (), to("loop")),
        ("loop/4", (), to("end")),
        ("end/5", (), None),
    )

    assert way.seen == {
        "start/1": [],
        "loop/2": ["start/1"],
        "loop/3": ["loop/2"],
        "loop/4": ["loop/3"],
        "end/5": ["loop/4"],
    }
    assert way.inputs["end/5"]["made"].sources[0].step == "loop"
    assert way.inputs["end/5"]["alpha"].sources == ()


def test_a_loop_in_a_foreach_stays_in_its_branch() -> None:
    each = Transition(["loop"], "foreach", "items", 2)
    way = Way(
        ("join",),
        ("start/1", (), each),
        *(("loop/2", (0,), to("loop")), ("loop/3", (1,), to("join")), ("loop/4", (0,), to("join"))),
        ("join/5", (), None),
    )

    assert way.seen["loop/4"] == ["loop/2"]
    assert way.seen["loop/3"] == ["start/1"]
    assert way.seen["join/5"] == ["loop/4", "loop/3"]  # by index, not by the order they ended in


def test_tasks_are_visited_after_what_they_need_whatever_their_numbers() -> None:
    each = Transition(["work"], "foreach", "items", 3)
    way = Way(
        ("join",),
        *(("work/1", (2,), to("join")), ("work/2", (0,), to("join")), ("join/3", (), to("end"))),
        *(("start/4", (), each), ("end/5", (), None), ("work/6", (1,), to("join"))),
    )

    assert list(way.seen) == ["start/4", "work/2", "work/6", "work/1", "join/3", "end/5"]
    assert way.seen["join/3"] == ["work/2", "work/6", "work/1"]


def test_branches_in_a_foreach_are_joined_one_by_one() -> None:
    each = Transition(["fork"], "foreach", "items", 2)
    forks = [(f"fork/{n}", (n,), to("left", "right")) for n in (0, 1)]
    sides = [(f"{side}/{n}", (n,), to("meet")) for n in (0, 1) for side in ("left", "right")]
    meets = [(f"meet/{n}", (n,), to("join")) for n in (0, 1)]
    way = Way(("meet", "join"), ("start/9", (), each), *forks, *sides, *meets, ("join/7", (), None))

    assert way.seen["meet/1"] == ["left/1", "right/1"]
    assert way.seen["join/7"] == ["meet/0", "meet/1"]
    shape: Any = codecs.unpack(way.inputs["join/7"][INPUTS].value, way.store)
    assert [(step, stack) for step, stack, _ in shape] == [
        ("meet", [["start", "items", 2, 0]]),
        ("meet", [["start", "items", 2, 1]]),
    ]


def test_tasks_that_no_other_led_to_come_last_and_alone() -> None:
    way = Way(("join",), ("start/1", (), to("gone")), ("later/2", (), to("end")), ("end/3", (), None))

    assert way.seen == {"start/1": [], "later/2": [], "end/3": []}


def test_a_join_waits_for_all_branches() -> None:
    each = Transition(["work"], "foreach", "items", 2)
    way = Way(("join",), ("start/1", (), each), ("work/2", (0,), to("join")))

    assert way.seen == {"start/1": [], "work/2": ["start/1"]}


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("2_node_1", 1_000_000_002), ("2_node_17", 17_000_000_002)])
def test_ids_of_tasks(text: str, number: int) -> None:
    assert task_number(text) == number
    assert task_text(number) == text


@pytest.mark.parametrize("text", ["", "x", "2_node_", "2_node_x", "_node_1", "²", "-1", "1234567890"])
def test_what_is_no_id_of_a_task(text: str) -> None:
    assert task_number(text) is None


def test_the_shape_of_a_join_depends_on_its_content_alone() -> None:
    one = [("a", [["s", "v", 2, n]], {"".join(["ma", "de"]): ("task", n), "alpha": None}) for n in range(2)]
    frame = ["s", "v", 2, 1]
    shared = [("a", [["s", "v", 2, 0]], {"made": ("task", 0), "alpha": None})]
    shared.append(("a", [frame], {"made": ("task", 1), "alpha": None}))
    store = MemoryStore()

    first, fills = join_shape(one)
    second, _ = join_shape(shared)

    assert fills == [("task", 0), ("task", 1)]
    assert codecs.pack(first, store) == codecs.pack(second, store)
