"""What a Metaflow flow gains here: results from the cache, and being a part of a native run."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project

#: A Metaflow file as people have them. Every fit leaves a line in a file.
TRAIN = """
from metaflow import FlowSpec, Parameter, catch, current, step

class TrainFlow(FlowSpec):
    alpha = Parameter("alpha", default=0.5)
    folds = Parameter("n-folds", default=4)
    scale = 10

    @step
    def start(self):
        self.items = list(range(self.folds))
        self.next(self.fit, foreach="items")

    @step
    def fit(self):
        with open("ran", "a") as file:
            file.write(f"fit {self.input} of {self.alpha}\\n")
        CHECK
        self.score = self.input * self.alpha * self.scale
        self.next(self.join)

    @step
    def join(self, inputs):
        self.scores = [one.score for one in inputs]
        self.model = "model " * 100
        self.where = current.pathspec
        self.next(self.careful)

    DECORATED
    @step
    def careful(self):
        with open("ran", "a") as file:
            file.write("careful\\n")
        self.next(self.end)

    @step
    def end(self):
        self.best = max(self.scores)

if __name__ == "__main__":
    TrainFlow()
"""
#: The native flow around it.
PIPELINE = """
from headrace.metaflow import subflow

train = subflow("metatrain.py")

@step
def report(model: str, best: float) -> str:
    return f"{len(model)} {best}"

@flow
def pipeline(alpha: float = 0.5) -> list[str]:
    first = train(alpha=alpha)
    second = train(alpha=alpha * 2, n_folds=3)
    return [report(one.model, one.best) for one in (first, second)]

if __name__ == "__main__":
    print(pipeline())
"""


def metaflow_file(project: Project, check: str = "pass", decorated: str = "") -> None:
    text = TRAIN.replace("CHECK", check).replace("DECORATED", decorated)
    (project.path / "metatrain.py").write_text(text)


def ran(project: Project) -> list[str]:
    file = project.path / "ran"
    return sorted(file.read_text().splitlines()) if file.exists() else []


def headrace(project: Project, *argv: str) -> Finished:
    return project.finish(project.start("-m", "headrace", *argv, METAFLOW_USER="tester"))


# --- as a part of a native run ------------------------------------------------------------------------------------


def test_its_steps_are_tasks_of_the_run_around_it(project: Project) -> None:
    metaflow_file(project)

    done = project.run(PIPELINE)

    assert (done.code, done.out.strip()) == (0, "['600 15.0', '600 20.0']"), done.err
    assert len(ran(project)) == 7 + 2
    shown = json.loads(headrace(project, "show", "pipeline/1", "--json").out)
    steps = {one["step"]: one["counts"] for one in shown["steps"]}
    assert steps["TrainFlow.fit"] == {"succeeded": 7}
    assert steps["TrainFlow.end"] == {"succeeded": 2}


def test_what_it_hands_over_is_known_to_come_from_it(project: Project) -> None:
    metaflow_file(project)
    project.run(PIPELINE)

    report = json.loads(headrace(project, "show", "pipeline/1/report/1", "--json").out)

    sources = {one["name"]: one["sources"] for one in report["inputs"]}
    assert sources["model"] == ["pipeline/1/TrainFlow.join/6/model"]


def test_a_step_that_fails_raises_its_exception_in_the_native_flow(project: Project) -> None:
    metaflow_file(project, "if self.input == 2: raise KeyError('no fold 2')")

    done = project.run(
        """
        from headrace.metaflow import subflow

        train = subflow("metatrain.py")

        @flow
        def careful() -> str:
            try:
                train()
            except KeyError as error:
                return f"caught {error} of {error.headrace_task}"

        if __name__ == "__main__":
            print(careful())
        """
    )

    assert (done.code, done.out.strip()) == (0, "caught 'no fold 2' of careful/1/TrainFlow.fit/4"), done.err


def test_it_is_resumed_with_the_run_around_it(project: Project) -> None:
    metaflow_file(project, "if self.alpha > 0.5 and self.input == 2: os.kill(os.getpid(), 9)")
    source = (project.path / "metatrain.py").read_text()
    (project.path / "metatrain.py").write_text("import os\n" + source)
    failed = project.run(PIPELINE)
    assert failed.code == 1
    before = ran(project)
    (project.path / "metatrain.py").write_text("import os\n" + source.replace("os.kill(os.getpid(), 9)", "pass"))

    resumed = headrace(project, "resume", "pipeline/1")

    assert resumed.code == 0, resumed.err
    assert "'600 15.0', '600 20.0'" in resumed.out
    again = ran(project)
    for line in before:
        again.remove(line)
    # ``fit`` was edited, so it runs again; what it makes is the same, so nothing behind the first join does
    assert [line for line in again if line == "careful"] == ["careful"]


def test_killed_in_the_middle_it_runs_nothing_twice(project: Project) -> None:
    metaflow_file(project, "import time; time.sleep(0.1)")
    process = project.start(str(project.write(PIPELINE)))
    deadline = time.monotonic() + 20
    while len(ran(project)) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    process.stdout.close()  # type: ignore[union-attr]
    process.stderr.close()  # type: ignore[union-attr]
    stored = json.loads(headrace(project, "show", "pipeline/1", "--json").out)
    fits = next(one["counts"] for one in stored["steps"] if one["step"] == "TrainFlow.fit")

    resumed = headrace(project, "resume", "pipeline/1")

    assert resumed.code == 0, resumed.err
    lines = ran(project)
    assert len(set(lines)) == 4 + 3 + 1
    twice = sum(lines.count(one) - 1 for one in set(lines) if one != "careful")
    assert twice <= 7 - fits["succeeded"]
    assert fits["succeeded"] >= 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("train(beta=1)", "sub-flow TrainFlow has no parameter 'beta'; it has alpha, n_folds"),
        ("train(alpha='a')", "parameter 'alpha' of sub-flow TrainFlow: a is not a valid floating point value"),
        ("train().nothing", "the flow ended without an artifact 'nothing'; it has alpha, best"),
    ],
)
def test_wrong_calls_are_told(project: Project, call: str, said: str) -> None:
    metaflow_file(project)

    done = project.run(
        f"""
        from headrace.metaflow import subflow

        train = subflow("metatrain.py")

        @flow
        def wrong() -> None:
            {call}

        if __name__ == "__main__":
            wrong()
        """
    )

    assert done.code == 1
    assert said in done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('subflow("metatrain.py")()', "sub-flow TrainFlow was called outside of a run"),
        ('subflow("absent.py")', "Flow file not present at '"),
        ('subflow("metatrain.py:Other")', "No FlowSpec class Other found in "),
        (
            'import types; sys.modules["metatrain"] = types.ModuleType("metatrain"); subflow("metatrain.py")',
            "a module of its name is",
        ),
        ("subflow(int)", "is not a FlowSpec of Headrace"),
        ('import types; sys.modules["metaflow"] = types.ModuleType("metaflow"); subflow("metatrain.py")', "already"),
    ],
)
def test_what_cannot_be_a_subflow_is_told(project: Project, text: str, said: str) -> None:
    metaflow_file(project)

    done = project.run(f"from headrace.metaflow import subflow\n{text}")

    assert done.code == 1
    assert said in done.err.splitlines()[-1]


# --- results from the cache ---------------------------------------------------------------------------------------


def test_with_cache_the_second_run_takes_all_from_the_first(project: Project) -> None:
    metaflow_file(project)

    first = headrace(project, "run", "metatrain.py", "--cache")
    before = ran(project)
    second = headrace(project, "run", "metatrain.py", "--cache")
    other = headrace(project, "run", "metatrain.py", "--cache", "--alpha", "2")
    plain = headrace(project, "run", "metatrain.py")

    assert [one.code for one in (first, second, other, plain)] == [0, 0, 0, 0]
    assert len(before) == 5
    assert "[2/join/6] Cloned from 1/join/6." in second.out
    assert len(ran(project)) == 5 + 5 + 5  # the first, the one with another parameter, the one without the option
    got = headrace(project, "get", "TrainFlow/2/end/8/best")
    assert got.out.strip() == "15.0"


@pytest.mark.parametrize(
    ("decorated", "again"),
    [("@catch(var='oops')", 1), ("@environment(vars={'A': 'b'})", 1), ("@retry(times=1)", 0)],
)
def test_decorators_count_where_they_decide_what_a_step_makes(project: Project, decorated: str, again: int) -> None:
    metaflow_file(project)
    source = (project.path / "metatrain.py").read_text()
    headrace(project, "run", "metatrain.py", "--cache")
    metaflow_file(project, decorated=decorated)
    text = (project.path / "metatrain.py").read_text()
    (project.path / "metatrain.py").write_text(text.replace("catch,", "catch, environment, retry,"))
    assert source != text

    done = headrace(project, "run", "metatrain.py", "--cache")

    assert done.code == 0, done.err
    assert ran(project).count("careful") == 1 + again


def test_what_catch_caught_is_no_result_to_keep(project: Project) -> None:
    metaflow_file(project, decorated="@catch(var='oops')")
    text = (project.path / "metatrain.py").read_text()
    flaky = '"careful\\n")\n        import os\n        assert os.path.exists("mended")'
    (project.path / "metatrain.py").write_text(text.replace('"careful\\n")', flaky))

    def careful() -> int:
        assert headrace(project, "run", "metatrain.py", "--cache").code == 0
        return ran(project).count("careful")

    assert [careful(), careful()] == [1, 2]
    (project.path / "mended").touch()
    assert [careful(), careful()] == [3, 3]
    assert headrace(project, "get", "TrainFlow/4/careful/7/oops").out.strip() == "None"


def test_a_parameter_named_cache_is_the_flows_own(project: Project) -> None:
    metaflow_file(project)
    text = (project.path / "metatrain.py").read_text().replace('"n-folds", default=4', '"cache", default=2')
    (project.path / "metatrain.py").write_text(text)

    done = headrace(project, "run", "metatrain.py", "--cache", "3")

    assert done.code == 0, done.err
    assert len(ran(project)) == 3 + 1


# --- with the command line of headrace ----------------------------------------------------------------------------


def test_with_json_the_end_of_a_run_is_one_document(project: Project) -> None:
    metaflow_file(project, "assert self.input < 3")

    failed = headrace(project, "run", "metatrain.py", "--json")
    metaflow_file(project)
    resumed = headrace(project, "resume", "TrainFlow/1", "--json")

    assert (failed.code, resumed.code) == (1, 0), resumed.err
    first, second = json.loads(failed.out), json.loads(resumed.out)
    assert (first["run"], first["state"], first["failed"]) == ("TrainFlow/1", "failed", 1)
    assert first["failure"]["task"] == "TrainFlow/1/fit/5"
    assert (second["run"], second["state"], second["reused"]) == ("TrainFlow/1", "succeeded", 4)
    assert "Task is starting." in failed.err


def test_keep_going_is_refused(project: Project) -> None:
    metaflow_file(project)

    done = headrace(project, "run", "--keep-going", "metatrain.py")

    assert (done.code, ran(project)) == (2, [])
    assert "--keep-going is not for Metaflow files" in done.err


def piped(project: Project, text: str, *argv: str) -> str:
    """What `headrace ARGV` prints with ``text`` on stdin."""
    done = subprocess.run(
        [sys.executable, "-m", "headrace", *argv],
        input=text,
        cwd=project.path,
        env={**os.environ, "METAFLOW_USER": "tester"},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_debug_opens_where_a_step_raises(project: Project) -> None:
    metaflow_file(project, "here = self.input; assert here < 3")
    headrace(project, "run", "metatrain.py")

    out = piped(project, "p 'here', here, self.alpha\nq\n", "debug")

    assert "Calling fit with the inputs of TrainFlow/1/fit/5" in out
    assert "('here', 3, 0.5)" in out
    assert "headrace/frontends" not in out


def test_debug_has_a_prompt_with_self_and_inputs(project: Project) -> None:
    metaflow_file(project)
    headrace(project, "run", "metatrain.py")

    out = piped(project, "print([one.score for one in inputs], self.scale)\n", "debug", "--shell", "TrainFlow/1/join/6")

    assert "[0.0, 5.0, 10.0, 15.0] 10" in out


def test_debug_knows_the_tasks_of_a_subflow(project: Project) -> None:
    metaflow_file(project, "here = self.input; assert here < 3")
    assert project.run(PIPELINE).code == 1

    out = piped(project, "p 'here', here\nq\n", "debug", "pipeline/1/TrainFlow.fit/5")

    assert "('here', 3)" in out


def test_breakpoint_in_a_step_has_the_terminal(project: Project) -> None:
    metaflow_file(project, "here = self.input\n        if here == 2: breakpoint()")

    out = piped(project, "p 'at', here\nc\n", "run", "metatrain.py", "--debug")

    assert "('at', 2)" in out
    assert "Done!" in out


# --- gangs --------------------------------------------------------------------------------------------------------

#: Every node waits until all have come.
GANG = """
import os, time
from metaflow import FlowSpec, Parameter, current, parallel, resources, step

class GangFlow(FlowSpec):
    size = Parameter("size", default=4)

    @step
    def start(self):
        self.next(self.node, num_parallel=self.size)

    @resources(cpu=64, memory=1000000)
    @parallel
    @step
    def node(self):
        place = current.parallel
        open(f"node-{place.node_index}", "w").close()
        deadline = time.monotonic() + 20
        while len([one for one in os.listdir() if one.startswith("node-")]) < place.num_nodes:
            assert time.monotonic() < deadline, "the others did not come"
            time.sleep(0.01)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    GangFlow()
"""


def test_the_nodes_of_a_gang_run_at_once_whatever_each_asks_for(project: Project) -> None:
    (project.path / "gang.py").write_text(GANG)

    done = headrace(project, "run", "gang.py")

    assert done.code == 0, done.out + done.err


def test_nodes_of_a_gang_have_the_variables_of_torchrun_and_of_jax(project: Project) -> None:
    tell = "        open(f'told-{place.node_index}', 'w').write(repr(dict(os.environ)))\n        self.next(self.join)\n"
    text = GANG.replace("        self.next(self.join)\n", tell).replace("default=4", "default=2")
    (project.path / "gang.py").write_text(text)

    done = headrace(project, "run", "gang.py")

    assert done.code == 0, done.out + done.err
    for rank in range(2):
        told = ast.literal_eval((project.path / f"told-{rank}").read_text())
        expected = {
            "MASTER_ADDR": "127.0.0.1",
            "RANK": str(rank),
            "WORLD_SIZE": "2",
            "LOCAL_RANK": "0",
            "PET_NNODES": "2",
            "PET_NODE_RANK": str(rank),
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{int(told['MASTER_PORT']) + 1}",
            "JAX_NUM_PROCESSES": "2",
            "JAX_PROCESS_ID": str(rank),
        }
        assert {name: told[name] for name in expected} == expected


def test_when_a_node_fails_the_whole_gang_is_retried(project: Project) -> None:
    """The other nodes wait for one that failed, which would never come if it alone ran again."""
    text = GANG.replace("    @resources(cpu=64, memory=1000000)\n", "    @retry(times=1, minutes_between_retries=0)\n")
    text = text.replace("parallel, resources, step", "parallel, retry, step").replace(
        "        place = current.parallel\n",
        "        place = current.parallel\n"
        "        name = f'{current.retry_count}'\n"
        "        assert (place.node_index, name) != (2, '0'), 'the first attempt fails'\n",
    )
    text = text.replace('f"node-{place.node_index}"', 'f"node-{name}-{place.node_index}"')
    text = text.replace('one.startswith("node-")', 'one.startswith(f"node-{name}-")')
    (project.path / "gang.py").write_text(text)

    done = headrace(project, "run", "gang.py")

    assert done.code == 0, done.out + done.err
    assert [task.attempts for task in project.tasks("node")] == [2, 2, 2, 2]


def test_a_gang_that_cannot_run_at_once_is_told_so(project: Project) -> None:
    (project.path / "gang.py").write_text(GANG)

    done = headrace(project, "run", "gang.py", "--max-workers", "3")

    assert done.code == 1
    assert "gang of 4 tasks at once, but at most 3 tasks may run at once" in done.err
    assert not list(project.path.glob("node-*"))


# --- what a task has ----------------------------------------------------------------------------------------------


def test_what_a_task_took_can_be_had_by_name(project: Project) -> None:
    metaflow_file(project)
    project.run(PIPELINE)

    got = {
        name: headrace(project, "get", f"pipeline/1/{name}").out.strip()[:20]
        for name in ("TrainFlow.end/8/scores", "TrainFlow.fit/3/alpha", "report/1/model", "report/2/best")
    }

    assert got == {
        "TrainFlow.end/8/scores": "[0.0, 5.0, 10.0, 15.",
        "TrainFlow.fit/3/alpha": "0.5",
        "report/1/model": "model model model mo",
        "report/2/best": "20.0",
    }


# --- what is not there --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["checkpoint", "torchrun", "airflow_s3_key_sensor"])
def test_what_is_not_supported_is_refused_by_name_at_the_start(project: Project, name: str) -> None:
    metaflow_file(project)
    text = (project.path / "metatrain.py").read_text()
    (project.path / "metatrain.py").write_text(text.replace("import FlowSpec", f"import {name}, FlowSpec"))

    done = headrace(project, "run", "metatrain.py")

    assert (done.code, ran(project)) == (1, [])
    last = done.err.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: Headrace cannot run flows with '{name}'")
    assert "docs/metaflow-features.md" in last


# --- headrace run -------------------------------------------------------------------------------------------------

#: A flow with options of its own, before the command there and anywhere behind FILE here.
PRODUCT = """
import time
from metaflow import Config, FlowSpec, Parameter, current, project, step

@project(name="shop")
class ShopFlow(FlowSpec):
    cfg = Config("cfg", default_value='{"size": 1}')
    trigger = Parameter("trigger", default="none")
    wait = Parameter("wait", default=0.0)

    @step
    def start(self):
        self.seen = [current.branch_name, self.cfg.size, self.trigger]
        time.sleep(self.wait)
        assert self.cfg.size < 3, "too large"
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    ShopFlow()
"""


def shop(project: Project, *words: str) -> Finished:
    (project.path / "shop.py").write_text(PRODUCT)
    return headrace(project, "run", "shop.py", *words)


@pytest.mark.parametrize(
    "words",
    [
        ("--production", "--config-value", "cfg", '{"size": 2}', "--trigger", "--production"),
        ("--trigger=--production", "--config-value=cfg", '{"size": 2}', "--production"),
        ("--max-workers", "2", "--trigger", "--production", "--production", "--config", "cfg", "two.json"),
    ],
)
def test_options_of_the_flow_may_stand_in_any_place(project: Project, words: tuple[str, ...]) -> None:
    (project.path / "two.json").write_text('{"size": 2}')
    done = shop(project, *words)
    assert done.code == 0, done.err
    seen = headrace(project, "get", "ShopFlow/1/start/1/seen")
    assert eval(seen.out) == ["prod", 2, "--production"]


def test_the_help_names_options_of_the_flow_too(project: Project) -> None:
    done = shop(project, "--help")
    said = " ".join(done.out.split())
    assert "--config NAME FILE, --config-value NAME JSON, --branch NAME, --production." in said, done.out


def test_a_failed_run_says_what_goes_on_from_it(project: Project) -> None:
    done = shop(project, "--config-value", "cfg", '{"size": 3}')
    assert done.code == 1
    assert done.err.endswith("  next  headrace debug ShopFlow/1/start/1\n        headrace resume ShopFlow/1\n")
    plain = project.finish(
        project.start(
            "shop.py",
            "--config-value",
            "cfg",
            '{"size": 3}',
            "run",
            PYTHONPATH=headrace(project, "dialect", "metaflow").out.strip(),
        )
    )
    assert plain.code == 1
    assert "next" not in plain.err, "a program that reads it gets what Metaflow says"


def test_an_interrupted_run_says_what_goes_on_from_it(project: Project) -> None:
    (project.path / "shop.py").write_text(PRODUCT)
    process = project.start("-m", "headrace", "run", "shop.py", "--wait", "60")
    deadline = time.monotonic() + 60
    while "start" not in headrace(project, "show", "ShopFlow/1").out and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    done = project.finish(process)
    assert done.code == 130
    assert "Workflow interrupted." in done.out
    assert done.err.endswith("Aborted!\n  next  headrace resume ShopFlow/1\n"), done.err
    assert "interrupted" in headrace(project, "runs").out


# --- looking at runs ----------------------------------------------------------------------------------------------

#: Branches that inherit what they do not look at, a join that merges it, and an error that is caught.
LOOKS = """
from metaflow import Config, FlowSpec, Parameter, card, catch, step

class LooksFlow(FlowSpec):
    cfg = Config("cfg", default_value='{"size": 1}')
    factor = Parameter("factor", default=2)

    @step
    def start(self):
        self.table = list(range(100))
        self.next(self.left, self.right)

    @step
    def left(self):
        self.sum = 3 * self.factor
        self.next(self.join)

    @catch(var="problem")
    @step
    def right(self):
        1 / 0
        self.next(self.join)

    @step
    def join(self, inputs):
        self.merge_artifacts(inputs, include=["table", "sum"])
        self.next(self.end)

    @card
    @card(type="blank", id="mine")
    @step
    def end(self):
        self.total = self.sum + self.cfg.size

if __name__ == "__main__":
    LooksFlow()
"""


@pytest.fixture
def looks(project: Project) -> Project:
    (project.path / "looks.py").write_text(LOOKS)
    for words in ((), ("--factor", "5", "--config-value", "cfg", '{"size": 7}')):
        done = headrace(project, "run", "looks.py", "--tag", "mine", *words)
        assert done.code == 0, done.err
    return project


def test_a_merged_artifact_is_shown_as_what_it_is(looks: Project) -> None:
    made = {one["name"]: one for one in json.loads(headrace(looks, "artifacts", "LooksFlow/1/join/4", "--json").out)}
    assert (made["table"]["type"], made["sum"]["text"]) == ("list", "6")
    assert made["table"]["text"].startswith("[0, 1, 2")


def test_diff_names_configs_and_what_single_tasks_made(looks: Project) -> None:
    view = json.loads(headrace(looks, "diff", "LooksFlow/1", "LooksFlow/2", "--json").out)
    assert {one["name"]: (one["left"], one["right"]) for one in view["params"]} == {
        "cfg": ('{"size": 1}', '{"size": 7}'),
        "factor": ("2", "5"),
    }
    assert [(one["name"], one["left"], one["right"]) for one in view["outputs"] if "problem" not in one["name"]] == [
        ("left/sum", "6", "15"),
        ("join/sum", "6", "15"),
        ("end/total", "7", "22"),
    ]
    said = headrace(looks, "diff", "LooksFlow/1", "LooksFlow/2").out
    assert "end/total" in said
    assert "result" not in said, "flows of Metaflow have none"


def test_tags_of_people_are_apart_from_those_that_every_run_has(looks: Project) -> None:
    assert headrace(looks, "runs").out.splitlines()[1].endswith("mine")
    shown = headrace(looks, "show", "LooksFlow/1").out.splitlines()
    assert "tags         mine" in shown
    assert any(line.startswith("system tags  metaflow_version=") for line in shown)


def test_notes_of_the_dialect_are_in_no_listing(looks: Project) -> None:
    for words in (("artifacts", "LooksFlow/1"), ("get", "LooksFlow/1/join/4")):
        done = headrace(looks, *words)
        assert "join/4/table" in done.out + done.err
        assert "_transition" not in done.out + done.err
    assert "headrace artifacts LooksFlow/1" in headrace(looks, "get", "LooksFlow/1").err
    outputs = headrace(looks, "show", "LooksFlow/1/join/4").out.partition("Outputs")[2]
    assert "table: list" in outputs
    assert "_transition" not in outputs


def test_explain_speaks_of_the_cache_as_the_flow_has_it(looks: Project) -> None:
    said = headrace(looks, "explain", "LooksFlow/1/end/5").out
    assert "`run --cache` would" in said
    assert "cache=True" not in said


def test_resume_of_the_very_run_says_what_was_finished(looks: Project) -> None:
    done = headrace(looks, "resume", "LooksFlow/1", "--from", "end")
    assert done.code == 0, done.err
    assert "[1/join/4] Was finished already." in done.out
    assert "pid 0" not in done.out


def test_what_catch_caught_begins_at_the_step(looks: Project) -> None:
    made = json.loads(headrace(looks, "artifacts", "LooksFlow/1/right/3", "--json").out)
    text = next(one["text"] for one in made if one["name"] == "problem")
    assert "ZeroDivisionError" in text
    assert "looks.py" in text
    assert "headrace/frontends" not in text


def test_show_says_which_cards_there_are_and_how_to_open_them(looks: Project) -> None:
    for name in ("LooksFlow/1", "LooksFlow/1/end/5"):
        shown = headrace(looks, "show", name).out
        assert "Cards (2)" in shown
        assert "blank-mine, default: python looks.py card view 1/end/5" in shown or (
            "default, blank-mine: python looks.py card view 1/end/5" in shown
        ), shown
    path = headrace(looks, "dialect", "metaflow").out.strip()
    got = looks.finish(looks.start("looks.py", "card", "get", "1/end/5", "--id", "mine", PYTHONPATH=path))
    assert got.out.startswith("<!doctype html>"), got.err
    assert "Cards" not in headrace(looks, "show", "LooksFlow/1/join/4").out


# --- resume after the graph was edited ------------------------------------------------------------------------------


def edited(project: Project, *changes: tuple[str, str]) -> None:
    file = project.path / "metatrain.py"
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


ADDED = """    @step
    def added(self):
        self.model = self.model + "!"
        self.next(self.careful)

    @step
    def careful(self):"""


@pytest.mark.parametrize("how", ["python", "headrace"])
def test_a_step_that_was_put_between_runs_and_what_was_before_it_does_not(project: Project, how: str) -> None:
    metaflow_file(project)
    edited(project, ("self.best = max(self.scores)", "assert 0"))
    assert headrace(project, "run", "metatrain.py").code == 1
    before = ran(project)

    edited(
        project,
        ("self.next(self.careful)", "self.next(self.added)"),
        ("    @step\n    def careful(self):", ADDED),
        ("assert 0", "self.best = max(self.scores)"),
    )
    if how == "headrace":
        done = headrace(project, "resume", "TrainFlow/1")
    else:
        shim = headrace(project, "dialect", "metaflow").out.strip()
        done = project.finish(project.start("metatrain.py", "resume", PYTHONPATH=shim, METAFLOW_USER="tester"))

    assert done.code == 0, done.out + done.err
    again = ran(project)
    assert [one for one in again if one != "careful"] == [one for one in before if one != "careful"]
    added = "1/added/9" if how == "headrace" else "2/added/7"
    assert headrace(project, "get", f"TrainFlow/{added}/model").out.strip().endswith("!")


def test_where_only_the_step_itself_can_tell_it_says_which_to_run_again(project: Project) -> None:
    metaflow_file(project)
    edited(project, ("self.best = max(self.scores)", "assert 0"))
    assert headrace(project, "run", "metatrain.py").code == 1

    switch = "self.way = 'a'\n        self.next({'a': self.added, 'b': self.added}, condition='way')"
    edited(
        project,
        ("self.next(self.end)", switch),
        ("    @step\n    def end(self):", ADDED.replace("careful", "end")),
        ("assert 0", "self.best = max(self.scores)"),
    )
    told = headrace(project, "resume", "TrainFlow/1")
    again = headrace(project, "resume", "TrainFlow/1", "--from", "careful")

    assert told.code == 1
    assert "its code was edited since and leads elsewhere now" in told.err
    assert "headrace resume --from careful" in told.err
    assert again.code == 0, again.out + again.err
    assert ran(project).count("careful") == 2


def test_unknown_place_is_one_message_and_nothing_runs(project: Project) -> None:
    metaflow_file(project)

    done = headrace(project, "run", "metatrain.py", "--on", "nowhere")

    assert (done.code, ran(project)) == (2, [])
    assert (done.out + done.err).count(
        "there is no place 'nowhere'; there are: local. Choose one of them with --on"
    ) == 1
