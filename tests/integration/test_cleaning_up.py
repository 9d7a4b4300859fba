"""Steps that a flow calls on its way out when its run is stopped: they run, for a while, and are recorded."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess

    from tests.integration.conftest import Project

STEPS = """
import asyncio, contextlib
from concurrent.futures import ThreadPoolExecutor

@step
def long(n=0):
    open(f"started-{n}", "w").close()
    time.sleep(300)

@step
async def long_async(n=0):
    open(f"started-{n}", "w").close()
    await asyncio.sleep(300)

@step
def clean(n=0):
    open(f"cleaned-{n}", "w").close()
    return n

@step
async def clean_async(n=0):
    open(f"cleaned-{n}", "w").close()
    return n

@step
def stuck():
    open("stuck", "w").close()
    time.sleep(300)
"""

BODIES = {
    "finally": """
@flow
def train():
    try:
        long()
    finally:
        clean()
""",
    "except": """
@flow
def train():
    try:
        long()
    except BaseException:
        clean()
        raise
""",
    "context manager": """
@contextlib.contextmanager
def cleaned():
    try:
        yield
    finally:
        clean.submit().result()

@flow
def train():
    with cleaned():
        long()
""",
    "exit stack": """
@flow
def train():
    with contextlib.ExitStack() as stack:
        stack.callback(clean)
        long()
""",
    "generator": """
def batches():
    try:
        yield 1
    finally:
        clean()

@flow
def train():
    for _ in batches():
        long()
""",
    "sub-flow": """
@flow
def inner():
    try:
        long()
    finally:
        clean()

@flow
def train():
    inner()
""",
    "submitted": """
@flow
def train():
    futures = long.map(range(1))
    try:
        futures[0].result()
    finally:
        clean.submit()
""",
    "busy machine": """
@flow
def train():
    futures = long.options(cpu=os.cpu_count()).map(range(1))
    try:
        futures[0].result()
    finally:
        clean.options(cpu=os.cpu_count())()
""",
    "sleep first": """
@flow
def train():
    try:
        long()
    finally:
        headrace.sleep(0.1)
        clean()
""",
    "threads": """
@flow
def train():
    try:
        long()
    finally:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(clean, range(2)))
""",
    "async": """
@flow
async def train():
    try:
        await long_async()
    finally:
        await clean_async()
""",
    "async with": """
@contextlib.asynccontextmanager
async def cleaned():
    try:
        yield
    finally:
        await asyncio.gather(clean_async(), clean_async(1))

@flow
async def train():
    async with cleaned(), asyncio.TaskGroup() as group:
        group.create_task(long_async())
""",
    "async flow, plain step": """
@flow
async def train():
    try:
        long()
    finally:
        clean()
""",
    "computes": """
@flow
def train():
    clean(1)
    open("started-0", "w").close()
    try:
        while True:
            sum(range(1000))
    finally:
        clean()
""",
}


def begin(project: Project, body: str, **env: str) -> subprocess.Popen[str]:
    process = project.start(str(project.write(STEPS + body + "\ntrain()\n")), **env)
    project.eventually(
        lambda: process.poll() is not None or (project.path / "started-0").exists(), 30, "the flow does not start"
    )
    return process


def stop(project: Project, process: subprocess.Popen[str], how: str) -> None:
    if how == "cancel":
        project.metadata.send(project.last().id, "cancel", "", b"", "ada", time.time())
    else:
        process.send_signal(signal.SIGINT if how == "interrupt" else signal.SIGTERM)


def states(project: Project) -> dict[str, str]:
    return {task.step: str(task.state) for task in project.tasks()}


@pytest.mark.parametrize("how", ["cancel", "interrupt"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_run_that_is_stopped_executes_the_steps_that_clean_up(project: Project, body: str, how: str) -> None:
    process = begin(project, body)
    stop(project, process, how)
    done = project.finish(process)
    project.assert_nothing_left()
    assert (project.path / "cleaned-0").exists(), done.err
    assert project.last().state == ("cancelled" if how == "cancel" else "interrupted")
    found = states(project)
    assert {state for step, state in found.items() if "clean" in step} == {"succeeded"}
    assert {state for step, state in found.items() if "long" in step} <= {"cancelled"}
    assert "Traceback" not in done.err or how == "cancel"


def test_sigterm_lets_a_flow_clean_up(project: Project) -> None:
    process = begin(project, BODIES["finally"])
    stop(project, process, "terminate")
    project.finish(process)
    assert states(project) == {"long": "cancelled", "clean": "succeeded"}
    assert project.last().state == "interrupted"


STUCK = """
@flow
def train():
    try:
        long()
    finally:
        stuck()
"""


@pytest.mark.parametrize("how", ["cancel", "interrupt"])
def test_a_second_request_ends_the_cleaning(project: Project, how: str) -> None:
    process = begin(project, STUCK)
    stop(project, process, how)
    project.eventually((project.path / "stuck").exists, 30)
    stop(project, process, how)
    done = project.finish(process)
    project.assert_nothing_left()
    assert done.seconds < 30
    assert project.last().state == ("cancelled" if how == "cancel" else "interrupted")
    assert states(project) == {"long": "cancelled", "stuck": "cancelled"}


@pytest.mark.parametrize("how", ["cancel", "interrupt"])
@pytest.mark.parametrize(
    "body",
    [STUCK, STUCK.replace("stuck()", "time.sleep(300)"), STUCK.replace("stuck()", "stuck.submit()")],
    ids=["step", "flow", "submitted"],
)
def test_cleaning_ends_at_its_deadline(project: Project, body: str, how: str) -> None:
    process = begin(project, body, HEADRACE_CLEANUP="1s")
    stop(project, process, how)
    done = project.finish(process)
    project.assert_nothing_left()
    assert done.seconds < 30
    assert project.last().state == ("cancelled" if how == "cancel" else "interrupted")
    assert set(states(project).values()) == {"cancelled"}


def test_a_flow_says_how_long_it_cleans_up(project: Project) -> None:
    process = begin(project, STUCK.replace("@flow", '@flow(cleanup="0.5s")'))
    stop(project, process, "cancel")
    assert project.finish(process).seconds < 30
    assert states(project) == {"long": "cancelled", "stuck": "cancelled"}


def test_without_time_to_clean_up_nothing_runs(project: Project) -> None:
    process = begin(project, BODIES["finally"], HEADRACE_CLEANUP="0")
    stop(project, process, "cancel")
    project.finish(process)
    assert not (project.path / "cleaned-0").exists()


def test_a_flow_that_catches_an_interrupt_goes_on(project: Project) -> None:
    body = """
    @flow
    def train():
        try:
            long()
        except KeyboardInterrupt:
            pass
        clean(0)
        time.sleep(1.5)
        return clean(1)
    """
    process = begin(project, __import__("textwrap").dedent(body), HEADRACE_CLEANUP="0.5s")
    stop(project, process, "interrupt")
    project.finish(process)
    assert project.last().state == "succeeded"
    assert states(project) == {"long": "cancelled", "clean": "succeeded"}


def test_a_flow_that_goes_on_after_a_cancel_is_cancelled(project: Project) -> None:
    body = BODIES["finally"].replace("finally:\n        clean()", "except BaseException:\n        pass\n    clean()")
    process = begin(project, body)
    stop(project, process, "cancel")
    project.finish(process)
    assert project.last().state == "cancelled"


def test_work_of_a_thread_pool_does_not_go_on_after_a_cancel(project: Project) -> None:
    body = """
@flow
def train():
    with ThreadPoolExecutor(1) as pool:
        list(pool.map(lambda n: (long if n == 0 else clean)(n), range(5)))
"""
    process = begin(project, body)
    stop(project, process, "cancel")
    done = project.finish(process)
    assert done.seconds < 30
    assert not list(project.path.glob("cleaned-*"))


@pytest.mark.parametrize("kind", ["", "async "])
def test_a_flow_in_a_thread_cleans_up_after_a_cancel(project: Project, kind: str) -> None:
    body = (
        BODIES["async" if kind else "finally"]
        + """
import threading
def run():
    try:
        train()
    except headrace.TaskCancelledError as error:
        print("told:", error)
"""
    )
    text = STEPS + body + "thread = threading.Thread(target=run)\nthread.start()\nthread.join()\n"
    process = project.start(str(project.write(text)))
    project.eventually((project.path / "started-0").exists, 30)
    stop(project, process, "cancel")
    done = project.finish(process)
    assert "told: run train/1 was cancelled by ada" in done.out, done.err
    assert project.last().state == "cancelled"
    assert sorted(states(project).values()) == ["cancelled", "succeeded"]


def test_a_resumed_run_goes_on_after_cleaning_up(project: Project) -> None:
    body = BODIES["finally"].replace("long()", "long() if not os.path.exists('gate') else clean(7)")
    process = begin(project, body.replace("        clean()\n", "        clean(3)\n"))
    stop(project, process, "cancel")
    project.finish(process)
    (project.path / "gate").write_text("")
    done = project.finish(project.start("-m", "headrace", "resume", "train/1"))
    assert done.code == 0, done.out + done.err
    assert project.last().state == "succeeded"
    found: dict[str, Any] = {f"{task.step}/{task.number}": str(task.state) for task in project.tasks()}
    assert found["clean/1"] == "succeeded" and "clean/2" in found


@pytest.mark.parametrize("how", ["cancel", "interrupt"])
def test_a_metaflow_run_that_is_stopped_calls_its_exit_hooks(project: Project, how: str) -> None:
    (project.path / "hooked.py").write_text(
        """
import time
from metaflow import FlowSpec, exit_hook, step

def good():
    print("hook: good")

def bad(run):
    print("hook: bad,", run.finished, run.successful)

@exit_hook(on_success=[good], on_error=[bad])
class Hooked(FlowSpec):
    @step
    def start(self):
        open("started-0", "w").close()
        time.sleep(300)
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Hooked()
"""
    )
    process = project.start("-m", "headrace", "run", "hooked.py")
    project.eventually((project.path / "started-0").exists, 30)
    stop(project, process, how)
    done = project.finish(process)
    assert "hook: bad, " in done.out + done.err and "hook: good" not in done.out + done.err
    assert "successful" not in done.err and project.last().state == ("cancelled" if how == "cancel" else "interrupted")


def test_a_flow_that_its_event_loop_cancels_cleans_up(project: Project) -> None:
    out = project.succeed(
        STEPS
        + BODIES["async"]
        + """
async def main():
    call = asyncio.create_task(train())
    while not os.path.exists("started-0"):
        await asyncio.sleep(0.05)
    call.cancel()
    try:
        await call
    except asyncio.CancelledError:
        print("cancelled", headrace.Run("train/1").state, os.path.exists("cleaned-0"))

if __name__ == "__main__":
    asyncio.run(main())
"""
    )
    assert out.endswith("cancelled cancelled True\n")
    assert states(project) == {"long_async": "cancelled", "clean_async": "succeeded"}


@pytest.mark.parametrize("how", ["cancel", "interrupt", "terminate"])
@pytest.mark.parametrize(
    "body",
    [
        BODIES["finally"] + "        raise RuntimeError('cluster not deleted')\n",
        BODIES["except"].replace("raise", "raise RuntimeError('cluster not deleted')"),
        BODIES["except"]
        .replace("except BaseException:", "except BaseException as error:")
        .replace("raise", "raise RuntimeError('cluster not deleted') from error"),
        BODIES["sub-flow"] + "inner.__wrapped__.__globals__['clean'] = lambda: 1 / 0\n",
        BODIES["exit stack"].replace("stack.callback(clean)", "stack.callback(clean, 1, 2, 3)"),
    ],
    ids=["finally", "except", "from", "sub-flow", "exit stack"],
)
@pytest.mark.parametrize("command", [False, True], ids=["script", "command"])
def test_an_error_of_the_cleaning_is_shown_and_the_run_ends_as_stopped(
    project: Project, body: str, how: str, command: bool
) -> None:
    said = "cluster not deleted" if "cluster" in body else "ZeroDivisionError" if "1 / 0" in body else "clean() takes"
    file = str(project.write(STEPS + body + ("" if command else "\ntrain()\n")))
    argv = ["-m", "headrace", "run", f"{file}:train"] if command else [file]
    process = project.start(*argv)
    project.eventually((project.path / "started-0").exists, 30, "the flow does not start")
    stop(project, process, how)
    done = project.finish(process)
    project.assert_nothing_left()
    run = project.last()
    assert run.state == ("cancelled" if how == "cancel" else "interrupted")
    assert said in done.out + done.err and said in run.traceback and said in run.error
    if how == "cancel":
        assert "was cancelled by ada" in done.out + done.err and "was cancelled by ada" in run.error


@pytest.mark.parametrize("how", ["cancel", "interrupt"])
def test_a_run_that_is_stopped_shows_no_traceback_of_its_command(project: Project, how: str) -> None:
    file = str(project.write(STEPS + BODIES["finally"]))
    process = project.start("-m", "headrace", "run", file)
    project.eventually((project.path / "started-0").exists, 30, "the flow does not start")
    stop(project, process, how)
    done = project.finish(process)
    assert "Traceback" not in done.out + done.err


def test_a_flow_that_goes_on_after_an_interrupt_and_fails_has_failed(project: Project) -> None:
    body = BODIES["finally"].replace(
        "finally:\n        clean()",
        "except KeyboardInterrupt:\n        pass\n    clean()\n    raise RuntimeError('later')",
    )
    process = begin(project, body)
    stop(project, process, "interrupt")
    assert "later" in project.finish(process).err
    assert project.last().state == "failed"
