"""``Runner``: run, resume or spin a flow file from another program, and look at what comes of it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.frontends.metaflow.programs.flowfile import OfFlowFile
from headrace.frontends.metaflow.programs.processes import CommandManager, SubprocessManager

if TYPE_CHECKING:
    from typing import Self

#: Seconds between two looks for the file in which a flow says what it has begun.
_PAUSE = 0.01


class ExecutingProcess:
    """A process that ``Runner`` started; leave its context to remove the files of its output."""

    def __init__(self, runner: Runner, command_obj: CommandManager) -> None:
        self.runner = runner
        self.command_obj = command_obj

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.cleanup()

    async def wait(self, timeout: float | None = None, stream: str | None = None) -> Self:
        """Wait for the end, printing ``stream`` (``stdout`` or ``stderr``) meanwhile if one is named.

        After ``timeout`` seconds the process is ended, and ``status`` is ``timeout``.
        """
        await self.command_obj.wait(timeout, stream)
        return self

    @property
    def returncode(self) -> int | None:
        """The exit code; None while it runs."""
        code: int | None = self.command_obj.process.poll()
        return code

    @property
    def status(self) -> str:
        """``running``, ``successful``, ``failed``, or ``timeout`` when ``wait`` ended it."""
        if self.command_obj.timeout:
            return "timeout"
        if self.returncode is None:
            return "running"
        return "successful" if self.returncode == 0 else "failed"

    @property
    def stdout(self) -> str:
        """What was printed so far."""
        return _read(self.command_obj, "stdout")

    @property
    def stderr(self) -> str:
        """What was written to stderr so far."""
        return _read(self.command_obj, "stderr")

    async def stream_log(self, stream: str, position: int | None = None) -> AsyncIterator[tuple[int, str]]:
        """Lines of ``stdout`` or ``stderr`` as they come, each with the position behind it.

        Raises:
            ValueError: there is no such stream.
        """
        async for found in self.command_obj.stream_log(stream, position):
            yield found


class ExecutingRun(ExecutingProcess):
    """A run that ``Runner`` started: ``run`` is its object of the Client API."""

    def __init__(self, runner: Runner, command_obj: CommandManager, run_obj: Any) -> None:
        super().__init__(runner, command_obj)
        self.run = run_obj


class ExecutingTask(ExecutingProcess):
    """A task that ``Runner.spin`` ran: ``task`` is its object of the Client API."""

    def __init__(self, runner: Runner, command_obj: CommandManager, task_obj: Any) -> None:
        super().__init__(runner, command_obj)
        self.task = task_obj


class Runner(OfFlowFile):
    """Runs ``flow_file`` in processes of their own, in folder ``cwd``. Other keywords are options before the command.

    Raises:
        FileNotFoundError: there is no such file.
        MetaflowException: it holds no flow, or several.
    """

    @cached_property
    def spm(self) -> SubprocessManager:
        """The processes that it started."""
        return SubprocessManager()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cleanup()

    def cleanup(self) -> None:
        """Remove the files that the output was kept in."""
        self.spm.cleanup()

    def run(self, **kwargs: Any) -> ExecutingRun:
        """Run the flow and wait for its end. Keywords are its parameters and options of ``run``.

        Raises:
            ValueError: a keyword is unknown, or a required parameter is missing.
            TypeError: a value is of the wrong type.
            RuntimeError: it could not even start; the message has what it wrote.
        """
        return self._run("run", kwargs)

    def resume(self, **kwargs: Any) -> ExecutingRun:
        """Resume the flow and wait for its end; raises as ``run``."""
        return self._run("resume", kwargs)

    def spin(self, pathspec: str, **kwargs: Any) -> ExecutingTask:
        """Run one step again with the inputs of an earlier task, and wait for its end.

        Raises:
            ValueError, TypeError: as ``run``; RuntimeError: the step failed, or could not be started.
        """
        with _facts_file() as file:
            process = self._start(file, "spin", {"pathspec": pathspec, **kwargs}, show=self.show_output)
            return self._task(process, self._sync_facts(file, process))

    async def async_run(self, **kwargs: Any) -> ExecutingRun:
        """Start the flow, and return once its run has begun; raises as ``run``."""
        return await self._async_run("run", kwargs)

    async def async_resume(self, **kwargs: Any) -> ExecutingRun:
        """Resume the flow, and return once its run has begun; raises as ``run``."""
        return await self._async_run("resume", kwargs)

    async def async_spin(self, pathspec: str, **kwargs: Any) -> ExecutingTask:
        """As ``spin``, without blocking other coroutines meanwhile."""
        with _facts_file() as file:
            process = self._start(file, "spin", {"pathspec": pathspec, **kwargs}, show=False)
            return self._task(process, await self._facts(file, process))

    # --- how -------------------------------------------------------------------------------------------------

    def _run(self, command: str, options: dict[str, Any]) -> ExecutingRun:
        with _facts_file() as file:
            process = self._start(file, command, options, show=self.show_output)
            return ExecutingRun(self, process, self._found("Run", self._sync_facts(file, process)))

    async def _async_run(self, command: str, options: dict[str, Any]) -> ExecutingRun:
        with _facts_file() as file:
            process = self._start(file, command, options, show=False)
            return ExecutingRun(self, process, self._found("Run", await self._facts(file, process)))

    def _start(self, file: str, command: str, options: dict[str, Any], *, show: bool) -> CommandManager:
        words = self._flow.command(self.top_level_kwargs, command, {"runner_attribute_file": file, **options})
        return self.spm.commands[self.spm.run_command([sys.executable, *words], self.env_vars, self.cwd, show)]

    def _sync_facts(self, file: str, process: CommandManager) -> dict[str, str]:
        """Wait for the end; what the process said of its run or task."""
        process.sync_wait(lambda: _facts(file) is not None, self.file_read_timeout)
        facts = _facts(file)
        if facts is None:
            raise RuntimeError(_trouble(process))
        return facts

    async def _facts(self, file: str, process: CommandManager) -> dict[str, str]:
        """What the process says of its run or task, once it does."""
        began = time.monotonic()
        while True:
            is_over = process.is_over
            facts = _facts(file)
            if facts is not None:
                return facts
            if is_over or time.monotonic() - began > self.file_read_timeout:
                raise RuntimeError(_trouble(process))
            await asyncio.sleep(_PAUSE)

    def _task(self, process: CommandManager, facts: dict[str, str]) -> ExecutingTask:
        return ExecutingTask(self, process, self._found("Task", facts))

    def _found(self, kind: str, facts: dict[str, str]) -> Any:
        """The object of the Client API, read where the process wrote: its folder and environment may be others."""
        from headrace.frontends.metaflow.client import runs as client
        from headrace.frontends.metaflow.client.base import found_elsewhere
        from headrace.frontends.metaflow.client.providers import home_in, settings_here, spin_settings

        root = self.top_level_kwargs.get("datastore_root")
        place = {"HEADRACE_HOME": home_in(str(Path(self.cwd, root)))} if root else {}
        settings = settings_here({**self.env_vars, **place}, Path(self.cwd))
        names = ("flow_name", "run_id", "step_name", "task_id")[: 2 if kind == "Run" else 4]
        pathspec = "/".join(facts[name] for name in names)
        if kind == "Task":
            return found_elsewhere(client.Task, pathspec, spin_settings(settings))
        return found_elsewhere(client.Run, pathspec, settings)


@contextmanager
def _facts_file() -> Iterator[str]:
    """The name of a file that does not exist yet, in a folder that goes when it is left."""
    with tempfile.TemporaryDirectory(prefix="headrace-runner-") as folder:
        yield os.path.join(folder, "facts.json")  # noqa: PTH118


def _facts(file: str) -> dict[str, str] | None:
    """What the file holds; None as long as it is not complete."""
    try:
        with open(file, encoding="utf-8") as opened:  # noqa: PTH123
            found: dict[str, str] = json.load(opened)
    except (OSError, ValueError):
        return None
    return found


def _read(process: CommandManager, name: str) -> str:
    with open(process.log_files[name], encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        return file.read()


def _trouble(process: CommandManager) -> str:
    text = f"Error executing: '{' '.join(process.command)}':\n"
    for name in ("stdout", "stderr"):
        written = _read(process, name)
        if written.strip():
            text += f"\n{name.capitalize()}:\n{written}\n"
    return text
