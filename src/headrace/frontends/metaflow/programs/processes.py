"""Processes that ``Runner`` starts: their output in files, and on the console while they write it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from headrace.frontends.metaflow.programs.script import environment

#: Seconds between two looks at a process or its output.
_PAUSE = 0.02


class LogReadTimeoutError(Exception):
    """A line did not come in time."""


class CommandManager:
    """One process. ``log_files`` has what it writes, ``timeout`` says whether it was ended for taking too long."""

    def __init__(self, command: list[str], env: dict[str, str] | None = None, cwd: str | None = None) -> None:
        self.command = command
        self.env = environment(dict(os.environ) if env is None else env)
        self.cwd = cwd or os.getcwd()  # noqa: PTH109
        self.process: Any = None
        self.timeout = False
        self.log_files: dict[str, str] = {}
        self.temp_dir = ""
        self._pumps: list[threading.Thread] = []

    async def __aenter__(self) -> CommandManager:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cleanup()

    def run(self, show_output: bool = False) -> int:
        """Start the process, its output being shown while it comes if ``show_output``; its id."""
        self._start(subprocess.PIPE if show_output else None)
        if show_output:
            for name in self.log_files:
                pump = threading.Thread(target=self._pump, args=(name, sys.stdout), daemon=True)
                pump.start()
                self._pumps.append(pump)
        return int(self.process.pid)

    async def async_run(self) -> int:
        """Start the process; its id."""
        self._start(None)
        return int(self.process.pid)

    def _start(self, pipe: int | None) -> None:
        if self.process is not None:
            raise RuntimeError(f"'{' '.join(self.command)}' was started already")
        self.temp_dir = tempfile.mkdtemp(prefix="headrace-runner-")
        self.log_files = {name: os.path.join(self.temp_dir, f"{name}.log") for name in ("stdout", "stderr")}  # noqa: PTH118
        with open(self.log_files["stdout"], "wb") as out, open(self.log_files["stderr"], "wb") as err:  # noqa: PTH123
            self.process = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                env=self.env,
                stdout=out if pipe is None else pipe,
                stderr=err if pipe is None else pipe,
            )

    def _pump(self, name: str, screen: Any) -> None:
        with open(self.log_files[name], "wb", buffering=0) as file, getattr(self.process, name) as pipe:  # noqa: PTH123
            for line in pipe:
                file.write(line)
                screen.write(line.decode("utf-8", "replace"))
                screen.flush()

    def _started(self) -> None:
        if self.process is None:
            raise RuntimeError("No command was run yet")

    @property
    def is_over(self) -> bool:
        """Whether the process ended."""
        self._started()
        return self.process.poll() is not None

    def sync_wait(self, begun: Callable[[], bool] | None = None, longest: float = 0) -> None:
        """Wait for the end. Interrupted, or if it has not ``begun`` after ``longest`` seconds, the process is ended."""
        self._started()
        deadline = time.monotonic() + longest
        try:
            while begun is not None and not self.is_over and not begun():
                if time.monotonic() > deadline:
                    self.kill()
                time.sleep(_PAUSE)
            self.process.wait()
        except BaseException:
            self.kill()
            raise
        for pump in self._pumps:
            pump.join()

    async def wait(self, timeout: float | None = None, stream: str | None = None) -> None:
        """Wait for the end, printing ``stream`` meanwhile; after ``timeout`` seconds the process is ended."""
        self._started()
        waiting = self._over() if stream is None else self.emit_logs(stream)
        try:
            await asyncio.wait_for(waiting, timeout)
        except TimeoutError:
            self.timeout = True
            await asyncio.to_thread(self.kill)
            print(
                f"Timeout: The process (PID {self.process.pid}; command: '{' '.join(self.command)}') did not complete "
                f"within {timeout} seconds."
            )

    async def _over(self) -> None:
        while not self.is_over:
            await asyncio.sleep(_PAUSE)

    async def stream_log(
        self, stream: str, position: int | None = None, timeout_per_line: float | None = None
    ) -> AsyncIterator[tuple[int, str]]:
        """Lines of ``stdout`` or ``stderr`` as they come, each with the position behind it.

        Raises:
            ValueError: there is no such stream; LogReadTimeoutError: a line took longer than ``timeout_per_line``.
        """
        self._started()
        if stream not in self.log_files:
            raise ValueError(f"No log file found for '{stream}', valid values are: {', '.join(self.log_files)}")
        with open(self.log_files[stream], encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            at, since = position or 0, time.monotonic()
            while True:
                is_over = self.is_over  # asked before reading: what came until then is read below
                file.seek(at)
                line = file.readline()
                if line.endswith("\n") or (line and is_over):
                    at, since = file.tell(), time.monotonic()
                    yield at, line.rstrip()
                elif is_over:
                    return
                elif timeout_per_line is not None and time.monotonic() - since > timeout_per_line:
                    raise LogReadTimeoutError(f"{stream}: no line within {timeout_per_line:g} s")
                else:
                    await asyncio.sleep(_PAUSE)

    async def emit_logs(self, stream: str = "stdout", custom_logger: Callable[..., None] = print) -> None:
        """Hand every line to ``custom_logger`` until the process ends."""
        async for _, line in self.stream_log(stream):
            custom_logger(line)

    def kill(self, termination_timeout: float = 2) -> None:
        """End the process: at its leisure, and for good after ``termination_timeout`` seconds."""
        self._started()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(termination_timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def cleanup(self) -> None:
        """Remove the files that the output is kept in."""
        if self.temp_dir:
            shutil.rmtree(self.temp_dir, ignore_errors=True)


class SubprocessManager:
    """Several processes by their ids."""

    def __init__(self) -> None:
        self.commands: dict[int, CommandManager] = {}

    async def __aenter__(self) -> SubprocessManager:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cleanup()

    def run_command(
        self,
        command: list[str],
        env: dict[str, str] | None = None,
        cwd: str | None = None,
        show_output: bool = False,
    ) -> int:
        """Start a process; its id."""
        one = CommandManager(command, env, cwd)
        pid = one.run(show_output)
        self.commands[pid] = one
        return pid

    async def async_run_command(
        self, command: list[str], env: dict[str, str] | None = None, cwd: str | None = None
    ) -> int:
        """Start a process; its id."""
        return self.run_command(command, env, cwd)

    def get(self, pid: int) -> CommandManager | None:
        """The process of that id."""
        return self.commands.get(pid)

    def cleanup(self) -> None:
        """Remove what the output of all of them is kept in."""
        for one in self.commands.values():
            one.cleanup()
