"""Runs in trouble: values that cannot be kept, stores that fail, drivers that die, calls that make no sense."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from headrace import flow, step
from headrace.model.errors import NotStorableError, ParameterError, RunBusyError, StoreError, UsageError
from headrace.stores.metadata.protocol import RunFilter

if TYPE_CHECKING:
    from tests.integration.conftest import Project

BIG = 40_000


@step
def make(n: int) -> bytes:
    return b"x" * n


@step
def size(data: Any) -> int:
    return len(data)


@step
def give(value: Any) -> Any:
    return value


class WithLock:
    def __init__(self) -> None:
        import threading

        self.name = "model"
        self.parts = {"inner": [threading.Lock()]}


@step
def make_unpicklable() -> Any:
    return WithLock()


class BadReduce:
    def __reduce__(self) -> Any:
        raise RuntimeError("reduce fails")


class BadLoad:
    def __reduce__(self) -> Any:
        return _fail_to_load, ("x",)


def _fail_to_load(_text: str) -> Any:
    raise RuntimeError("load fails")


class SlowLoad:
    def __reduce__(self) -> Any:
        return _load_for_ever, (60,)


def _load_for_ever(seconds: float) -> Any:
    time.sleep(seconds)


@step
def make_one(kind: str) -> Any:
    return {"reduce": BadReduce, "load": BadLoad, "slow": SlowLoad}[kind]()


class Liar:
    """Its comparison, its repr, its length and its hash all fail."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __bool__(self) -> bool:
        raise RuntimeError("bool")


@step
def make_liar() -> Any:
    return Liar()


# --- calls that make no sense ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, r"make\(\) missing 1 required argument: 'n'"),
        ((1, 2), {}, r"make\(\) takes 1 positional argument but 2 were given"),
        ((1,), {"n": 2}, r"make\(\) got multiple values for argument 'n'"),
        ((1,), {"m": 2}, r"make\(\) got an unexpected keyword argument 'm'"),
    ],
)
def test_wrong_arguments_are_caught_before_anything_starts(here: Project, args: Any, kwargs: Any, message: str) -> None:
    for call in (make, make.submit):

        @flow
        def train() -> None:
            call(*args, **kwargs)

        with pytest.raises(TypeError, match=message):
            train()
        assert here.tasks() == []
    if kwargs:

        @flow
        def mapped() -> None:
            make.map([1], **kwargs)

        with pytest.raises(TypeError, match=message):
            mapped()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("train(depths=3)", "unknown|no parameter"),
        ("train(depth='three')", "depth"),
        ("train(depth=2.5)", "depth"),
        ("train(1, 2)", "argument"),
        ("train(1, depth=2)", "depth"),
    ],
)
def test_wrong_parameters_make_no_run(project: Project, call: str, message: str) -> None:
    text = f"""
    @flow
    def train(depth: int = 1):
        return depth

    {call}
    """
    err = project.fail(text)
    assert "depth" in err or "argument" in err
    assert not (project.home / "metadata.db").exists()


def test_wrong_parameters_on_the_command_line_exit_with_2(project: Project) -> None:
    text = """
    @flow
    def train(depth: int = 1):
        return depth

    train.main()
    """
    for argv in (["--depht", "3"], ["--depth", "x"], ["depth=x"], ["--depth"], ["7"]):
        err = project.fail(text, *argv, code=2)
        assert "Traceback" not in err and len(err.strip().splitlines()) <= 3, err
    assert "did you mean" in project.fail(text, "--depht", "3", code=2)


def test_a_cycle_of_futures_cannot_be_made(here: Project) -> None:
    """A call takes its arguments as they are: what is put into a list later is no dependency."""

    @flow
    def train() -> Any:
        box: list[Any] = [1]
        future = give.submit(box)
        box.append(future)
        again = give.submit(box)
        box.append(again)
        return future.result(), again.result()

    assert train() == ([1], [1, [1]])


def test_a_list_that_holds_itself_and_a_future(here: Project) -> None:
    @flow
    def train() -> Any:
        box: list[Any] = [give.submit(1)]
        box.append(box)
        back = give(box)
        return back[0], back[1] is back

    assert train() == (1, True)


# --- values that cannot be kept -------------------------------------------------------------------------------------


def test_an_argument_that_cannot_be_stored_is_named(here: Project) -> None:
    @flow
    def train() -> None:
        give(value={"model": WithLock()})

    with pytest.raises(NotStorableError, match=r"argument 'value' of step 'give'.*parts\['inner'\]\[0\].*lock"):
        train()
    assert here.tasks() == []


def test_a_result_that_cannot_be_stored_is_named(here: Project) -> None:
    @flow
    def train() -> None:
        make_unpicklable()

    with pytest.raises(NotStorableError, match=r"\.parts\['inner'\]\[0\].*lock"):
        train()
    [attempt] = here.attempts("make_unpicklable")
    assert attempt.failure == "store"


def test_a_flow_result_that_cannot_be_stored_is_named(here: Project) -> None:
    @flow
    def train() -> Any:
        make(1)
        return WithLock()

    with pytest.raises(NotStorableError, match=r"\.parts\['inner'\]\[0\]"):
        train()
    run = here.last()
    assert run.state == "failed" and "result" in run.error


def test_a_reduce_that_fails(here: Project) -> None:
    @flow
    def train() -> None:
        make_one("reduce")

    with pytest.raises(NotStorableError, match="reduce fails"):
        train()


def test_a_value_that_does_not_load_fails_its_reader_only(here: Project) -> None:
    @flow
    def train() -> Any:
        future = make_one.submit("load")
        reader = give.submit(future)
        errors = [type(reader.exception()), str(reader.exception())]
        with pytest.raises(RuntimeError, match="load fails"):
            future.result()
        return errors, give(1)

    errors, value = train()
    assert errors[0] is RuntimeError and "load fails" in errors[1] and value == 1


def test_a_value_that_takes_for_ever_to_load_meets_the_time_limit(here: Project) -> None:
    @flow
    def train() -> Any:
        reader = give.options(timeout=0.5).submit(make_one.submit("slow"))
        return type(reader.exception()).__name__

    assert train() == "TaskTimeoutError"


def test_a_value_whose_methods_all_fail_is_kept_all_the_same(here: Project) -> None:
    @flow
    def train() -> Any:
        future = make_liar.submit()
        return type(give(future)).__name__, type(future.result()).__name__

    assert train() == ("Liar", "Liar")


def test_a_class_that_the_reader_cannot_import(project: Project) -> None:
    module = project.path / "gone.py"
    module.write_text("class Model:\n    pass\n")
    text = """
    @step
    def fit():
        import gone
        model = gone.Model()
        os.remove("gone.py")
        return model

    @step(isolated=True)
    def use(model):
        return 1

    @flow
    def train():
        try:
            use(fit.submit())
        except headrace.HeadraceError as error:
            print(type(error).__name__, error)

    train()
    """
    out = project.succeed(text)
    assert "gone" in out


# --- the artifact store ---------------------------------------------------------------------------------------------


def blobs(home: Path) -> list[Path]:
    return [f for f in (home / "artifacts").rglob("*") if f.is_file() and f.stat().st_size >= BIG]


@pytest.mark.parametrize("harm", ["missing", "truncated", "wrong", "empty"])
@pytest.mark.parametrize("reader", ["step", "flow"])
def test_a_harmed_blob_makes_its_task_run_again(here: Project, harm: str, reader: str) -> None:
    def spoil() -> None:
        [blob] = blobs(here.home)
        blob.chmod(0o644)
        if harm == "missing":
            blob.unlink()
        elif harm == "truncated":
            os.truncate(blob, 100)
        elif harm == "empty":
            os.truncate(blob, 0)
        else:
            blob.write_bytes(b"y" * BIG)

    @flow
    def train() -> int:
        future = make.submit(BIG)
        headrace.wait([future])
        spoil()
        if reader == "flow":
            return len(future.result())
        return size(future)

    assert train() == BIG
    assert len(here.attempts("make")) == 2


# --- the metadata store ---------------------------------------------------------------------------------------------

HELLO = """
@step
def add(a, b=1):
    return a + b

@flow
def train():
    return add(1)

if __name__ == "__main__":
    print("value", train())
"""


@pytest.mark.parametrize("harm", ["text", "half", "noise"])
def test_a_damaged_database_is_one_clear_error(project: Project, harm: str) -> None:
    project.succeed(HELLO)
    file = project.home / "metadata.db"
    content = file.read_bytes()
    file.write_bytes(
        {
            "text": b"this is not a database, and never was one" * 100,
            "half": content[: len(content) // 2],
            "noise": content[:4096] + os.urandom(len(content) - 4096),
        }[harm]
    )
    for extra in project.home.glob("metadata.db-*"):
        extra.unlink()
    err = project.fail(HELLO)
    assert "StoreDamagedError" in err and str(file) in err


@pytest.mark.parametrize(
    "harm",
    [
        "update tasks set inputs = x'ff00'",
        "update tasks set state = 'odd'",
        "update artifacts set value = x'ff'",
        "update artifacts set preview = x''",
        "update runs set state = 'odd'",
    ],
)
def test_a_damaged_row_is_one_clear_error(project: Project, harm: str) -> None:
    import sqlite3

    project.write(RESUME_FIRST, "again.py")
    project.succeed(HELLO)
    with sqlite3.connect(project.home / "metadata.db") as database:
        database.execute(harm)
    done = project.finish(project.start("again.py"))
    assert done.code == 1 and "StoreDamagedError" in done.err and "damaged" in done.err
    assert "/src/headrace/stores" not in done.err


def test_a_store_of_a_newer_version_is_refused(project: Project) -> None:
    import sqlite3

    project.succeed(HELLO)
    with sqlite3.connect(project.home / "metadata.db") as database:
        database.execute("update headrace_schema set version_num = '9999'")
    err = project.fail(HELLO)
    assert "StoreVersionError" in err and "newer" in err


@pytest.fixture
def small_disk(project: Project) -> Iterator[Path]:
    place = project.path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("cannot mount a small disk here")
    yield place
    project.close()
    subprocess.run(["umount", "-l", str(place)], check=True)


FILLING = """
@step
def fill(n):
    return os.urandom(n << 20)

@flow
def train(by_flow: bool = False):
    if by_flow:
        return fill.__wrapped__(20)
    return [len(fill(1)) for _ in range(20)]

train.main()
"""


@pytest.mark.parametrize("argv", [[], ["--by_flow", "true"]])
def test_a_full_disk_is_one_clear_error(project: Project, small_disk: Path, argv: list[str]) -> None:
    err = project.fail(FILLING, *argv, HEADRACE_HOME=str(small_disk / "home"))
    assert "StoreFullError" in err and "space" in err
    assert len(err) < 4000, err
    project.assert_nothing_left()


def test_a_disk_that_is_full_from_the_start(project: Project, small_disk: Path) -> None:
    filler = os.open(small_disk / "filler", os.O_CREAT | os.O_WRONLY)
    with pytest.raises(OSError, match="space"):
        while True:
            os.write(filler, b"x" * 4096)
    os.close(filler)
    err = project.fail(HELLO, HEADRACE_HOME=str(small_disk / "home"))
    assert "StoreFullError" in err
    project.assert_nothing_left()


def test_a_full_disk_leaves_what_was_there_and_the_run_goes_on_with_more(project: Project, small_disk: Path) -> None:
    """The run that met the full disk can be gone on with once there is room."""
    home = small_disk / "home"
    project.fail(FILLING, HEADRACE_HOME=str(home))
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    project.write(
        """
        from headrace.frontends.native.resume import resume_run
        from headrace import wiring

        record = wiring.project().metadata.run("train", 1)
        print("ended", resume_run(record).run.state)
        """,
        "again.py",
    )
    done = project.finish(project.start("again.py", HEADRACE_HOME=str(home)))
    assert "ended succeeded" in done.out, done.err


def test_a_read_only_store_is_one_clear_error(project: Project, small_disk: Path) -> None:
    home = str(small_disk / "home")
    project.succeed(HELLO, HEADRACE_HOME=home)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    err = project.fail(HELLO, HEADRACE_HOME=home)
    assert "StoreReadOnlyError" in err and home in err
    project.assert_nothing_left()


def test_a_home_that_is_a_file(project: Project) -> None:
    (project.path / "plain").write_text("x")
    err = project.fail(HELLO, HEADRACE_HOME=str(project.path / "plain"))
    assert "StoreError" in err and "plain" in err


def test_a_store_that_vanishes_under_a_run(project: Project) -> None:
    text = """
    import shutil

    @step
    def add(a):
        return a + 1

    @step
    def big(a):
        return b"x" * 100_000

    @flow
    def train():
        add(1)
        shutil.rmtree(".headrace")
        for n in range(200):
            add(n)
            big(n)
            time.sleep(0.01)

    train()
    """
    done = project.run(text)
    assert done.code in (0, 1)
    project.assert_nothing_left()


# --- drivers --------------------------------------------------------------------------------------------------------

RESUME_FIRST = """
from headrace.frontends.native.resume import resume_run
from headrace.frontends.native.script import show_well
from headrace import wiring

show_well()
print("value", resume_run(wiring.project().metadata.run("train", 1)).value)
"""

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
        from headrace.frontends.native.resume import resume_run
        from headrace import wiring
        print("value", resume_run(wiring.project().metadata.run("train", 1)).value)
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


def test_thousands_of_futures_that_nobody_waits_for(here: Project) -> None:
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
        store = wiring.project().metadata
        store.acquire("run:1", "someone-else", 60, time.time() + 1000)
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
