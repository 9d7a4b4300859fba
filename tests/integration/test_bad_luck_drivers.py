"""Drivers that die, are stopped, exit, fork, lose their lease, or start in odd surroundings."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from headrace import flow, step
from headrace.model.errors import ParameterError, RunBusyError, StoreError, UsageError
from headrace.stores.metadata.protocol import RunFilter

if TYPE_CHECKING:
    from tests.integration.conftest import Project


@step
def give(value: Any) -> Any:
    return value


STEPS = """
@step
def count(n):
    with open("runs.txt", "a") as file:
        file.write(f"{n}\\n")
    if n == 5 and not os.path.exists("go"):
        open("waiting", "w").close()
        time.sleep(60)
    return n * 2

@flow
def train():
    return sum(count(n) for n in range(8))

if __name__ == "__main__":
    if len(sys.argv) > 1:
        from headrace.frontends.native.launch import Launch
        from headrace.frontends.native.resume import resume_run
        from headrace import wiring
        scope = wiring.scope_here()
        print("value", resume_run(scope.metadata.run("train", 1), Launch(scope=scope)).value)
    else:
        train()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_whose_driver_died_is_resumed(project: Project, number: int) -> None:
    process = project.start(str(project.write(STEPS)))
    project.eventually((project.path / "waiting").exists, 20)
    process.send_signal(number)
    project.finish(process)
    project.assert_nothing_left()
    (project.path / "go").touch()
    done = project.finish(project.start("train.py", "resume"))
    assert "value 56" in done.out, done.err
    ran = (project.path / "runs.txt").read_text().split()
    assert sorted(ran) == sorted([*"01234567", "5"])
    assert project.last().session == 2 and project.last().state == "succeeded"


def test_two_resumes_at_once(project: Project) -> None:
    process = project.start(str(project.write(STEPS)))
    project.eventually((project.path / "waiting").exists, 20)
    process.kill()
    project.finish(process)
    (project.path / "waiting").unlink()
    first = project.start("train.py", "resume")
    project.eventually((project.path / "waiting").exists, 20)
    done = project.finish(project.start("train.py", "resume"))
    assert done.code == 1 and "RunBusyError" in done.err and "is being driven by process" in done.err
    first.kill()
    project.finish(first)
    project.assert_nothing_left()


def test_a_killed_server_of_workers_is_replaced(project: Project) -> None:
    text = """
    import signal

    @step(retries=1)
    def kill_server(flag):
        if not os.path.exists(flag):
            open(flag, "w").close()
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return 3

    @step
    def add(a):
        return a + 1

    @flow
    def train():
        add(1)
        return add(kill_server("flag"))

    if __name__ == "__main__":
        print("value", train())
    """
    assert "value 4" in project.succeed(text)
    project.assert_nothing_left()


def test_an_exception_in_a_thread_of_the_flow(project: Project) -> None:
    text = """
    import threading

    @step
    def explode():
        raise ValueError("in a thread")

    @flow
    def train():
        thread = threading.Thread(target=explode)
        thread.start()
        thread.join()
        return 1

    print("value", train())
    """
    done = project.run(text)
    assert "ValueError: in a thread" in done.err
    assert done.code == 0 and "value 1" in done.out


def test_a_thread_of_the_flow_that_outlives_it(project: Project) -> None:
    text = """
    import threading

    @step
    def add(a):
        return a + 1

    def work():
        try:
            for n in range(10_000):
                add(n)
        except BaseException as error:
            print(f"stopped by {type(error).__name__} {error}\\n", end="")

    @flow
    def train():
        threading.Thread(target=work).start()
        time.sleep(0.2)
        return 1

    train()
    """
    assert "stopped by TaskCancelledError run train/1 has ended" in project.succeed(text)


def test_thousands_of_futures_without_waiters(here: Project) -> None:
    @flow
    def train() -> int:
        give.map(range(2000))
        return 1

    assert train() == 1
    assert {t.state for t in here.tasks("give")} == {"succeeded"} and len(here.tasks("give")) == 2000


def test_a_flow_that_exits_the_process(project: Project) -> None:
    text = """
    @step
    def slow():
        time.sleep(60)

    @flow
    def train():
        slow.submit()
        sys.exit(3)

    train()
    """
    done = project.run(text)
    assert done.code == 3 and done.seconds < 5
    assert project.last().state == "failed"
    project.assert_nothing_left()


def test_a_flow_that_leaves_without_a_word(project: Project) -> None:
    text = """
    @step
    def slow():
        time.sleep(60)

    @flow
    def train():
        slow.submit()
        time.sleep(0.2)
        os._exit(4)

    train()
    """
    assert project.run(text).code == 4
    project.assert_nothing_left()


def test_a_flow_that_forks(project: Project) -> None:
    text = """
    @step
    def add(a):
        return a + 1

    @flow
    def train():
        one = add(1)
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        return add(one)

    print("value", train())
    """
    assert "value 3" in project.succeed(text)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_driver_started_without_standard_streams(project: Project, closed: str) -> None:
    text = """
    @step
    def say(a):
        print("out", a)
        sys.stderr.write("err")
        return a + 1

    @flow
    def train():
        print("from the flow")
        sys.stderr and sys.stderr.write("x")
        value = sum(f.result() for f in say.map(range(3)))
        open("value", "w").write(str(value))

    train()
    """
    file = project.write(text)
    subprocess.run(["bash", "-c", f"exec {sys.executable} {file} {closed}"], cwd=project.path, timeout=30, check=True)
    assert (project.path / "value").read_text() == "6"
    assert project.log("say") == b"out 0\nerr"


def test_a_reader_of_stdout_that_leaves(project: Project) -> None:
    text = """
    @flow
    def train():
        for n in range(100_000):
            print("line", n)

    train()
    """
    command = f"{sys.executable} {project.write(text)} | head -1"
    done = subprocess.run(["bash", "-c", command], cwd=project.path, capture_output=True, text=True, timeout=30)
    assert done.stdout == "line 0\n" and "BrokenPipeError" in done.stderr
    assert "/src/headrace/" not in done.stderr
    assert project.last().state == "failed"


def test_workers_end_with_a_driver_whose_children_live_on(project: Project) -> None:
    """A process that the flow forked holds the driver's sockets open."""
    text = """
    @step
    def slow():
        open("started", "w").close()
        time.sleep(300)

    @flow
    def train():
        slow.submit()
        while not os.path.exists("started"):
            time.sleep(0.01)
        if os.fork() == 0:
            time.sleep(300)
        time.sleep(0.1)
        os.kill(os.getpid(), 9)

    train()
    """
    process = project.start(str(project.write(text)))
    process.wait(20)
    project.eventually(lambda: len(project.processes()) == 1, 5, "workers are left behind")
    project.close()
    project.finish(process)


@pytest.mark.parametrize("call", ["train()", "thread = threading.Thread(target=train); thread.start(); thread.join()"])
def test_a_script_without_a_guard_does_not_start_itself_again(project: Project, call: str) -> None:
    """Workers that cannot be forked import the script, and the call of the flow at its end."""
    text = f"""
    import threading
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

    @step
    def add(a):
        return a + 1

    @flow
    def train():
        print("value", add(1))

    {call}
    """
    done = project.run(text)
    assert 'put the call under: if __name__ == "__main__":' in done.err
    assert len(project.metadata.runs(RunFilter())) == 1
    project.assert_nothing_left()


def test_output_of_runs_in_two_threads(project: Project) -> None:
    text = """
    import threading

    @flow
    def train(n: int, seconds: float):
        time.sleep(seconds)
        print("run", n)

    if __name__ == "__main__":
        before = sys.stdout
        for pairs in ([(1, 0.2), (2, 0.4)], [(3, 0.4), (4, 0.2)]):
            threads = [threading.Thread(target=train, args=pair) for pair in pairs]
            for thread in threads:
                thread.start()
                time.sleep(0.05)
            for thread in threads:
                thread.join()
        print(sys.stdout is before)
    """
    assert sorted(project.succeed(text).split("\n")) == ["", "True", "run 1", "run 2", "run 3", "run 4"]


def test_a_lost_lease_ends_the_driver(project: Project) -> None:
    text = """
    @step
    def slow(n):
        time.sleep(0.2)
        return n

    @flow
    def train():
        from headrace import wiring
        store = wiring.scope_here().metadata
        store.acquire("run:1", "someone-else", 60, dead=store.lease("run:1").owner)
        for n in range(50):
            slow(n)

    train()
    """
    err = project.fail(text)
    assert "LeaseLostError" in err
    project.assert_nothing_left()


def test_errors_are_of_the_kinds_that_the_manual_names() -> None:
    assert issubclass(ParameterError, UsageError) and issubclass(RunBusyError, UsageError)
    assert issubclass(headrace.TaskTimeoutError, TimeoutError) and issubclass(StoreError, headrace.HeadraceError)
