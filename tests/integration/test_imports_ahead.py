"""Imports inside of steps: made once for all tasks where that changes nothing that a task can see."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headrace.frontends.metaflow.programs.script import environment

if TYPE_CHECKING:
    from tests.integration.conftest import Project

#: Takes a while, and notes each time that it is imported.
SLOW = """
import os, time
began = time.monotonic()
while time.monotonic() - began < 0.8:
    pass
with open(os.environ["IMPORTS_LOG"], "a") as log:
    log.write(f"{os.getpid()}\\n")
"""
QUICK = SLOW.replace("0.8", "0")

SEARCH = """
import os
from metaflow import FlowSpec, step

class Search(FlowSpec):
    @step
    def start(self):
        IMPORT
        self.points = list(range(6))
        self.next(self.evaluate, foreach="points")

    @step
    def evaluate(self):
        IMPORT
        self.found = (os.getpid(), module.VALUE)
        self.next(self.join)

    @step
    def join(self, inputs):
        print("found", len({one.found[0] for one in inputs}), {one.found[1] for one in inputs})
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Search()
"""


class Flow:
    """A search whose steps import ``module``: one of the user's own, or an installed one."""

    def __init__(self, project: Project, code: str, *, installed: bool) -> None:
        self.project = project
        self.log = project.path / "imports.log"
        folder = project.path / "site-packages" if installed else project.path
        folder.mkdir(exist_ok=True)
        (folder / "module.py").write_text(f"{code}\nVALUE = 7\n")
        self.file = project.path / "search.py"
        self.file.write_text(SEARCH.replace("IMPORT", "import module"))
        self.path = os.pathsep.join([environment({})["PYTHONPATH"], str(project.path / "site-packages")])

    def run(self, *options: str) -> str:
        """What a run prints; it must succeed."""
        self.log.write_text("")
        started = self.project.start(str(self.file), "run", *options, PYTHONPATH=self.path, IMPORTS_LOG=str(self.log))
        done = self.project.finish(started, 120)
        assert done.code == 0, done.out + done.err
        assert "found 6 {7}" in done.out
        return done.out

    def imports(self) -> int:
        """How often the module was imported in the last run."""
        return len(self.log.read_text().splitlines())


@pytest.mark.parametrize("installed", [False, True])
def test_a_module_that_takes_long_is_imported_once_more_and_not_in_every_task(
    project: Project, installed: bool
) -> None:
    flow = Flow(project, SLOW, installed=installed)
    flow.run()
    assert flow.imports() <= 2


def test_an_installed_module_is_imported_once_in_the_next_run(project: Project) -> None:
    flow = Flow(project, SLOW, installed=True)
    flow.file.write_text(SEARCH.replace("IMPORT", "import importlib; module = importlib.import_module('mod' 'ule')"))
    flow.run()
    (kept,) = (project.home / "imports").iterdir()
    assert '"module"' in kept.read_text()
    flow.run()
    assert flow.imports() == 1
    kept.write_text("{damaged")
    flow.run()
    kept.write_text('{"steps": {"start": ["not_there_any_more", "module.neither"]}, "refused": []}')
    flow.run()


def test_a_quick_module_of_the_users_is_imported_afresh_in_each_task(project: Project) -> None:
    flow = Flow(project, QUICK, installed=False)
    flow.run()
    assert flow.imports() == 7


@pytest.mark.parametrize("installed", [False, True])
@pytest.mark.parametrize(
    "effect",
    [
        "print('module says hello')",
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "import subprocess, atexit; child = subprocess.Popen(['sleep', '50']); atexit.register(child.kill)",
        "import os; os.chdir('/')",
        "import logging; logging.getLogger().addHandler(logging.NullHandler())",
        "import signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
        "import multiprocessing; HELD = multiprocessing.get_context('fork').Manager()",
    ],
)
def test_a_module_with_effects_is_imported_in_each_task(project: Project, effect: str, installed: bool) -> None:
    flow = Flow(project, f"{SLOW}\n{effect}", installed=installed)
    out = flow.run()
    assert flow.imports() >= 7
    if effect.startswith("print"):
        assert out.count("module says hello") == 7
    project.assert_nothing_left()


@pytest.mark.parametrize(
    "effect",
    [
        "os._exit(3)",
        "os.kill(os.getpid(), 11)",
        "raise ValueError",
        "raise SystemExit(3)",
    ],
)
def test_an_import_that_fails_ahead_costs_nothing(project: Project, effect: str) -> None:
    # In tasks it works: these have the file that the flow makes when it begins to run.
    code = f"import os, sys\nif not getattr(sys, 'in_task', False):\n    {effect}\n"
    flow = Flow(project, code + SLOW, installed=True)
    flow.file.write_text(SEARCH.replace("IMPORT", "import sys; sys.in_task = True; import module"))
    flow.run()
    assert flow.imports() == 7


def test_warm_workers_of_native_flows_take_imports_over(project: Project) -> None:
    flow = Flow(project, SLOW, installed=True)
    file = project.write(
        """
        @step(isolated=True)
        def look(n: int) -> int:
            import module
            return os.getpid()

        @flow
        def main() -> None:
            look(0)
            print("found", len({look(n) for n in range(1, 7)}))

        if __name__ == "__main__":
            main()
        """
    )
    flow.log.write_text("")
    done = project.finish(project.start(str(file), PYTHONPATH=flow.path, IMPORTS_LOG=str(flow.log)), 120)
    assert done.code == 0, done.err
    assert "found 6" in done.out
    assert flow.imports() <= 2


def test_what_is_learned_is_bound_to_the_flow(project: Project) -> None:
    flow = Flow(project, SLOW, installed=True)
    flow.run()
    other = Path(project.path, "other.py")
    other.write_text(flow.file.read_text().replace("import module", "module = type('M', (), {'VALUE': 7})"))
    flow.file = other
    flow.run()
    assert flow.imports() == 0
