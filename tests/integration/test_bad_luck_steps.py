"""Steps that misbehave in every way a process can: always one clear error or a right value, never a hang."""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from headrace import flow, step

if TYPE_CHECKING:
    from tests.integration.conftest import Project


@step
def ok(n: int = 1) -> int:
    return n + 1


@step
def pid() -> int:
    return os.getpid()


def run_in_flow(work: Any, *args: Any) -> Any:
    """Run the step ``work`` in a flow, then another one in the same run; return what the first one gave."""

    @flow
    def train() -> Any:
        result = work(*args)
        assert ok(5) == 6
        return result

    return train()


# --- ways to end ------------------------------------------------------------------------------------------------


@step
def call_sys_exit(code: Any) -> None:
    sys.exit(code)


@step
def call_os_exit(code: int) -> None:
    print("about to leave")
    sys.stdout.flush()
    os._exit(code)


@step
def segfault() -> None:
    faulthandler.disable()  # pytest's own would write to the terminal
    sys.stderr.write("going down\n")
    ctypes.string_at(0)


@step
def kill_me(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(5)


@step
def raise_base(kind: type[BaseException]) -> None:
    raise kind("stop")


@step
def run_out() -> None:
    raise MemoryError("too much")


class OwnBase(BaseException):
    pass


def test_sys_exit_is_a_crash_with_advice(here: Project) -> None:
    with pytest.raises(headrace.TaskCrashedError, match=r"call_sys_exit/1.*sys\.exit\(3\).*a step ends by returning"):
        run_in_flow(call_sys_exit, 3)
    with pytest.raises(headrace.TaskCrashedError, match=r"sys\.exit\(None\)"):
        run_in_flow(call_sys_exit, None)


def test_os_exit_tells_the_code_and_the_last_lines(here: Project) -> None:
    with pytest.raises(headrace.TaskCrashedError, match=r"os\._exit\(7\)") as caught:
        run_in_flow(call_os_exit, 7)
    assert "about to leave" in str(caught.value.__cause__)
    [attempt] = here.attempts("call_os_exit")
    assert (attempt.failure, attempt.exit_code) == ("exit", 7)
    with pytest.raises(headrace.TaskCrashedError, match=r"os\._exit\(0\)"):
        run_in_flow(call_os_exit, 0)


def test_a_segmentation_fault_is_named(here: Project) -> None:
    with pytest.raises(headrace.TaskCrashedError, match="SIGSEGV") as caught:
        run_in_flow(segfault)
    assert "going down" in str(caught.value.__cause__)


@pytest.mark.parametrize(("number", "text"), [(signal.SIGKILL, "SIGKILL"), (signal.SIGTERM, "SIGTERM")])
def test_a_worker_killed_from_outside(here: Project, number: int, text: str) -> None:
    with pytest.raises(headrace.TaskCrashedError, match=text):
        run_in_flow(kill_me, number)


def test_a_stopped_worker_is_ended_by_the_time_limit(here: Project) -> None:
    with pytest.raises(headrace.TaskTimeoutError):
        run_in_flow(kill_me.options(timeout=0.4), signal.SIGSTOP)


def test_exceptions_that_are_not_errors(here: Project) -> None:
    with pytest.raises(headrace.TaskError, match="KeyboardInterrupt"):
        run_in_flow(raise_base, KeyboardInterrupt)
    assert here.last().state == "failed"
    for kind in (GeneratorExit, asyncio.CancelledError):
        with pytest.raises(headrace.TaskError, match=kind.__name__):
            run_in_flow(raise_base, kind)
    with pytest.raises(OwnBase, match="stop"):
        run_in_flow(raise_base, OwnBase)


def test_memory_error_is_out_of_memory(here: Project) -> None:
    with pytest.raises(MemoryError, match="too much"):
        run_in_flow(run_out)
    assert here.attempts("run_out")[0].failure == "out of memory"


# --- what a step does to its process ----------------------------------------------------------------------------


@step
def fork_and_return_twice() -> int:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return 5 if child else 6


@step
def fork_and_leave_child() -> int:
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    return 1


@step
def leave_subprocess() -> int:
    return subprocess.Popen(["sleep", "60"]).pid


@step
def leave_thread() -> int:
    threading.Thread(target=time.sleep, args=(60,)).start()
    loud = threading.Thread(target=_explode)
    loud.start()
    loud.join()
    return 2


def _explode() -> None:
    raise ValueError("in a thread")


@step
def close_streams() -> int:
    print("before")
    sys.stdout.close()
    sys.stderr.close()
    os.close(1)
    os.close(2)
    return 3


@step
def replace_streams() -> int:
    sys.stdout = sys.stderr = None  # type: ignore[assignment]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 4


@step
def close_everything() -> int:
    os.closerange(0, 4096)  # the process of the tests has many open
    return 3


@step
def say(text: str) -> int:
    print(text)
    return len(text)


@step
def change_place(folder: str) -> str:
    os.chdir(folder)
    os.environ["LEFT_BEHIND"] = "yes"
    os.umask(0o777)
    return os.getcwd()


@step
def where() -> tuple[str, str]:
    return os.getcwd(), os.environ.get("LEFT_BEHIND", "")


@step
def take_signals() -> int:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.alarm(0)
    return 1


@step
def alarm_later() -> int:
    signal.alarm(1)
    return 1


@step
def delete_temp() -> str:
    folder = tempfile.mkdtemp()
    tempfile.tempdir = folder
    os.environ["TMPDIR"] = folder
    Path(folder).rmdir()
    return folder


@step
def pool(n: int) -> list[int]:
    with multiprocessing.get_context("fork").Pool(2) as workers:
        return workers.map(abs, range(-n, 0))


@step
def spawn_process() -> int | None:
    process = multiprocessing.get_context("spawn").Process(target=print, args=("from a spawned process",))
    process.start()
    process.join(20)
    return process.exitcode


@step
def deep() -> int:
    return deep.__wrapped__() + 1


@step
def ignore_everything() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass


def test_a_forked_child_of_a_step_does_not_answer_for_it(here: Project) -> None:
    assert run_in_flow(fork_and_return_twice) == 5
    assert len(here.attempts("fork_and_return_twice")) == 1


def _is_alive(number: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False


def test_children_left_behind_end_with_the_run(here: Project) -> None:
    began = time.monotonic()
    assert run_in_flow(fork_and_leave_child) == 1
    left = run_in_flow(leave_subprocess)
    here.eventually(lambda: not _is_alive(left), 3, "a child of a step is left behind")
    assert time.monotonic() - began < 10


def test_threads_left_behind_hold_nothing_up(here: Project) -> None:
    began = time.monotonic()
    assert run_in_flow(leave_thread) == 2
    assert time.monotonic() - began < 5


def test_closed_and_replaced_streams_are_repaired(here: Project) -> None:
    @flow
    def train() -> list[int]:
        return [close_streams(), say("first"), replace_streams(), say("second")]

    assert train() == [3, 5, 4, 6]
    assert b"before" in here.log("close_streams")
    assert here.log("say", 1) == b"first\n" and here.log("say", 2) == b"second\n"


def test_a_step_that_closes_its_workers_socket_has_crashed(here: Project) -> None:
    with pytest.raises(headrace.TaskCrashedError):
        run_in_flow(close_everything.options(timeout=10))


def test_directory_and_environment_do_not_leak_into_the_next_task(here: Project) -> None:
    @flow
    def train() -> Any:
        return [change_place("/"), where.options(cpu=2)(), ok(1)]

    changed, (folder, left), _ = train()
    assert changed == "/"
    assert folder == os.getcwd() and left == ""


def test_signal_handlers_of_a_step_do_no_harm(here: Project) -> None:
    assert run_in_flow(take_signals) == 1

    @flow
    def train() -> Any:
        return [alarm_later(), [time.sleep(0.4) or ok(n) for n in range(4)]]

    assert train() == [1, [1, 2, 3, 4]]


def test_a_temporary_folder_that_is_gone(here: Project) -> None:
    run_in_flow(delete_temp)


def test_multiprocessing_inside_a_step(here: Project) -> None:
    assert run_in_flow(pool, 3) == [3, 2, 1]
    assert run_in_flow(spawn_process) == 0
    assert b"from a spawned process" in here.log("spawn_process")


def test_endless_recursion_is_an_ordinary_error(here: Project) -> None:
    with pytest.raises(RecursionError):
        run_in_flow(deep)


def test_a_step_that_ignores_all_signals_is_ended(here: Project) -> None:
    with pytest.raises(headrace.TaskTimeoutError, match=r"0\.3 s"):
        run_in_flow(ignore_everything.options(timeout=0.3))

    @flow
    def train() -> str:
        future = ignore_everything.submit()
        time.sleep(0.2)
        future.cancel()
        return type(future.exception()).__name__

    began = time.monotonic()
    assert train() == "TaskCancelledError"
    assert time.monotonic() - began < 5


# --- output -------------------------------------------------------------------------------------------------------


@step
def print_everywhere() -> None:
    print("print é")
    sys.stderr.write("stderr\n")
    os.write(1, b"raw\n")
    libc = ctypes.CDLL(None)
    libc.puts(b"from C")
    subprocess.run(["echo", "from a child"], check=True)
    logging.basicConfig(level=logging.INFO, force=True)
    logging.getLogger("my.log").info("some info")
    sys.stdout.buffer.write(b"\xff\xfe bytes\n")
    print("no end", end="")


@step
def flood(mib: int) -> int:
    line = b"x" * (1 << 20)
    for _ in range(mib):
        os.write(1, line)
    return mib


def test_output_of_all_kinds_is_kept(here: Project) -> None:
    run_in_flow(print_everywhere)
    text = here.log("print_everywhere")
    for piece in ("print é", "stderr", "raw", "from C", "from a child", "some info", "no end"):
        assert piece.encode() in text, piece
    assert b"\xff\xfe bytes" in here.log("print_everywhere", stream="out")
    assert b"some info" in here.log("print_everywhere", stream="err")
    assert here.log("ok") == b""


def test_a_gibibyte_of_output_is_cut_and_marked(here: Project) -> None:
    began = time.monotonic()
    assert run_in_flow(flood, 1024) == 1024
    seconds = time.monotonic() - began
    kept = here.log("flood")
    assert 10 << 20 <= len(kept) <= 11 << 20
    assert b"[headrace: output past 10 MiB was dropped]" in kept
    assert seconds < 15


def test_lines_after_the_limit_do_not_touch_the_next_task(here: Project) -> None:
    @flow
    def train() -> Any:
        flood(30)
        return say("clean")

    train()
    assert here.log("say") == b"clean\n"


def test_flood_and_crash_keeps_the_last_lines(here: Project) -> None:
    @step
    def flood_and_die() -> None:
        os.write(1, b"y" * (20 << 20) + b"\nthe last words\n")
        os._exit(1)

    with pytest.raises(headrace.TaskCrashedError) as caught:
        run_in_flow(flood_and_die)
    assert "the last words" in str(caught.value.__cause__)
