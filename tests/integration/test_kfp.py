"""Pipelines from the command line: kill and go on, stop, resume with an edited component, cache, settings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.pipelines import Pipeline, around, constant, output, task

from headrace.frontends.kfp import validation
from headrace.frontends.kfp.launch import Ended, Launch, run_pipeline
from headrace.frontends.kfp.pipeline_file import pipeline_of
from headrace.model.states import RunState
from headrace.services.describe import describe_run
from headrace.settings import Settings
from headrace.wiring import Scope, scope_at

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project

#: Writes a line when it begins and one when it ends; holds where the file ``hold`` is there, once three have ended.
WORK = """
def work(x: int, y: int, folder: str) -> int:
    import os, time
    log = os.path.join(folder, "log")
    with open(log, "a") as file:
        file.write(f"s{x}.{y}\\n")
    while os.path.exists(os.path.join(folder, "hold")) and open(log).read().count("e") >= 3:
        time.sleep(0.01)
    with open(log, "a") as file:
        file.write(f"e{x}.{y}\\n")
    return 10 * x + y
"""
LEAVE = """
def leave(status: dsl.PipelineTaskFinalStatus, folder: str):
    import os
    with open(os.path.join(folder, "left"), "a") as file:
        file.write(f"{status.state} {status.pipeline_task_name} {status.error_message}\\n")
"""
STATUS = {"taskFinalStatus": {"producerTask": "exit-handler-1"}}


def durable() -> Pipeline:
    """Two nested loops in an exit handler."""
    made = Pipeline("durable", folder=str)
    made.python(WORK, {"Output": int}, x=int, y=int, folder=str)
    made.python(LEAVE, status="TASK_FINAL_STATUS", folder=str)
    made.spec["components"]["comp-leave"]["inputDefinitions"]["parameters"]["status"]["isOptional"] = True
    work = task("work", x=around("x"), y=around("y"), folder=around("folder"))
    made.dag("for-loop-2", {"work": work}, {"all": (list, "work", "Output")}, x=int, y=int, folder=str)
    inner = task("for-loop-2", x=around("x"), folder=around("folder"))
    inner["parameterIterator"] = {"itemInput": "y", "items": {"raw": "[1, 2, 3]"}}
    made.dag("for-loop-1", {"for-loop-2": inner}, {"all": (list, "for-loop-2", "all")}, x=int, folder=str)
    outer = task("for-loop-1", folder=around("folder"))
    outer["parameterIterator"] = {"itemInput": "x", "items": {"raw": "[1, 2, 3]"}}
    made.dag("exit-handler-1", {"for-loop-1": outer}, {"all": (list, "for-loop-1", "all")}, folder=str)
    made.tasks["exit-handler-1"] = task("exit-handler-1", folder=around("folder"))
    leave = task("leave", "exit-handler-1", folder=around("folder"), status=STATUS)
    leave["triggerPolicy"] = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    made.tasks["leave"] = leave
    made.spec["root"]["dag"]["outputs"] = {
        "parameters": {
            "all": {"valueFromParameter": {"producerSubtask": "exit-handler-1", "outputParameterKey": "all"}}
        }
    }
    return made


def written(project: Project, made: Pipeline) -> str:
    file = project.path / "pipeline.json"
    file.write_text(json.dumps(made.spec))
    return str(file)


def headrace(project: Project, *words: str) -> Finished:
    return project.finish(project.start("-m", "headrace", *words))


def held(project: Project, *words: str) -> subprocess.Popen[str]:
    """Start it, and wait until three iterations have ended and others are under way."""
    (project.path / "hold").touch()
    process = project.start("-m", "headrace", *words)
    log = project.path / "log"

    def is_held() -> bool:
        text = log.read_text() if log.exists() else ""
        return text.count("e") >= 3 and text.count("s") > text.count("e")

    project.eventually(is_held, 40)
    return process


def test_killed_in_nested_loops_of_an_exit_handler_goes_on_and_leaves_once(project: Project) -> None:
    process = held(project, "run", written(project, durable()), "--folder", str(project.path))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = Counter((project.path / "log").read_text().split())
    (project.path / "hold").unlink()

    done = headrace(project, "resume", "durable", "--json")

    assert done.code == 0, done.err
    assert project.last().number == 1
    after = Counter((project.path / "log").read_text().split())
    assert {one for one in after if one[0] == "e"} == {f"e{x}.{y}" for x in (1, 2, 3) for y in (1, 2, 3)}
    # What had ended and was recorded did not run again; what was recorded as it ended may have been under way.
    again = [one for one, count in after.items() if one[0] == "s" and count > 1]
    assert len(again) <= len([one for one in before if one[0] == "s"]) - 1
    assert all(count <= 2 for count in after.values())
    assert (project.path / "left").read_text() == "SUCCEEDED exit-handler-1 None\n"
    told = json.loads(headrace(project, "get", "durable/1/result", "--json").out)
    assert "[[11, 12, 13], [21, 22, 23], [31, 32, 33]]" in json.dumps(told)


@pytest.mark.parametrize("way", ["SIGINT", "cancel"])
def test_exit_task_of_a_run_that_is_stopped_hears_of_it(project: Project, way: str) -> None:
    process = held(project, "run", written(project, durable()), "--folder", str(project.path))
    if way == "cancel":
        assert headrace(project, "cancel", "durable/1").code == 0
    else:
        process.send_signal(signal.SIGINT)
    done = project.finish(process)
    assert done.code == (1 if way == "cancel" else 130), done.err
    assert project.last().state == (RunState.CANCELLED if way == "cancel" else RunState.INTERRUPTED)
    assert (project.path / "left").read_text() == "CANCELLED exit-handler-1 the run was cancelled\n"

    (project.path / "hold").unlink()
    assert headrace(project, "resume", "durable/1").code == 0
    assert project.last().state == RunState.SUCCEEDED
    assert (project.path / "left").read_text().splitlines()[1:] == ["SUCCEEDED exit-handler-1 None"]


def chain(middle: str = "return x + 1") -> Pipeline:
    made = Pipeline("chain", n=(int, 1))
    for name, body in (("one", "return x + 1"), ("two", middle), ("three", "return x * 2"), ("beside", "return x")):
        made.python(f"def {name}(x: int) -> int:\n    print('ran', x)\n    {body}", {"Output": int}, x=int)
    made.tasks["one"] = task("one", x=around("n"))
    made.tasks["two"] = task("two", x=output("one"))
    made.tasks["three"] = task("three", x=output("two"))
    made.tasks["beside"] = task("beside", x=output("one"))
    for one in made.tasks.values():
        one["cachingOptions"] = {"enableCache": True}
    made.spec["root"]["dag"]["outputs"] = {
        "parameters": {"o": {"valueFromParameter": {"producerSubtask": "three", "outputParameterKey": "Output"}}}
    }
    return made


def attempts(project: Project) -> dict[str, int]:
    return {one.step: one.attempts for one in project.tasks()}


def test_an_edited_component_and_what_depends_on_it_run_again(project: Project) -> None:
    file = written(project, chain("raise ValueError('no')"))
    done = headrace(project, "run", file)
    assert done.code == 1
    assert "ValueError: no" in done.out + done.err
    assert project.last().failed_task == "two/1"
    written(project, chain("return x + 10"))

    done = headrace(project, "resume", "chain", "--json")

    assert done.code == 0, done.err
    assert json.loads(done.out)["result"]["text"] == "{'o': 24}"
    assert attempts(project) == {"one": 1, "two": 2, "three": 1, "beside": 1}
    written(project, chain("return x + 20"))
    assert headrace(project, "run", file).code == 0
    assert attempts(project) == {"one": 0, "two": 1, "three": 1, "beside": 0}
    assert headrace(project, "explain", "chain/2/two/1").code == 0
    assert "two" in headrace(project, "diff", "chain/1", "chain/2").out


def test_settings_for_a_cluster_are_refused_or_ignored_and_secrets_are_variables(project: Project) -> None:
    made = Pipeline("platform")
    made.python("def use() -> str:\n    import os\n    return os.environ['DB_PASSWORD'][::-1]", {"Output": str})
    made.tasks["use"] = task("use")
    result(made, "use")
    secret = {"secretName": "db", "keyToEnv": [{"secretKey": "password", "envVar": "DB_PASSWORD"}]}
    settings = {"secretAsEnv": [secret], "pvcMount": [{"constant": "data", "mountPath": "/data"}]}
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-use": settings}}}}}
    file = project.path / "pipeline.yaml"
    file.write_text(f"{json.dumps(made.spec)}\n---\n{json.dumps(platform)}\n")
    known = {"HEADRACE_SECRET_DB_PASSWORD": "terces-yrev"}

    def run_it(*words: str, **env: str) -> Finished:
        return project.finish(project.start("-m", "headrace", *words, str(file), **env))

    refused = run_it("run", **known)
    assert refused.code == 2
    assert "task use: pvcMount: needs a persistent volume claim (data)" in refused.err
    missing = run_it("run", "--ignore", "kubernetes")
    assert missing.code != 0
    assert "DB_PASSWORD" in missing.err
    done = run_it("run", "--ignore", "kubernetes", **known)
    assert done.code == 0, done.err
    assert "very-secret" in done.out
    checked = run_it("check")
    assert checked.code == 1
    assert "DB_PASSWORD" in checked.out
    assert "pvcMount" in checked.out
    flow = """
        import headrace.kfp

        @flow
        def outer():
            try:
                headrace.kfp.load("pipeline.yaml")()
            except headrace.UsageError as error:
                print(str(error).splitlines()[1].strip())
            print(headrace.kfp.load("pipeline.yaml", ignore_kubernetes=True)())

        if __name__ == "__main__":
            outer()
        """
    part = project.succeed(flow, **known)
    assert part.splitlines()[:2] == ["task use: pvcMount: needs a persistent volume claim (data)", "very-secret"]


def test_a_failed_component_is_entered_with_its_inputs(project: Project) -> None:
    made = chain("return 1 // (x - 2)")
    made.dag("inner", {"two": task("two", x=around("n"))}, n=int)
    made.tasks["inner"] = task("inner", n=output("one"))
    del made.tasks["two"], made.tasks["three"], made.spec["root"]["dag"]["outputs"]
    assert headrace(project, "run", written(project, made)).code == 1
    assert project.last().failed_task == "inner.two/1"
    process = project.start(
        "-c",
        "import subprocess, sys; subprocess.run([sys.executable, '-m', 'headrace', 'debug'],"
        " input='p (x, 40)\\nq\\n', text=True)",
    )
    done = project.finish(process)
    assert "ZeroDivisionError" in done.out
    assert "(2, 40)" in done.out


def test_a_run_is_reproduced_from_the_file_that_it_kept(project: Project) -> None:
    file = written(project, chain())
    assert headrace(project, "run", file, "--n", "3").code == 0
    written(project, chain("return x + 10"))
    done = headrace(project, "reproduce", "chain/1", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["equal"] is True
    assert attempts(project) == {"one": 1, "two": 1, "three": 1, "beside": 1}
    part = headrace(project, "reproduce", "chain/1/two", "--json")
    assert part.code == 0, part.err
    assert attempts(project)["two"] == 1
    Path(file).unlink()
    assert headrace(project, "resume", "chain/1").code == 2
    assert headrace(project, "resume", "chain/1", "--code", "recorded").code == 0


# --- in this process ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scope(tmp_path_factory: pytest.TempPathFactory) -> Scope:
    return scope_at(Settings(home=str(tmp_path_factory.mktemp("kfp"))))


def run(scope: Scope, made: Pipeline, _use_cache: bool = True, **arguments: Any) -> Ended:
    pipeline = pipeline_of([made.spec], "made")
    validation.check(pipeline, "made")
    return run_pipeline(pipeline, arguments, Launch(scope=scope, entry=f":{pipeline.name}", use_cache=_use_cache))


def ran(scope: Scope, ended: Ended) -> dict[str, int]:
    """The attempts of each step of a run."""
    tasks = scope.metadata.tasks(ended.run.id)
    return {step: sum(one.attempts for one in tasks if one.step == step) for step in {one.step for one in tasks}}


def result(made: Pipeline, producer: str, key: str = "Output") -> None:
    made.spec["root"]["dag"]["outputs"] = {
        "parameters": {"o": {"valueFromParameter": {"producerSubtask": producer, "outputParameterKey": key}}}
    }


def test_results_come_from_the_cache_unless_a_task_says_no(scope: Scope) -> None:
    assert ran(scope, run(scope, chain(), n=5)) == {"one": 1, "two": 1, "three": 1, "beside": 1}
    assert ran(scope, run(scope, chain(), n=5)) == {"one": 0, "two": 0, "three": 0, "beside": 0}
    assert ran(scope, run(scope, chain(), n=6)) == {"one": 1, "two": 1, "three": 1, "beside": 1}
    without = chain()
    without.tasks["two"]["cachingOptions"] = {}
    assert ran(scope, run(scope, without, n=5)) == {"one": 0, "two": 1, "three": 0, "beside": 0}
    assert ran(scope, run(scope, chain(), n=5, _use_cache=False)) == {"one": 1, "two": 1, "three": 1, "beside": 1}


def test_a_task_without_outputs_comes_from_the_cache_too(scope: Scope) -> None:
    made = Pipeline("telling", n=int)
    made.python("def tell(x: int):\n    print('told', x)", x=int)
    made.tasks["tell"] = {**task("tell", x=around("n")), "cachingOptions": {"enableCache": True}}
    assert [ran(scope, run(scope, made, n=n)) for n in (1, 1, 2)] == [{"tell": 1}, {"tell": 0}, {"tell": 1}]


def test_an_exit_task_is_never_reused(scope: Scope) -> None:
    made = Pipeline("leaving")
    made.python("def work() -> int:\n    return 1", {"Output": int})
    made.python("def leave():\n    print('left')")
    cached = {"cachingOptions": {"enableCache": True}}
    made.dag("exit-handler-1", {"work": {**task("work"), **cached}})
    made.tasks["exit-handler-1"] = task("exit-handler-1")
    made.tasks["leave"] = {**task("leave", "exit-handler-1"), **cached}
    made.tasks["leave"]["triggerPolicy"] = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert ran(scope, run(scope, made)) == {"exit-handler-1.work": 1, "leave": 1}
    assert ran(scope, run(scope, made)) == {"exit-handler-1.work": 0, "leave": 1}


def test_display_names_of_tasks_are_titles_of_their_steps(scope: Scope) -> None:
    made = Pipeline("titled")
    made.python("def one() -> int:\n    return 1", {"Output": int})
    made.dag("group", {"one": {**task("one"), "taskInfo": {"name": "The first"}}, "plain": task("one")})
    made.tasks["group"] = task("group")
    view = describe_run(scope.metadata, run(scope, made).run, 0.0)
    assert {one.step: one.title for one in view.steps} == {"group.one": "The first", "group.plain": "one"}


def test_a_cache_key_stands_for_inputs_and_code(scope: Scope) -> None:
    def keyed(key: str, middle: str) -> Pipeline:
        made = chain(middle)
        made.tasks["two"]["cachingOptions"] = {"enableCache": True, "cacheKey": key}
        result(made, "two")
        return made

    first = run(scope, keyed("k", "return x + 100"), n=1)
    second = run(scope, keyed("k", "return x + 200"), n=2)
    third = run(scope, keyed("other", "return x + 200"), n=2)
    assert [one.value["o"] for one in (first, second, third)] == [102, 102, 203]
    assert ran(scope, second)["two"] == 0


def test_a_component_that_contains_itself_ends_by_its_condition(scope: Scope) -> None:
    made = Pipeline("down", n=int)
    made.python("def less(n: int) -> int:\n    return n - 1", {"Output": int}, n=int)
    again = task("down", "less", n=output("less"))
    again["triggerPolicy"] = {"condition": "int(inputs.parameter_values['n']) > 0"}
    made.dag("down", {"less": task("less", n=around("n")), "down": again}, {"o": (int, "less", "Output")}, n=int)
    made.tasks["down"] = task("down", n=around("n"))
    result(made, "down", "o")
    ended = run(scope, made, n=12)
    assert ended.value == {"o": 11}
    assert len(ran(scope, ended)) == 12
    assert "down." * 12 + "less" in ran(scope, ended)


def test_a_failed_pipeline_of_a_task_with_retries_runs_its_failed_tasks_again(scope: Scope, tmp_path: Path) -> None:
    made = Pipeline("again", path=str)
    source = (
        "def flaky(path: str) -> int:\n    import os\n    ok = os.path.exists(path)\n    open(path, 'a').write('x')\n"
    )
    made.python(source + "    assert ok\n    return 1", {"Output": int}, path=str)
    made.python("def good(x: int) -> int:\n    return x", {"Output": int}, x=int)
    tasks = {"good": task("good", x=constant(1)), "flaky": task("flaky", path=around("path"))}
    tasks["after"] = task("good", x=output("flaky"))
    made.dag("inner", tasks, {"o": (int, "after", "Output")}, path=str)
    made.tasks["inner"] = {**task("inner", path=around("path")), "retryPolicy": {"maxRetryCount": 2}}
    result(made, "inner", "o")
    ended = run(scope, made, path=str(tmp_path / "file"))
    assert ended.value == {"o": 1}
    assert ran(scope, ended) == {"inner.good": 1, "inner.flaky": 2, "inner.after": 1}
    assert (tmp_path / "file").read_text() == "xx"


def test_values_of_several_megabytes_pass(scope: Scope) -> None:
    made = Pipeline("large")
    made.python("def make() -> str:\n    return 'x' * 4_000_000", {"Output": str})
    made.python("def size(t: str, xs: list) -> int:\n    return len(t) + len(xs)", {"Output": int}, t=str, xs=list)
    made.python("def many() -> list:\n    return list(range(300_000))", {"Output": list})
    made.tasks["make"] = task("make")
    made.tasks["many"] = task("many")
    made.tasks["size"] = task("size", t=output("make"), xs=output("many"))
    result(made, "size")
    assert run(scope, made).value == {"o": 4_300_000}


WRONG_INPUTS: dict[str, tuple[Any, str]] = {
    "no list": ({"a": 1}, "must be a list"),
    "text that is no list": ("x", "must be a list"),
}


@pytest.mark.parametrize("name", WRONG_INPUTS)
def test_a_loop_over_something_else_than_a_list_fails_with_the_path_of_its_task(scope: Scope, name: str) -> None:
    value, text = WRONG_INPUTS[name]
    made = Pipeline("loops")
    made.python("def make() -> dict:\n    return {}", {"Output": "STRUCT"})
    made.python("def use(x: int) -> int:\n    return x", {"Output": int}, x=int)
    made.dag("loop", {"use": task("use", x=around("x"))}, x=int)
    loop = task("loop", xs=constant(value))
    loop["parameterIterator"] = {"itemInput": "x", "items": {"inputParameter": "xs"}}
    made.dag("outer", {"loop": loop})
    made.tasks["outer"] = task("outer")
    ended = run(scope, made)
    assert ended.run.state == RunState.FAILED
    assert f"task 'outer.loop': the loop is over 'xs', which {text}" in ended.run.error


def test_a_condition_that_does_not_evaluate_fails_its_task(scope: Scope) -> None:
    made = Pipeline("conditions", x=str)
    made.python("def use(x: str) -> str:\n    return x", {"Output": str}, x=str)
    made.tasks["use"] = {
        **task("use", x=around("x")),
        "triggerPolicy": {"condition": "int(inputs.parameter_values['x']) > 1"},
    }
    ended = run(scope, made, x="three")
    assert ended.run.state == RunState.FAILED
    assert "task 'use': the condition" in ended.run.error


def test_a_thousand_iterations_are_bounded_by_their_limit_and_stay_in_order(scope: Scope) -> None:
    made = Pipeline("many")
    made.python("def use(x: int) -> int:\n    return x", {"Output": int}, x=int)
    made.dag("loop", {"use": task("use", x=around("x"))}, {"all": (list, "use", "Output")}, x=int)
    loop = task("loop")
    loop["parameterIterator"] = {"itemInput": "x", "items": {"raw": json.dumps(list(range(1000)))}}
    made.tasks["loop"] = loop
    result(made, "loop", "all")
    assert run(scope, made).value == {"o": list(range(1000))}


def test_a_pipeline_is_a_part_of_a_native_run_and_a_component_a_step(project: Project) -> None:
    made = chain()
    made.python(
        "def write(n: int, out: dsl.Output[dsl.Model]):\n    out.framework = 'f'\n"
        "    open(out.path, 'w').write('m' * n)",
        n=int,
    )
    made.spec["components"]["comp-write"]["outputDefinitions"] = {
        "artifacts": {"out": {"artifactType": {"schemaTitle": "system.Model", "schemaVersion": "0.0.1"}}}
    }
    made.python("def size(model: dsl.Input[dsl.Model]) -> str:\n    return model.framework + open(model.path).read()")
    made.spec["components"]["comp-size"] |= {
        "inputDefinitions": {"artifacts": {"model": {"artifactType": {"schemaTitle": "system.Model"}}}},
        "outputDefinitions": {"parameters": {"Output": {"parameterType": "STRING"}}},
    }
    made.tasks["write"] = task("write", n=constant(2))
    made.tasks["size"] = task("size")
    made.tasks["size"]["inputs"] = {
        "artifacts": {"model": {"taskOutputArtifact": {"producerTask": "write", "outputArtifactKey": "out"}}}
    }
    written(project, made)
    out = project.succeed(
        """
        import headrace.kfp
        chain = headrace.kfp.load("pipeline.json")
        write, size, three = (chain.component(name) for name in ("write", "size", "three"))

        @step
        def plus(x: int) -> int:
            return x + 1

        @flow
        def outer():
            model = write(n=3)
            print(type(model).__name__, model.metadata["kfp"]["schemaTitle"], size(model=model))
            print(chain(n=plus(1)), three(x=plus(20)))
            try:
                three(x="x")
            except headrace.HeadraceError as error:
                print(error)

        if __name__ == "__main__":
            outer()
        """
    )
    assert out.splitlines()[:3] == [
        "File system.Model fmmm",
        "8 42",
        "parameter 'x' must be a whole number (NUMBER_INTEGER), and is \"x\"",
    ]
    assert {one.step for one in project.tasks()} >= {"plus", "chain.write", "chain.one", "chain.two", "chain.three"}
    assert project.last().dialect == "native"
