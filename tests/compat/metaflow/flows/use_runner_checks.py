"""Not a flow: what ``Runner`` refuses, and when."""

import asyncio
import contextlib
import io
import sys

from metaflow import Flow, Runner, namespace
from metaflow.runner.metaflow_runner import ExecutingRun


def attempt(label, call):
    """Call, and say what came of it."""
    try:
        found = call()
    except Exception as error:
        print(label, "->", type(error).__name__, type(error).__module__.partition(".")[0])
    else:
        print(label, "->", found.status, found.returncode)


def run(label, top=None, **given):
    """A run, and what it printed of its parameters."""
    found = []

    def call():
        with Runner("runner_params.py", show_output=False, **(top or {})) as runner:
            result = runner.run(**given)
            found.extend(line.partition("] ")[2] for line in result.stdout.splitlines() if "] took" in line)
            found.extend(line.partition("] ")[2] for line in result.stdout.splitlines() if "] limits" in line)
            return result

    attempt(label, call)
    for line in found:
        print("   ", line)


attempt("no file", lambda: Runner("nowhere.py"))
attempt("no flow", lambda: Runner("touch.py"))
attempt("broken", lambda: Runner("not_python.py"))
run("required missing")
run("unknown", must=1, nonsense=2)
run("wrong case", must=1, Big_Name=2.0)
run("lower case", must=1, big_name=2.0, yes=True, data={"b": [1]}, parts="x,y,z", text="words.txt")
run("whole number for a fraction", must=1, big_name=2)
run("text for a number", must="1")
run("none for required", must=None)
run("none for another", must=1, big_name=None, parts=None)
run("list for a text", must=1, parts=["x", "y"])
run("number for a flag", must=1, yes=1)
run("text for json", must=1, data='{"b": 2}')
run("tag that is no list", must=1, tags="one")
run("tag that is a number", must=1, tags=[1])
run("workers in words", must=1, max_workers="2")
run("unknown top level", {"nonsense": 1}, must=1)
run("wrong top level", {"quiet": "yes"}, must=1)
run("top level", {"pylint": False, "decospecs": ["retry:times=0"]}, must=1)
run("config value", {"config_value": [("limits", {"word": "given"})]}, must=1)
run("config file", {"config": [("limits", "limits.json")]}, must=1)
run("config that is no mapping", {"config_value": [("limits", 3)]}, must=1)
run("added by the mutator", must=1, added="mine")
run("fails", must=7)
attempt("resume takes no parameters", lambda: Runner("runner_params.py", show_output=False).resume(must=1))
attempt("resume of what is not there", lambda: Runner("runner_params.py", show_output=False).resume(origin_run_id="x1"))
print("started", len(list(Flow("RunnerParams"))))


def shown():
    """What is seen of a run while it is made."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), Runner("single.py") as runner:
        result = runner.run()
        same = all(line in out.getvalue() for line in [*result.stdout.splitlines(), *result.stderr.splitlines()])
    print("shown", "Done!" in out.getvalue(), "executing" in out.getvalue(), err.getvalue() == "", same)
    print(isinstance(result, ExecutingRun), result.runner is runner)


async def waits():
    """Waiting, with and without an end."""
    async with Runner("runner_params.py", show_output=False) as runner:
        slow = await runner.async_run(must=60)
        print(slow.status, slow.returncode, slow.run.finished)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            print(await slow.wait(timeout=1) is slow)
        print(slow.status, "Timeout" in out.getvalue())
        quick = await runner.async_run(must=2)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            await quick.wait(stream="stdout")
        print(quick.status, out.getvalue() == quick.stdout, "took 2" in out.getvalue())
        async for position, line in quick.stream_log("stdout"):
            if "took" in line:
                break
        rest = [line async for _, line in quick.stream_log("stdout", position)]
        print(not any("took" in line for line in rest), rest == quick.stdout[position:].splitlines())
        try:
            [line async for line in quick.stream_log("nothing")]
        except Exception as error:
            print(type(error).__name__)
        print(sorted(quick.command_obj.log_files), quick.command_obj.process.pid > 0)
        try:
            await runner.async_run(must=1, nonsense=2)
        except Exception as error:
            print(type(error).__name__)
        try:
            await runner.async_resume(origin_run_id="x1")
        except Exception as error:
            print(type(error).__name__, str(error).startswith("Error executing"))


namespace("user:somebody-else")
with Runner("single.py", show_output=False).run() as running:
    print(running.run.successful, running.run.id in running.run.pathspec)
namespace(None)
shown()
asyncio.run(waits())
sys.exit(3)
