"""``@catch`` of what is no ``Exception``: Metaflow's says that nothing was raised, so there is nothing to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headrace.frontends.metaflow.programs.script import environment

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOW = """
import asyncio, os, sys
from metaflow import FlowSpec, catch, current, retry, step

class Mine(BaseException):
    pass

class Caught(FlowSpec):
    @catch(var="problem")
    @retry(times=RETRIES, minutes_between_retries=0)
    @step
    def start(self):
        self.before = 1
        print(f"try {current.retry_count}")
        RAISE
        self.next(self.end)

    @step
    def end(self):
        print("TYPE", self.problem.type, self.before)
        print("TRACE", "in start" in str(self.problem), str(self.problem).strip().splitlines()[-1])

if __name__ == "__main__":
    Caught()
"""


def run(project: Project, statement: str, retries: int = 0) -> list[str]:
    """What the flow prints that raises so."""
    (project.path / "caught.py").write_text(FLOW.replace("RAISE", statement).replace("RETRIES", str(retries)))
    done = project.finish(project.start("caught.py", "run", PYTHONPATH=environment({})["PYTHONPATH"]))
    assert done.code == 0, done.out + done.err
    lines = [line.partition(")] ")[2] for line in done.out.splitlines()]
    return [line for line in lines if line.startswith(("TYPE", "TRACE", "try"))]


@pytest.mark.parametrize(
    ("statement", "kind", "last"),
    [
        ("raise KeyboardInterrupt", "builtins.KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise BaseException('why')", "builtins.BaseException", "BaseException: why"),
        ("sys.exit(3)", "builtins.SystemExit", "SystemExit: 3"),
        ("sys.exit(0)", "builtins.SystemExit", "SystemExit: 0"),
        ("sys.exit('in words')", "builtins.SystemExit", "SystemExit: in words"),
        ("raise Mine('own')", "__main__.Mine", "Mine: own"),
        ("raise GeneratorExit", "builtins.GeneratorExit", "GeneratorExit"),
        (
            "raise asyncio.CancelledError('gone')",
            "asyncio.exceptions.CancelledError",
            "asyncio.exceptions.CancelledError: gone",
        ),
    ],
)
def test_catch_holds_the_exception_whatever_its_base(project: Project, statement: str, kind: str, last: str) -> None:
    assert run(project, statement) == ["try 0", f"TYPE {kind} 1", f"TRACE True {last}"]


def test_retries_come_before_the_exception_is_caught(project: Project) -> None:
    assert run(project, "sys.exit(4)", retries=2) == [
        *("try 0", "try 1", "try 2"),
        "TYPE builtins.SystemExit 1",
        "TRACE True SystemExit: 4",
    ]


def test_a_process_that_died_raised_nothing(project: Project) -> None:
    (project.path / "caught.py").write_text(FLOW.replace("RAISE", "os._exit(5)").replace("RETRIES", "0"))
    text = (project.path / "caught.py").read_text().replace("self.problem.type, self.before", "self.problem.type")
    (project.path / "caught.py").write_text(text)
    done = project.finish(project.start("caught.py", "run", PYTHONPATH=environment({})["PYTHONPATH"]))
    assert done.code == 0, done.out + done.err
    assert "TYPE metaflow.plugins.catch_decorator.FailureHandledByCatch" in done.out
