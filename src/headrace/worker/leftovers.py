"""Threads and processes that a task leaves running in its worker: what they print and log later is not the next task's.

Output cannot be told apart below Python, so a process in which something is left takes no more tasks. Threads of
libraries that wait to be given work stay harmless, as those of an idle pool do: they work for the task that asks them.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time
from types import FrameType
from typing import Any

from headrace._base.usercode import is_user_file

#: Threads of libraries that do nothing by themselves, although they wake up: by their names.
_HARMLESS_NAMES = frozenset({"fsspecIO"})
#: Processes of libraries that wait for work: by a word of their command line.
_HARMLESS_COMMANDS = (b"resource_tracker", b"loky", b"multiprocessing.forkserver")
#: Functions in which threads of ``multiprocessing.pool.ThreadPool`` wait.
_IDLE_IN_POOL = frozenset({"worker", "_handle_workers", "_handle_tasks", "_handle_results", "_wait_for_updates"})
#: Seconds that a thread which is about to end is given.
_MOMENT = 0.005
#: Seconds that threads which were just made have for their first moves, and between two looks.
_BEGIN, _LOOK = 0.25, 0.002
#: Seconds that threads are given which Python would wait for.
_PATIENCE = 30.0
#: Threads of a worker itself.
_OWN = 2


class Leftovers:
    """What runs in this process beside ``own`` threads."""

    def __init__(self, *own: int) -> None:
        self._known = {threading.get_ident(), *own}
        self._children: set[int] = set()
        self._inode = 0
        self._tasks = -1  # the folder of this process's threads, kept open: to look it up each time takes longer
        self._count = self._kernel_threads()  # at the last look, those of C libraries among them
        self._found = ""

    def are_there(self) -> bool:
        """Whether something runs that may print or log later."""
        return self._has_children() or (self._has_more_threads() and self._has_threads())

    def notice(self) -> str:
        """One line on what was found last, for the log of the task that left it."""
        return (
            f"headrace: {self._found} is still running after the step has ended; what it prints or logs from now on is "
            "dropped. Stop it before the step returns"
        )

    def end(self) -> None:
        """Wait for threads that Python would wait for at its end, some time."""
        for tell in reversed(getattr(threading, "_threading_atexits", [])):
            tell()  # threads of a pool wait for work until they are told of the end
        deadline = time.monotonic() + _PATIENCE
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _has_more_threads(self) -> bool:
        count, before = self._kernel_threads(), self._count
        self._count = count
        if count > before:
            _let_threads_begin()
            return True
        known = len(self._known)  # this one among them, which the interpreter does not count
        return _thread._count() >= known or (known > _OWN and not threading._active.keys() <= self._known)  # type: ignore[attr-defined]

    def _kernel_threads(self) -> int:
        """How many threads this process has, more by a constant: the kernel counts one from the moment it is made."""
        try:
            found = os.stat(self._tasks)  # noqa: PTH116 - a descriptor
            if found.st_ino == self._inode:
                return found.st_nlink
        except OSError:  # at first, and where a step closed it
            pass
        try:
            self._tasks = os.open("/proc/self/task", os.O_RDONLY | os.O_CLOEXEC)
            found = os.fstat(self._tasks)
        except OSError:
            return 0
        self._inode = found.st_ino
        return found.st_nlink

    def _has_threads(self) -> bool:
        for thread in threading.enumerate():
            if thread.ident not in self._known and thread is not threading.current_thread():
                thread.join(_MOMENT)
        frames = sys._current_frames()
        self._known &= frames.keys()
        self._known.add(threading.get_ident())
        named = {thread.ident: thread for thread in threading.enumerate()}
        for ident, frame in frames.items():
            if ident in self._known:
                continue
            found = named.get(ident)
            if found is not None and not found.is_alive():
                continue
            if not _is_harmless(found, frame):
                self._found = "a thread" if found is None else f"thread {found.name!r}"
                return True
            self._known.add(ident)
        return False

    def _has_children(self) -> bool:
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        for pid in _children() - self._children:
            if not _is_waiting_process(pid):
                self._found = f"process {pid}"
                return True
            self._children.add(pid)
        return False


def _let_threads_begin() -> None:
    """Wait until every other thread has begun, for Python knows of a new one once it runs, and sleeps or is busy."""
    deadline = time.monotonic() + _BEGIN
    while True:
        time.sleep(_LOOK)
        if time.monotonic() > deadline or not any(_is_runnable(task) for task in os.listdir("/proc/self/task")):  # noqa: PTH208
            return


def _is_runnable(task: str) -> bool:
    """Whether a thread that is not the calling one wants the processor."""
    if int(task) == threading.get_native_id():
        return False
    try:
        with open(f"/proc/self/task/{task}/stat", "rb") as file:  # noqa: PTH123
            return file.read().rpartition(b")")[2].split()[0] == b"R"
    except OSError:  # it has ended
        return False


def _is_harmless(thread: threading.Thread | None, frame: FrameType) -> bool:
    """Whether a thread runs no code of the user and waits for work, with no time set."""
    if isinstance(thread, threading.Timer):
        return False
    if thread is not None and (thread.name in _HARMLESS_NAMES or _is_idle_monitor(thread)):
        return True
    if _is_calling(frame):
        return False
    timeouts = []
    at: FrameType | None = frame
    while at is not None:
        file = at.f_code.co_filename
        if is_user_file(file) or (file.startswith("<") and not file.startswith("<frozen")):
            return False
        if "timeout" in at.f_code.co_varnames:
            timeouts.append(at.f_locals.get("timeout"))
        at = at.f_back
    if not timeouts or timeouts[0] is None or _is_of(frame, "/multiprocessing/pool.py"):
        return True
    return isinstance(timeouts[0], (int, float)) and timeouts[0] < 0


def _is_calling(frame: FrameType) -> bool:
    """Whether a thread, or a thread of a pool, is in a function of C that it was given to call."""
    name = frame.f_code.co_name
    if _is_of(frame, "/multiprocessing/pool.py"):
        return name not in _IDLE_IN_POOL or frame.f_locals.get("func") is not None
    return name == "run" and (_is_of(frame, "/threading.py") or _is_of(frame, "/concurrent/futures/thread.py"))


def _is_of(frame: FrameType, path: str) -> bool:
    return frame.f_code.co_filename.endswith(path)


def _is_idle_monitor(thread: threading.Thread) -> bool:
    """The thread with which tqdm looks after bars, while there are none."""
    tqdm: Any = sys.modules.get("tqdm.std")
    return tqdm is not None and type(thread).__name__ == "TMonitor" and not tqdm.tqdm._instances


def _children() -> set[int]:
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):  # noqa: PTH208
        try:
            with open(f"/proc/self/task/{task}/children") as file:  # noqa: PTH123
                found.update(map(int, file.read().split()))
        except OSError:  # the thread has ended
            continue
    return found


def _is_waiting_process(pid: int) -> bool:
    """Whether a child has ended, or is one with which libraries serve many calls."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            if file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X"):
                return True
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            command = file.read()
    except OSError:
        return True
    return any(word in command for word in _HARMLESS_COMMANDS)
