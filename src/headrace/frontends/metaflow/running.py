"""``Runner``: run a flow file from another program, and look at what comes of it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from headrace.frontends.metaflow.script import environment


class ExecutingRun:
    """A run that ``Runner`` started: ``run`` is its client object."""

    def __init__(self, process: Any, files: tuple[str, str], attributes: str) -> None:
        self._process = process
        self._files = files
        self._attributes = attributes
        self._run: Any = None

    def __enter__(self) -> ExecutingRun:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.wait()

    @property
    def run(self) -> Any:
        """The run; waits until it has begun. None when it never did."""
        from headrace.frontends.metaflow.client import Run, namespace

        while self._run is None:
            try:
                with open(self._attributes, encoding="utf-8") as file:  # noqa: PTH123
                    facts = json.loads(file.read())
            except (OSError, ValueError):
                if self._process.poll() is not None and not os.path.exists(self._attributes):  # noqa: PTH110
                    return None
                time.sleep(0.02)
                continue
            namespace(None)
            self._run = Run(f"{facts['flow_name']}/{facts['run_id']}")
        return self._run

    @property
    def returncode(self) -> int | None:
        """The exit code; None while it runs."""
        code: int | None = self._process.poll()
        return code

    @property
    def status(self) -> str:
        """``running``, ``successful`` or ``failed``."""
        if self.returncode is None:
            return "running"
        return "successful" if self.returncode == 0 else "failed"

    def _read(self, at: int) -> str:
        with open(self._files[at], encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read()

    @property
    def stdout(self) -> str:
        """What was printed so far."""
        return self._read(0)

    @property
    def stderr(self) -> str:
        """What was written to stderr so far."""
        return self._read(1)

    async def wait(self, timeout: float | None = None, stream: str | None = None) -> ExecutingRun:
        """Wait for the end, printing ``stream`` meanwhile if one is named; raises TimeoutError."""
        import asyncio

        began, shown = time.monotonic(), 0
        while True:
            over = self.returncode is not None
            if stream is not None:
                text = self._read(0 if stream == "stdout" else 1)
                print(text[shown:], end="")
                shown = len(text)
            if over:
                return self
            if timeout is not None and time.monotonic() - began > timeout:
                raise TimeoutError(f"the run has not ended after {timeout:g} s")
            await asyncio.sleep(0.05)

    async def stream_log(self, stream: str, position: int | None = None) -> Any:
        """Lines of ``stdout`` or ``stderr`` as they come, each with the position behind it."""
        import asyncio

        at = position or 0
        while True:
            over = self.returncode is not None
            text = self._read(0 if stream == "stdout" else 1)
            while "\n" in text[at:]:
                end = text.index("\n", at)
                yield end + 1, text[at:end]
                at = end + 1
            if over:
                return
            await asyncio.sleep(0.05)


class Runner:
    """Runs ``flow_file`` in a process of its own. Other keywords are options before the command (``decospecs``)."""

    def __init__(
        self,
        flow_file: str,
        show_output: bool = True,
        profile: str | None = None,
        env: dict[str, str] | None = None,
        cwd: str | None = None,
        file_read_timeout: int = 3600,
        **kwargs: Any,
    ) -> None:
        self.flow_file = flow_file
        self.show_output = show_output
        self._env = {**os.environ, **(env or {}), **({"METAFLOW_PROFILE": profile} if profile else {})}
        self._cwd = cwd
        self._options = kwargs
        self._folders: list[str] = []

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup()

    async def __aenter__(self) -> Runner:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cleanup()

    def run(self, **kwargs: Any) -> ExecutingRun:
        """Run the flow and wait for its end."""
        return self._finished(self._start("run", [], kwargs))

    def resume(self, step_to_rerun: str | None = None, **kwargs: Any) -> ExecutingRun:
        """Resume the flow and wait for its end."""
        return self._finished(self._start("resume", [step_to_rerun] if step_to_rerun else [], kwargs))

    async def async_run(self, **kwargs: Any) -> ExecutingRun:
        """Start the flow."""
        return self._start("run", [], kwargs)

    async def async_resume(self, step_to_rerun: str | None = None, **kwargs: Any) -> ExecutingRun:
        """Begin to resume the flow."""
        return self._start("resume", [step_to_rerun] if step_to_rerun else [], kwargs)

    def cleanup(self) -> None:
        """Remove the files that the output was kept in."""
        import shutil

        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._folders.clear()

    def _start(self, command: str, arguments: list[str], options: dict[str, Any]) -> ExecutingRun:
        import subprocess

        folder = tempfile.mkdtemp(prefix="headrace-runner-")
        self._folders.append(folder)
        files = (os.path.join(folder, "stdout"), os.path.join(folder, "stderr"))  # noqa: PTH118
        attributes = os.path.join(folder, "run.json")  # noqa: PTH118
        argv = [sys.executable, self.flow_file, *_flags(self._options), command, *arguments, *_flags(options)]
        argv.append(f"--runner-attribute-file={attributes}")
        with open(files[0], "w") as out, open(files[1], "w") as err:  # noqa: PTH123
            process = subprocess.Popen(argv, stdout=out, stderr=err, env=environment(self._env), cwd=self._cwd)
        return ExecutingRun(process, files, attributes)

    def _finished(self, executing: ExecutingRun) -> ExecutingRun:
        executing._process.wait()
        if self.show_output:
            print(executing.stdout, end="")
            print(executing.stderr, end="", file=sys.stderr)
        return executing


_NAMES = {"decospecs": "with", "tags": "tag"}


def _flags(options: dict[str, Any]) -> Iterator[str]:
    """Keywords as options of the command line."""
    for key, value in options.items():
        name = _NAMES.get(key, key.replace("_", "-") if key not in ("config_value",) else "config-value")
        if value is None:
            continue
        if name in ("config", "config-value"):
            for one, what in value:
                yield from (f"--{name}", str(one), what if isinstance(what, str) else json.dumps(what))
        elif isinstance(value, bool) and name in ("quiet", "production", "pylint"):
            yield f"--{name}" if value else {"quiet": "--not-quiet"}.get(name, f"--no-{name}")
        elif isinstance(value, (list, tuple)):
            yield from (f"--{name}={one}" for one in value)
        elif isinstance(value, dict):
            yield f"--{name}={json.dumps(value)}"
        else:
            yield f"--{name}={value}"
