"""What ``run`` and ``resume`` print: a line with time, task and process for everything that happens."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

#: How lines look on a terminal that are no user's: bold, and red when something went wrong.
_OURS, _BAD = "1", "1;31"


def has_colours(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal that shows colours."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Console:
    """Prints lines of a run. Lines of tasks may come in pieces; each stream of a task is put together by itself.

    ``quiet`` leaves what tasks print and what goes wrong, ``silent`` nothing. Where it cannot print, it says so once,
    with the OSError, and is silent from then on: how the run ends is recorded all the same.
    """

    def __init__(self, run: str, *, quiet: bool = False, silent: bool = False) -> None:
        self.run = run
        self._quiet = quiet
        self._silent = silent
        self._out = sys.stdout
        self._partial: dict[tuple[str, int], bytes] = {}
        self._pids: dict[str, int] = {}
        self._color = has_colours(self._out)

    def say(self, text: str, *, bad: bool = False) -> None:
        """A line of the run."""
        if not self._quiet or bad:
            self._line(text, style=_BAD if bad else _OURS)

    def started(self, task: str, pid: int, text: str) -> None:
        """A task, such as ``start/1``, runs in a process from now on."""
        self._pids[task] = pid
        self._say_of(task, text)

    def has_started(self, task: str) -> bool:
        """Whether it runs in a process."""
        return task in self._pids

    def wrote(self, task: str, stream: int, data: bytes) -> None:
        """Bytes that a task wrote; whole lines of them are printed."""
        key = (task, stream)
        *lines, rest = (self._partial.pop(key, b"") + data).split(b"\n")
        if rest:
            self._partial[key] = rest
        for line in lines:
            self._line(line.decode(errors="replace"), mark=self._mark(task))

    def ended(self, task: str, *lines: str, bad: bool = False) -> None:
        """The task writes no more: print what it wrote without an end of line, then ``lines``."""
        for stream in (0, 1):
            if (task, stream) in self._partial:
                self.wrote(task, stream, b"\n")
        for text in lines:
            self._say_of(task, text, bad=bad)
        self._pids.pop(task, None)

    def flush(self) -> None:
        """Let everything be seen."""
        if not self._silent:
            self._print("", flush=True)

    def _say_of(self, task: str, text: str, *, bad: bool = False) -> None:
        if not self._quiet or bad:
            self._line(text, mark=self._mark(task), style=_BAD if bad else _OURS)

    def _mark(self, task: str) -> str:
        return f"[{self.run}/{task} (pid {self._pids.get(task, 0)})] "

    def _line(self, text: str, *, mark: str = "", style: str = "") -> None:
        if self._silent:
            return
        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)) + f".{int(now * 1000) % 1000:03d}"
        if self._color:
            text = f"\x1b[{style}m{text}\x1b[0m" if style else text
            mark = f"\x1b[32m{mark}\x1b[0m" if mark else ""
            stamp = f"\x1b[35m{stamp}\x1b[0m"
        self._print(f"{stamp} {mark}{text}\n")

    def _print(self, text: str, *, flush: bool = False) -> None:
        try:
            self._out.write(text)
            if flush:
                self._out.flush()
        except OSError:
            self._silent = True
            raise
