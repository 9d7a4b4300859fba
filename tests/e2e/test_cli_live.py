"""The live view, Ctrl-C and the debugger on a real terminal (a pty)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

FLOW = """
import time
from headrace import flow, step

@step
def fit(x: int, wait: float = 0.3, bad: int = -1) -> int:
    print("fitting", x)
    time.sleep(wait)
    if x == bad:
        raise ValueError(f"cannot fit {x}")
    return x

@flow
def train(n: int = 4, wait: float = 0.3, bad: int = -1) -> int:
    futures = fit.map(range(n), wait=wait, bad=bad)
    total = 0
    for future in futures:
        total += future.result()
        print("so far", total)
    return total
"""
MOVES = re.compile(r"\x1b\[[0-9;?]*[AHJK]")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, folder: Path, columns: int, *argv: str) -> None:
        self.output = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            env = {key: value for key, value in os.environ.items() if not key.startswith(("HEADRACE_", "NO_COLOR"))}
            env |= {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "30"}
            os.execve(sys.executable, [sys.executable, "-m", "headrace.cli", *argv], env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))

    def read(self, seconds: float) -> bool:
        """Take in output for a while; False when there will be no more."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.output += data.decode(errors="replace")
        return bool(data)

    def until(self, text: str, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while text not in self.output:
            assert time.monotonic() < end and self.read(0.1), f"no {text!r} in:\n{self.output}"

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def end(self, seconds: float = 20.0) -> int:
        """Wait for the end; the exit code."""
        end = time.monotonic() + seconds
        while self.read(0.1):
            assert time.monotonic() < end, self.output
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    @property
    def text(self) -> str:
        """The output without control sequences; what is drawn anew stands on lines of its own."""
        return ESCAPES.sub("", MOVES.sub("\n", self.output)).replace("\r", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(FLOW)
    return tmp_path


@contextlib.contextmanager
def terminal(folder: Path, *argv: str, columns: int = 80) -> Iterator[Terminal]:
    started = Terminal(folder, columns, *argv)
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(started.pid, 9)
            os.waitpid(started.pid, 0)
        os.close(started.fd)


@pytest.mark.parametrize("columns", [80, 140])
def test_a_live_view_with_the_flows_prints_above(folder: Path, columns: int) -> None:
    with terminal(folder, "run", "train.py", "n=6", columns=columns) as screen:
        assert screen.end() == 0
        text = screen.text
        for line in ("so far 0\n", "so far 15\n"):
            assert line in text
        assert re.search(r"fit +[█░]+ +\d/6 .*running", text)
        assert "fitting" in text  # the last line that a task wrote
        assert "train/1 succeeded" in text
        assert max(len(line) for line in text.splitlines() if "running" in line or "█" in line) <= columns
        assert "\x1b[?25h" in screen.output[-4000:]  # the cursor is back
    with terminal(folder, "logs", "train/1") as screen:
        screen.end()
        assert "█" not in screen.text  # the display does not belong to the flow's output


def test_no_color_means_no_styles_at_all(folder: Path) -> None:
    program = [sys.executable, "-m", "headrace", "run", "train.py", "n=2"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve(program[0], program, {**env, "NO_COLOR": "1", "TERM": "xterm-256color"})
    output = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while piece := os.read(fd, 65536):
            output += piece
    os.waitpid(pid, 0)
    os.close(fd)
    assert b"train/1 succeeded" in output
    assert not re.search(rb"\x1b\[[0-9;]*m", output)


def test_ctrl_c_once_stops_cleanly(folder: Path) -> None:
    with terminal(folder, "run", "train.py", "n=6", "wait=5") as screen:
        screen.until("running")
        screen.type("\x03")
        began = time.monotonic()
        assert screen.end() == 130
        assert time.monotonic() - began < 10
        assert "train/1 interrupted" in screen.text
        assert "headrace resume train/1" in screen.text
        assert "Traceback" not in screen.text


@pytest.mark.parametrize("pause", [0.0, 0.5])
def test_ctrl_c_twice_kills_at_once(folder: Path, pause: float) -> None:
    file = folder / "train.py"
    text = file.read_text().replace("import time\n", "import signal, time\n")
    text = text.replace("    time.sleep(wait)\n", "    signal.signal(15, signal.SIG_IGN)\n    time.sleep(wait)\n")
    file.write_text(text)
    with terminal(folder, "run", "train.py", "n=6", "wait=60") as screen:
        screen.until("fitting")
        screen.type("\x03")
        time.sleep(pause)
        screen.type("\x03\x03\x03")  # as when the key is held down
        assert screen.end() == 130
        assert "train/1 interrupted" in screen.text
        assert "Traceback" not in screen.text


def test_a_failure_ends_with_its_traceback_and_what_to_do(folder: Path) -> None:
    with terminal(folder, "run", "train.py", "bad=2") as screen:
        assert screen.end() == 1
        text = screen.text
        assert text.index("Traceback") < text.index("train/1/fit/3 failed: ValueError") < text.index("headrace debug")


def test_debug_stops_where_the_step_raised(folder: Path) -> None:
    with terminal(folder, "run", "train.py", "bad=2") as screen:
        screen.end()
    with terminal(folder, "debug", "train/1/fit/3") as screen:
        screen.until("(Pdb)")
        screen.type("p x * 100\n")
        screen.until("200")
        screen.type("q\n")
        assert screen.end() == 0
        assert "ValueError: cannot fit 2" in screen.text
    with terminal(folder, "debug", "train/1", "--shell") as screen:
        screen.until(">>>")
        screen.type("bad + 40, fit\n")
        screen.until("(42, ")
        screen.type("exit()\n")
        assert screen.end() == 0


@pytest.mark.parametrize("columns", [80, 120])
def test_listings_fit_the_terminal(folder: Path, columns: int) -> None:
    with terminal(folder, "run", "train.py", "wait=0.01", "--tag", "a-rather-long-tag=with-a-rather-long-value") as one:
        one.end()
    for argv in (("runs",), ("show",), ("show", "train/1/fit/1"), ("artifacts",), ("explain", "train/1/fit/1")):
        with terminal(folder, *argv, columns=columns) as screen:
            assert screen.end() == 0
            assert max(len(line) for line in screen.text.splitlines()) <= columns
