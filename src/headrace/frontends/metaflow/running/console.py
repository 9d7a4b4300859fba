"""What ``run`` and ``resume`` print: a line with time, task and process for everything that happens."""

from __future__ import annotations

import sys
import time


class Console:
    """Prints lines of a run. Lines of tasks may come in pieces; each stream of a task is put together by itself.

    ``quiet`` leaves what tasks print and what goes wrong, ``silent`` nothing.
    """

    def __init__(self, run: str, *, quiet: bool = False, silent: bool = False) -> None:
        self.run = run
        self._quiet = quiet
        self._silent = silent
        self._out = sys.stdout
        self._partial: dict[tuple[str, int], bytes] = {}
        self._color = self._out.isatty()

    def say(self, text: str, *, bad: bool = False) -> None:
        """A line of the run."""
        if not self._quiet or bad:
            self._line(text, bad=bad)

    def task(self, task: str, pid: int, text: str, *, bad: bool = False) -> None:
        """A line of a task, such as ``start/1``."""
        if not self._quiet or bad:
            self._line(f"[{self.run}/{task} (pid {pid})] {text}", bad=bad)

    def wrote(self, task: str, pid: int, stream: int, data: bytes) -> None:
        """Bytes that a task wrote; whole lines of them are printed."""
        key = (task, stream)
        *lines, rest = (self._partial.pop(key, b"") + data).split(b"\n")
        if rest:
            self._partial[key] = rest
        for line in lines:
            self._line(f"[{self.run}/{task} (pid {pid})] {line.decode(errors='replace')}")

    def end_of(self, task: str, pid: int) -> None:
        """The task writes no more: print lines without an end."""
        for stream in (0, 1):
            if (task, stream) in self._partial:
                self.wrote(task, pid, stream, b"\n")

    def flush(self) -> None:
        """Let everything be seen."""
        self._out.flush()

    def _line(self, text: str, *, bad: bool = False) -> None:
        if self._silent:
            return
        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)) + f".{int(now * 1000) % 1000:03d}"
        if self._color:
            text = f"\x1b[31m{text}\x1b[0m" if bad else text
            stamp = f"\x1b[35m{stamp}\x1b[0m"
        self._out.write(f"{stamp} {text}\n")
