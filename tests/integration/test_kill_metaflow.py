"""SIGKILL in the middle of a Metaflow flow with a nested foreach; both ways of going on end as if nothing had been.

What is asserted of every leaf: it ran once, and once more for each kill that found it begun and not recorded. What was
recorded as finished never ran again.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from headrace.frontends.metaflow.programs.script import environment
from headrace.model.states import RunState, TaskState
from headrace.stores import codecs
from headrace.stores.artifacts.local import LocalStore

if TYPE_CHECKING:
    from tests.integration.conftest import Project

OUTER, INNER = 6, 8
LEAVES = OUTER * INNER
#: At once; so many leaves may be under way when the kill comes.
WORKERS = 2

#: Each leaf appends to a file of its own: "s" when it starts, "e" when it is about to end.
FLOW = f"""
from pathlib import Path
from metaflow import FlowSpec, Parameter, step

class Nested(FlowSpec):
    folder = Parameter("folder")

    @step
    def start(self):
        self.letters = list(range({OUTER}))
        self.next(self.middle, foreach="letters")

    @step
    def middle(self):
        self.letter = self.input
        self.numbers = list(range({INNER}))
        self.next(self.leaf, foreach="numbers")

    @step
    def leaf(self):
        self.value = self.letter * 100 + self.input
        with open(Path(self.folder) / str(self.value), "a", buffering=1) as file:
            file.write("s")
            file.flush()
            time.sleep(0.03)
            file.write("e")
        self.next(self.inner)

    @step
    def inner(self, inputs):
        self.values = [one.value for one in inputs]
        self.merge_artifacts(inputs, include=["letter"])
        self.next(self.outer)

    @step
    def outer(self, inputs):
        self.all = {{one.letter: one.values for one in inputs}}
        self.next(self.end)

    @step
    def end(self):
        self.total = sum(sum(values) for values in self.all.values())

if __name__ == "__main__":
    Nested()
"""
VALUES = [letter * 100 + number for letter in range(OUTER) for number in range(INNER)]
EXPECTED = {letter: [letter * 100 + number for number in range(INNER)] for letter in range(OUTER)}


class Nested:
    """The flow, what its leaves did, and what is recorded of it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = project.path / "effects"
        self.folder.mkdir()
        self.file = project.write(FLOW, "nested.py")
        self.path = environment({})["PYTHONPATH"]

    def call(self, *argv: str) -> subprocess.Popen[str]:
        """``python nested.py *argv`` with ours in place of metaflow."""
        return self.project.start(str(self.file), *argv, f"--max-workers={WORKERS}", PYTHONPATH=self.path)

    def resume(self, how: str, number: int) -> subprocess.Popen[str]:
        """Go on with a run, by the command of the flow file or by ours."""
        if how == "flow.py resume":
            return self.call("resume", "--origin-run-id", str(number))
        main = "import sys; from headrace.cli.main import main; sys.exit(main())"
        return self.project.start("-c", main, "resume", f"Nested/{number}", f"--max-parallel={WORKERS}")

    def effects(self) -> dict[int, str]:
        """What each leaf wrote."""
        return {int(file.name): file.read_text() for file in self.folder.iterdir()}

    def ended(self) -> int:
        """How often a leaf came to its end."""
        return sum(text.count("e") for text in self.effects().values())

    def kill_after(self, more: int, process: subprocess.Popen[str], kind: str) -> None:
        """SIGKILL of the driver, or of its whole process group, once so many more leaves have ended."""
        deadline, before = time.monotonic() + 20, self.ended()
        while self.ended() < before + more:
            assert process.poll() is None, self.project.finish(process)
            assert time.monotonic() < deadline, f"only {self.ended() - before} of {more} leaves"
            time.sleep(0.002)
        (os.kill if kind == "driver" else os.killpg)(process.pid, signal.SIGKILL)
        assert self.project.finish(process).code == -signal.SIGKILL
        self.project.assert_nothing_left()

    def artifacts(self, step: str, name: str) -> list[Any]:
        """The values of an artifact in the tasks of a step of the newest run that are recorded as finished."""
        store = LocalStore(self.project.home / "artifacts")
        finished = {task.number for task in self.project.tasks(step) if task.state is TaskState.SUCCEEDED}
        found = self.project.metadata.artifacts(self.project.last().id)
        return [
            codecs.unpack(one.value, store)
            for one in found
            if (one.step, one.name) == (step, name) and one.number in finished
        ]

    def check_end(self) -> None:
        """The run is as one that was not killed."""
        assert self.project.last().state is RunState.SUCCEEDED
        counts = Counter(task.step for task in self.project.tasks() if task.state is TaskState.SUCCEEDED)
        assert counts == {"start": 1, "middle": OUTER, "leaf": LEAVES, "inner": OUTER, "outer": 1, "end": 1}
        assert self.artifacts("outer", "all") == [EXPECTED]
        assert self.artifacts("end", "total") == [sum(VALUES)]
        assert sorted(self.artifacts("leaf", "value")) == VALUES


def test_the_flow_without_a_kill(project: Project) -> None:
    nested = Nested(project)
    done = project.finish(nested.call("run", "--folder", str(nested.folder)))
    assert done.code == 0, done.err
    nested.check_end()
    assert set(nested.effects().values()) == {"se"}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", ["driver", "group"])
@pytest.mark.parametrize("how", ["flow.py resume", "headrace resume"])
def test_two_kills_at_random_moments(project: Project, how: str, kind: str, seed: int) -> None:
    dice = random.Random(f"{how} {kind} {seed}")
    nested = Nested(project)
    process = nested.call("run", "--folder", str(nested.folder))
    times = Counter(dict.fromkeys(VALUES, 1))
    recorded: set[int] = set()
    for _ in range(2):
        before = nested.effects()
        nested.kill_after(dice.randint(1, LEAVES // 2 - WORKERS), process, kind)
        at_kill = nested.effects()
        recorded |= set(nested.artifacts("leaf", "value"))
        begun = {leaf for leaf, text in at_kill.items() if text.count("s") > before.get(leaf, "").count("s")}
        under_way = begun - recorded
        assert len(under_way) <= 2 * WORKERS, "more was not recorded than what was at work"
        times.update(under_way)
        process = nested.resume(how, project.last().number)
    done = project.finish(process)
    assert done.code == 0, done.err
    after = nested.effects()
    assert {leaf: text.count("s") for leaf, text in after.items()} == times
    assert {leaf: after[leaf] for leaf in recorded} == {leaf: at_kill[leaf] for leaf in recorded}
    assert project.last().number == (3 if how == "flow.py resume" else 1)
    nested.check_end()
    project.assert_nothing_left()
