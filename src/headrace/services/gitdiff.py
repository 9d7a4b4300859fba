"""``git diff HEAD`` beside a run: bounded in time and size, and ended with the run."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from typing import Any, NamedTuple

#: Longer diffs are cut, and slower ones are left out.
DIFF_LIMIT = 8 << 20
DIFF_SECONDS = 10.0
_CHUNK = 1 << 16

_COMMAND = ("git", "-c", "core.fsmonitor=false", "-C")
_OPTIONS = ("diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv")
#: Without the optional lock, a git of the user's that runs at the same time does not fail. Nothing is asked or fetched.
_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}


class Diff(NamedTuple):
    """What tracked files differ in from the commit: ``b""`` when the tree is clean, None when nothing is known.

    ``left_out`` says why something is missing, or all of it.
    """

    content: bytes | None
    left_out: str = ""


class GitDiff:
    """The diff of one repository: ``start`` begins, ``read`` waits; ``close``, from another thread, ends both."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._pid = 0  # of git, until it has ended and was waited for
        self._output = -1
        self._problem = ""
        self._reading = False
        self._ended = threading.Event()

    def start(self) -> None:
        """Start git, if that can be; it ends by itself after a while."""
        try:
            self._output = self._spawn()
        except OSError as error:
            self._problem = f"git cannot be started: {error.strerror}"

    def close(self) -> None:
        """End git with all that it started; ``read`` returns what it says then."""
        with self._lock:
            self._ended.set()
            self._kill()
            if not self._reading:
                self._reap()

    def read(self) -> Diff:
        """The diff, after ten seconds at most; for a background thread."""
        with self._lock:
            if self._ended.is_set():
                return Diff(None, "the run ended first")
            if self._problem:
                return Diff(None, self._problem)
            self._reading = True
        try:
            content, problem = self._take(self._output)
            if not problem:
                self._await_end()
        finally:
            with self._lock:
                self._kill()
                code = self._reap()
        if problem:
            return Diff(content or None, problem)
        if self._ended.is_set():
            return Diff(None, "the run ended before git did")
        if code:
            return Diff(None, f"git ended with exit code {code}")
        return Diff(content)

    def _spawn(self) -> int:
        """Start git, and return the end of the pipe that it writes to.

        ``subprocess`` takes as long to import as git to run.
        """
        output, theirs = os.pipe()
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        command = [*_COMMAND, self._root, *_OPTIONS]
        # ``timeout`` ends git also when this process is killed and cannot.
        guard = ["timeout", "--signal=KILL", f"{DIFF_SECONDS + 2:.0f}"]
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((null, theirs, null))]
        # A session of its own, so that all that git starts is ended with it.
        settings: Any = {"file_actions": actions, "setsid": True, "setsigdef": [signal.SIGPIPE]}
        variables = {**os.environ, **_ENVIRONMENT}
        try:
            try:
                self._pid = os.posix_spawnp(guard[0], [*guard, *command], variables, **settings)
            except FileNotFoundError:
                self._pid = os.posix_spawnp(command[0], command, variables, **settings)
        except OSError:
            os.close(output)
            raise
        finally:
            os.close(theirs)
            os.close(null)
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._pid, 10)  # the run comes first
        return output

    def _await_end(self) -> None:
        """Let git end by itself, a moment after its output: its exit code says whether all of it came."""
        with contextlib.suppress(OSError):
            end = os.pidfd_open(self._pid)
            poller = select.poll()
            poller.register(end, select.POLLIN)
            poller.poll(DIFF_SECONDS * 1000)
            os.close(end)

    def _take(self, descriptor: int) -> tuple[bytes, str]:
        """What git writes, and what is wrong with it."""
        until = time.monotonic() + DIFF_SECONDS
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        content = bytearray()
        while len(content) <= DIFF_LIMIT:
            left = until - time.monotonic()
            if left <= 0:
                return b"", f"git took longer than {DIFF_SECONDS:.0f} s"
            if poller.poll(left * 1000):
                chunk = os.read(descriptor, _CHUNK)
                if not chunk:
                    return bytes(content), ""
                content += chunk
        return bytes(content[:DIFF_LIMIT]) + b"\n... cut off here\n", f"cut after {DIFF_LIMIT >> 20} MiB"

    def _kill(self) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # all of it has ended
                os.killpg(self._pid, signal.SIGKILL)

    def _reap(self) -> int:
        """The exit code of git, which has ended or was killed; negative for a signal."""
        if not self._pid:
            return 0
        os.close(self._output)
        pid, self._pid = self._pid, 0
        try:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except ChildProcessError:  # somebody else waited for it
            return 0
