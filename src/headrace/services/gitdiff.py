"""``git diff HEAD`` beside a run: bounded in time and size, and ended with the run."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import subprocess

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
    """The diff of one repository. ``read`` waits for it; ``stop``, from another thread, ends git and ``read``."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()

    def stop(self) -> None:
        """End git with all that it started; ``read`` returns what it says then."""
        with self._lock:
            self._ended.set()
            self._kill()

    def read(self) -> Diff:
        """The diff, after ten seconds at most; for a background thread."""
        with self._lock:
            if self._ended.is_set():
                return Diff(None, "the run ended first")
            try:
                process = self._process = self._start()
            except OSError as error:
                return Diff(None, f"git cannot be started: {error.strerror}")
        assert process.stdout is not None
        try:
            with process.stdout:
                content, problem = self._take(process.stdout.fileno())
            if not problem:
                self._await_end(process)
        finally:
            with self._lock:
                self._kill()
            code = process.wait()
        if problem:
            return Diff(content or None, problem)
        if self._ended.is_set():
            return Diff(None, "the run ended before git did")
        if code:
            return Diff(None, f"git ended with exit code {code}")
        return Diff(content)

    def _start(self) -> subprocess.Popen[bytes]:
        import subprocess

        command = [*_COMMAND, self._root, *_OPTIONS]
        settings = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.DEVNULL,
            "env": {**os.environ, **_ENVIRONMENT},
            "start_new_session": True,  # so that all that git starts is ended with it
        }
        try:
            # ``timeout`` ends git also when this process is killed and cannot.
            guard = ["timeout", "--signal=KILL", f"{DIFF_SECONDS + 2:.0f}"]
            process = subprocess.Popen([*guard, *command], **settings)  # type: ignore[call-overload]
        except FileNotFoundError:
            process = subprocess.Popen(command, **settings)  # type: ignore[call-overload]
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, 10)  # the run comes first
        return process  # type: ignore[no-any-return]

    def _await_end(self, process: subprocess.Popen[bytes]) -> None:
        """Let git end by itself, a moment after its output: its exit code says whether all of it came."""
        import subprocess

        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(DIFF_SECONDS)

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
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
