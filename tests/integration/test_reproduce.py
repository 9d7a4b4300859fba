"""``headrace reproduce``: a run again as it is recorded, compared with what it made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headrace.model.records import TaskId
from headrace.model.states import RunState, TaskState

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project

FLOW = """
import random
import numpy as np
from helper import scale

class Model:
    def __init__(self, weights):
        self.weights = weights

@step
def load(n: int):
    with open("calls", "a") as file:
        file.write("load ")
    return np.random.rand(n)

@step
def fit(x, depth):
    with open("calls", "a") as file:
        file.write(f"fit{depth} ")
    return Model(scale(x[:depth]) + random.random())

@step
def stamp(model, clock):
    with open("calls", "a") as file:
        file.write("stamp ")
    if clock:
        model.weights[0] = time.time_ns()
    return model

@step
def report(model, models):
    with open("calls", "a") as file:
        file.write("report ")
    return "\\n".join(["report", *[str(one.weights.sum()) for one in [model, *models]]])

@flow
def train(n: int = 20, clock: bool = False):
    x = load(n)
    models = [one.result() for one in fit.map([1, 2, 3], x=x)]
    return report(stamp(models[0], clock), models)

if __name__ == "__main__":
    train()
"""
HELPER = "def scale(x):\n    return x * 3\n"


def call(project: Project, *words: str, **env: str) -> Finished:
    """``headrace ...``."""
    return project.finish(project.start("-m", "headrace", *words, **env))


def reproduced(project: Project, *words: str, code: int = 0, **env: str) -> Any:
    """The document of ``headrace reproduce``."""
    done = call(project, "reproduce", *words, "--json", **env)
    assert done.code == code, done.out + done.err
    return json.loads(done.out)


def verdicts(found: Any) -> dict[str, str]:
    return {one["step"]: one["verdict"] for one in found["steps"]}


@pytest.fixture
def recorded(project: Project) -> Project:
    """``train/1`` is equal in each run, ``train/2`` reads the clock; then the code is edited."""
    (project.path / "helper.py").write_text(HELPER)
    file = project.write(FLOW)
    for words in ([], ["--clock"]):
        done = call(project, "run", "train.py", *words)
        assert done.code == 0, done.err
    file.write_text("raise RuntimeError('not this file')")
    (project.path / "helper.py").write_text("raise RuntimeError('not this file either')")
    return project


def test_run_is_run_again_as_it_is_recorded_and_makes_the_same(recorded: Project) -> None:
    found = reproduced(recorded, "train/1", "--verify")
    assert found["equal"] and found["verified"] and not found["first"]
    assert (found["original"], found["run"]) == ("train/1", "train/3")
    assert all(one["equal"] and one["before"] == one["now"] for one in found["artifacts"])
    assert {f"{one['task']}/{one['name']}" for one in found["artifacts"]} == {
        *("train/1/load/1/result", "train/1/fit/1/result", "train/1/fit/2/result", "train/1/fit/3/result"),
        *("train/1/stamp/1/result", "train/1/report/1/result", "train/1/result"),
    }
    original, again = [recorded.metadata.run("train", number, "default") for number in (1, 3)]
    assert original is not None and again is not None
    assert original.entry == again.entry and again.state is RunState.SUCCEEDED
    tags = {(tag.run_id, tag.name, tag.value) for tag in recorded.metadata.tags([original.id, again.id])}
    assert tags == {(original.id, "reproduced", "train/3")}
    shown = call(recorded, "show", "train/3").out
    assert "runs again  train/1" in shown


def test_first_step_to_differ_is_named_and_how(recorded: Project) -> None:
    found = reproduced(recorded, "train/2", "--verify", code=1)
    assert not found["equal"] and not found["verified"]
    assert found["first"] == "train/2/stamp/1"
    assert verdicts(found) == {"load": "equal", "fit": "equal", "stamp": "differs", "report": "follows"}
    how = {f"{one['step']}/{one['name']}": one["how"] for one in found["artifacts"] if not one["equal"]}
    assert how["stamp/result"][0].startswith("weights: 1 of 1 elements differ, at most by")
    assert how["report/result"][0].startswith("1 line of 5 differs; line 2:")
    assert not recorded.metadata.tags([recorded.last().id])
    text = call(recorded, "reproduce", "train/2")
    assert text.code == 1
    assert "The first to differ is train/2/stamp/1: its inputs were equal" in text.out


def test_step_is_run_again_alone_with_its_recorded_inputs(recorded: Project) -> None:
    (recorded.path / "calls").unlink()
    found = reproduced(recorded, "train/1/fit")
    assert sorted((recorded.path / "calls").read_text().split()) == ["fit1", "fit2", "fit3"]
    assert found["equal"] and found["original"] == "train/1/fit"
    assert [one["task"] for one in found["artifacts"]] == [f"train/1/fit/{n}" for n in (1, 2, 3)]
    (recorded.path / "calls").unlink()
    found = reproduced(recorded, "train/1/fit/2")
    assert (recorded.path / "calls").read_text().split() == ["fit2"]
    assert found["equal"] and [one["task"] for one in found["artifacts"]] == ["train/1/fit/2"]


def test_what_follows_from_a_step_that_differs_is_not_run(recorded: Project) -> None:
    (recorded.path / "calls").unlink()
    found = reproduced(recorded, "train/2/stamp/1", code=1)
    assert (recorded.path / "calls").read_text().split() == ["stamp"]
    assert found["first"] == "train/2/stamp/1"
    run = recorded.last()
    assert run.state is RunState.INTERRUPTED and "only some tasks" in run.error
    assert {task.step: task.state for task in recorded.tasks()}["report"] is TaskState.CANCELLED


def test_run_is_reproduced_from_another_folder_after_its_own_is_gone(recorded: Project, tmp_path: Path) -> None:
    other = tmp_path.parent / f"{tmp_path.name}-other"
    other.mkdir()
    shutil.move(recorded.home, other / "kept")
    shutil.rmtree(recorded.path)
    recorded.path = other
    found = reproduced(recorded, "train/1", "--home", str(other / "kept"))
    assert found["equal"]
    assert [one["kind"] for one in found["gaps"]] == ["folder"]


def test_python_gets_the_comparison(recorded: Project) -> None:
    done = recorded.finish(
        recorded.start(
            "-c",
            "import headrace\n"
            "client = headrace.connect(home='.headrace')\n"
            "found = headrace.reproduce(client.run('train/2'), verify=True)\n"
            "print(found.equal, found.first, [one.step for one in found.differences])\n"
            "print(headrace.reproduce(client.task('train/2/fit/3')).equal)\n"
            "print(headrace.Run(found.run).reproduces)\n",
        )
    )
    assert done.code == 0, done.err
    assert done.out.splitlines() == ["False train/2/stamp/1 ['stamp', 'report', '']", "True", "train/2"]


def test_failed_run_fails_again(project: Project) -> None:
    flow = """
    @step
    def fail():
        open("failed", "a").write("x")
        raise ValueError("always")

    @flow
    def train():
        fail()
    """
    project.write(flow)
    assert call(project, "run", "train.py").code == 1
    found = reproduced(project, "train/1")
    assert found["equal"] and (found["state_before"], found["state"]) == ("failed", "failed")
    assert (project.path / "failed").read_text() == "xx"


def test_answers_are_given_again_and_pauses_are_over(project: Project) -> None:
    flow = """
    import threading
    @step
    def add(a, b):
        return a + b

    def answer():
        while True:
            try:
                return headrace.Run("train").answer("how much", 41)
            except headrace.HeadraceError:
                time.sleep(0.05)

    @flow
    def train():
        if "ANSWERS" in os.environ:
            threading.Thread(target=answer).start()
        headrace.sleep(0.5)
        return add(headrace.wait_for("how much"), 1)
    """
    project.write(flow)
    done = call(project, "run", "train.py", ANSWERS="1")
    assert done.code == 0, done.err
    assert reproduced(project, "train/1")["equal"]


def test_cached_results_are_made_again(project: Project) -> None:
    flow = """
    @step(cache=True)
    def made():
        open("made", "a").write("x")
        return 1

    @flow
    def train():
        return made()
    """
    project.write(flow)
    for _ in range(2):
        assert call(project, "run", "train.py").code == 0
    found = reproduced(project, "train/2")
    assert found["equal"] and (project.path / "made").read_text() == "xx"
    assert [one["kind"] for one in found["gaps"]] == ["sessions"]
    assert "took results of other runs from the cache" in found["gaps"][0]["text"]


def test_hooks_are_not_called(project: Project) -> None:
    flow = """
    def tell(run):
        open("told", "a").write("x")

    @flow(on_success=tell)
    def train():
        return 1
    """
    project.write(flow)
    assert call(project, "run", "train.py").code == 0
    assert reproduced(project, "train/1")["equal"]
    assert (project.path / "told").read_text() == "x"


def test_flow_function_that_differs_is_named(project: Project) -> None:
    project.write("@flow\ndef train():\n    return time.time()\n")
    assert call(project, "run", "train.py").code == 0
    found = reproduced(project, "train/1", code=1)
    assert found["first"] == "train/1"


def test_what_cannot_be_run_again_is_refused_before_it_starts(recorded: Project) -> None:
    for words, code, said in [
        (["train/9"], 2, "there is no run train/9"),
        (["train/1/nope"], 2, "train/1 has no step 'nope'"),
        (["train/1/fit/9"], 2, "train/1 has no task fit/9"),
        (["train/1/fit/1/result"], 2, "'result' is an artifact"),
        (["train/1/fit", "--verify"], 2, "--verify marks a whole run"),
        (["train/1", "--on", "moon"], 2, "moon"),
    ]:
        done = call(recorded, "reproduce", *words)
        assert (done.code, done.err.count("\n")) == (code, 1), done.err
        assert said in done.err
    assert recorded.last().number == 2


def test_run_without_code_is_refused(project: Project) -> None:
    done = project.finish(project.start("-c", "from headrace import flow\n@flow\ndef told():\n    return 1\ntold()\n"))
    assert done.code == 0, done.err
    refused = call(project, "reproduce", "told/1")
    assert refused.code == 2 and "it kept no code" in refused.err
    tracked = project.finish(project.start("-c", "import headrace\nwith headrace.track('mine'): pass\n"))
    assert tracked.code == 0, tracked.err
    refused = call(project, "reproduce", "mine")
    assert refused.code == 2 and "was tracked in a program" in refused.err


def test_other_packages_and_interpreter_are_said_before_it_starts(recorded: Project) -> None:
    import msgspec

    from headrace.services.describe import details_of
    from headrace.stores.metadata.protocol import RunChange

    run = recorded.metadata.run("train", 1, "default")
    assert run is not None
    details = details_of(recorded.metadata.run_by_id(run.id) or run)
    other = msgspec.structs.replace(
        details,
        python="3.9.1",
        platform="Darwin-22.1-arm64",
        packages={**details.packages, "numpy": "0.1", "gone": "1.0"},
        left_out={"big.py": "is larger than 16 MiB"},
        seed=None,
    )
    recorded.metadata.commit([RunChange(run_id=run.id, details=msgspec.msgpack.encode(other))])
    done = call(recorded, "reproduce", "train/1/load")
    for said in (
        "python: the run had Python 3.9.1",
        "platform: the run was made on Darwin arm64, and this is Linux",
        "environment: the environment was not locked, and packages differ: numpy 0.1 before",
        "gone 1.0 before, absent here",
        "code: big.py is not in the code package: it is larger than 16 MiB",
        "randomness: the run had no seed",
    ):
        assert said in done.err


METAFLOW = """
from metaflow import FlowSpec, Parameter, retry, step
import random

class Trained(FlowSpec):
    n = Parameter("n", default=3)
    clock = Parameter("clock", default=False)

    @step
    def start(self):
        self.xs = list(range(self.n))
        self.next(self.work, foreach="xs")

    @step
    def work(self):
        open("calls", "a").write(f"work{self.input} ")
        self.drawn = random.random()
        self.stamp = time.time_ns() if self.clock and self.input == 1 else 0
        self.next(self.join)

    @step
    def join(self, inputs):
        open("calls", "a").write("join ")
        self.merge_artifacts(inputs, include=["xs"])
        self.drawn = [one.drawn for one in inputs]
        self.stamps = [one.stamp for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        from metaflow import current
        self.tags = sorted(current.tags)
        self.vars = os.environ.get("GIVEN", "")

if __name__ == "__main__":
    Trained()
"""


def test_metaflow_run_is_reproduced_with_its_options(project: Project) -> None:
    file = project.write(METAFLOW, "trained.py")
    words = ("--seed", "7", "--n", "4", "--tag", "kept", "--with", 'environment:vars={"GIVEN":"yes"}')
    done = call(project, "run", "trained.py", *words)
    assert done.code == 0, done.out + done.err
    file.unlink()
    found = reproduced(project, "Trained/1", "--verify")
    assert found["equal"] and found["verified"], found
    again = project.metadata.run("Trained", 2, "default")
    assert again is not None
    assert {tag.name for tag in project.metadata.tags([again.id])} >= {"kept"}
    outputs = project.metadata.outputs(again.id, [task.id for task in project.tasks("end")])
    assert {"tags", "vars"} <= set(next(iter(outputs.values())))


def test_metaflow_step_that_differs_is_named_and_nothing_follows(project: Project) -> None:
    project.write(METAFLOW, "trained.py")
    done = call(project, "run", "trained.py", "--seed", "7", "--clock", "True")
    assert done.code == 0, done.out + done.err
    found = reproduced(project, "Trained/1", code=1)
    assert verdicts(found) == {"start": "equal", "work": "differs", "join": "follows", "end": "equal"}
    assert found["first"] == "Trained/1/work/3"
    assert [one["how"] for one in found["artifacts"] if one["name"] == "stamp" and not one["equal"]]
    (project.path / "calls").unlink()
    found = reproduced(project, "Trained/1/work/3", code=1)
    assert (project.path / "calls").read_text().split() == ["work1"]
    assert found["first"] == "Trained/1/work/3" and len(found["artifacts"]) == 2
    assert project.last().state is RunState.INTERRUPTED
    (project.path / "calls").unlink()
    assert reproduced(project, "Trained/1/work/2")["equal"]
    assert (project.path / "calls").read_text().split() == ["work0"]


def test_metaflow_run_without_seed_says_so(project: Project) -> None:
    project.write(METAFLOW, "trained.py")
    assert call(project, "run", "trained.py").code == 0
    found = reproduced(project, "Trained/1", code=1)
    assert [one["kind"] for one in found["gaps"]] == ["randomness"]
    assert TaskId("work", 2) == project.tasks("work")[0].id


ENVIRONMENTS = """
from headrace import Environment

@step(environment=Environment(packages=["six=={version}"]))
def there(x):
    import six
    return [six.__version__, x]

@step(environment=Environment(name="named"))
def named(x):
    import six
    return [six.__version__, x]

@flow
def train():
    return [there(1), named(2), given(3)]

@step
def given(x):
    try:
        import six
    except ImportError:
        return ["", x]
    return [six.__version__, x]
"""


def test_recorded_environments_are_used_whatever_settings_say_now(project: Project) -> None:
    """Of steps, of names in the settings, and of the command line."""
    settings = project.path / "pyproject.toml"
    described = '[tool.headrace.environments.{}]\npackages = ["six=={}"]\n'
    settings.write_text(described.format("named", "1.15.0") + described.format("all", "1.14.0"))
    project.write(ENVIRONMENTS.format(version="1.16.0"))
    done = call(project, "run", "train.py", "--environment", "all", "--json")
    assert done.code == 0, done.err
    settings.write_text(described.format("named", "1.17.0"))
    found = reproduced(project, "train/1")
    assert found["equal"] and not found["gaps"], found
    made = project.metadata.outputs(project.last().id, [TaskId(one, 1) for one in ("there", "named", "given")])
    text = {task.step: outputs["result"].preview.text for task, outputs in made.items()}
    assert "1.16.0" in text["there"] and "1.15.0" in text["named"] and "1.14.0" in text["given"]
    assert reproduced(project, "train/1/named")["equal"]


def test_values_of_secrets_are_those_that_are_here(project: Project) -> None:
    flow = """
    @step(secrets=["USER_KEY"])
    def use(token):
        return len(token.reveal())

    @flow
    def train(token: headrace.Secret):
        return use(token)
    """
    project.write(flow)
    first, second = {"TOKEN": "secret-one", "USER_KEY": "key-1"}, {"TOKEN": "secret-two", "USER_KEY": "key-2"}
    assert call(project, "run", "train.py", "--token", "env:TOKEN", **first).code == 0
    found = reproduced(project, "train/1", **second)
    assert found["equal"]
    assert [(one["kind"], one["text"].rpartition(": ")[2]) for one in found["gaps"]] == [("secrets", "USER_KEY, token")]
    assert not reproduced(project, "train/1", code=1, TOKEN="another-length", USER_KEY="key-1")["equal"]
    refused = call(project, "reproduce", "train/1", USER_KEY="key-1")
    assert refused.code == 2 and "TOKEN" in refused.err
    assert project.last().number == 3


def test_reproduction_is_begun_anew_and_not_resumed(recorded: Project) -> None:
    reproduced(recorded, "train/2/stamp", code=1)
    refused = call(recorded, "resume", "train/3", "--code", "recorded")
    assert refused.code == 2
    assert "train/3 runs train/2/stamp again" in refused.err and "headrace reproduce train/2/stamp" in refused.err
    assert "there is no run to go on with" in call(recorded, "resume").err


def test_tasks_run_where_on_says_else_where_they_ran_before(project: Project) -> None:
    (project.path / "pyproject.toml").write_text('[tool.headrace.places.small]\nkind = "local"\ncpu = 1\n')
    project.write("@step\ndef made():\n    return 1\n\n@flow\ndef train():\n    return made()\n")
    assert call(project, "run", "train.py").code == 0
    for name, words in (("train/1", ["--on", "small"]), ("train/2", [])):  # or where they ran before
        assert reproduced(project, name, *words)["equal"]
        assert {one.place for one in project.metadata.attempts(project.last().id)} == {"small"}


def test_commands_are_run_again(project: Project) -> None:
    flow = """
    made = headrace.command(
        shell="cat {text} > {kept}; date +%s%N > {when}",
        inputs={"text": "text"}, outputs={"kept": "text", "when": "text"},
    )

    @flow
    def train():
        return made(text="hello")
    """
    project.write(flow)
    assert call(project, "run", "train.py").code == 0
    found = reproduced(project, "train/1", code=1)
    assert found["first"] == "train/1/made/1"
    assert {one["name"]: one["equal"] for one in found["artifacts"] if one["step"]} == {
        "kept": True,
        "when": False,
        "result": False,
    }
