"""``--verbose`` and ``HEADRACE_LOG``: what a run says of itself, beside and not in what its tasks print."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOW = """
@step(retries=1)
def work():
    print("printed", file=sys.stderr)
    if not os.path.exists("tried"):
        open("tried", "w").close()
        raise ValueError("not yet")
    return 1

@flow
def train():
    return work()

if __name__ == "__main__":
    print("value", train())
"""


def test_json_lines_tell_of_a_run(project: Project) -> None:
    done = project.run(FLOW, HEADRACE_LOG="json", HEADRACE_LOG_LEVEL="debug")
    assert done.code == 0
    found = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    actions = [one["action"] for one in found]
    assert actions.count("run.started") == actions.count("run.ended") == actions.count("attempt.failed") == 1
    [failed] = [one for one in found if one["action"] == "attempt.failed"]
    assert failed["task"] == "train/1/work/1"
    assert failed["logger"] == "headrace.workers"
    [ended] = [one for one in found if one["action"] == "run.ended"]
    assert (ended["run"], ended["text"]) == ("train/1", "succeeded")
    assert b'"action"' not in project.log("work", 1)


def test_verbose_shows_lines_to_read(project: Project) -> None:
    project.write(FLOW)
    for argv in (
        ("--verbose", "run", "train.py"),
        ("run", "--verbose", "train.py"),
        ("run", "train.py", "--verbose"),
        ("resume", "train", "--verbose", "--from", "work"),
    ):
        done = project.finish(project.start("-m", "headrace", *argv))
        assert done.code == 0
        assert "info    run.started: train" in done.err
        assert "run.ended: succeeded run=train/" in done.err


def test_verbose_behind_the_file_is_the_flow_s_if_it_has_a_parameter_of_that_name(project: Project) -> None:
    project.write(FLOW.replace("def train():", "def train(verbose: bool = False):\n    print(f'{verbose=}')"))
    done = project.finish(project.start("-m", "headrace", "run", "train.py", "--verbose"))
    assert "verbose=True" in done.out
    assert "run.started" not in done.err


METAFLOW = """
from metaflow import FlowSpec, Parameter, step

class Train(FlowSpec):
    PARAMETER
    @step
    def start(self):
        print("verbose is", getattr(self, "verbose", None))
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Train()
"""


def test_verbose_works_behind_a_metaflow_file_too(project: Project) -> None:
    project.write(METAFLOW.replace("PARAMETER", ""))
    done = project.finish(project.start("-m", "headrace", "run", "train.py", "--verbose"))
    assert "info    run.started: Train" in done.err
    project.write(METAFLOW.replace("PARAMETER", 'verbose = Parameter("verbose", default=False, type=bool)'))
    done = project.finish(project.start("-m", "headrace", "run", "train.py", "--verbose", "true"))
    assert "verbose is True" in done.out
    assert "run.started" not in done.err


def test_nothing_of_it_is_shown_otherwise(project: Project) -> None:
    assert "run.started" not in project.run(FLOW).err


def test_impossible_setting_is_refused(project: Project) -> None:
    assert "log is 'xml', it must be" in project.fail(FLOW, HEADRACE_LOG="xml")
    assert "log_level is 'loud', it must be one of" in project.fail(
        FLOW, HEADRACE_LOG="text", HEADRACE_LOG_LEVEL="loud"
    )
