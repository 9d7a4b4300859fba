"""``headrace.reproduce``: run a run again as it is recorded, and compare what both made."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import msgspec

from headrace.client.default import existing_scope
from headrace.client.object_loader import load
from headrace.client.source import RunReader
from headrace.client.value_diff import summary
from headrace.model.errors import HeadraceError, RunFailedError
from headrace.services import reproduction
from headrace.services.reproduction import Gap, How, Reproduction
from headrace.services.session import Reproduces
from headrace.settings import place_variables

if TYPE_CHECKING:
    from headrace.client.runs import Run, Task
    from headrace.model.records import ArtifactRecord, RunRecord
    from headrace.wiring import Scope

#: The exit code of the command line after Ctrl-C.
_INTERRUPTED = 130


def reproduce(run: str | Run | Task, *, on: str = "", verify: bool = False, max_parallel: int = 0) -> Reproduction:
    """Run a run again as it is recorded, in a process of its own, and say what differs.

    Its code, parameters, seed and environments are those that it kept; the cache answers nothing. What it prints goes
    to standard error, and so does what the record lacks to reproduce it, before it starts.

    Args:
        run: ``"train/42"``; or a step or task of it, ``"train/42/fit"`` or ``"train/42/fit/3"``: then that runs again
            with its recorded inputs, and everything before it is taken over. Or a ``Run`` or ``Task``.
        on: the place where tasks run whose step names none; default: on this machine.
        verify: tag the original as reproduced if all of it is equal.
        max_parallel: at most so many tasks at once; 0: as many as the machine holds.

    Returns:
        The comparison: ``equal``, ``first`` (the first task to differ), ``artifacts``, ``differences``, ``gaps``.

    Raises:
        NotFoundError: there is no such run, step or task.
        UsageError: the run kept no code, or is still running.
        RunFailedError: the run could not be run again at all.
    """
    if isinstance(run, str):
        name, scope = run, existing_scope()
    else:
        name, scope = run.name, run._reader.source
    from headrace.services.names import find_run, parse_name

    record = find_run(scope.metadata, scope.project, name)
    origin = reproduction.what_to_run(scope.metadata, record, parse_name(name))
    reproduction.gaps(scope.metadata, scope.artifacts, record)  # raises where it cannot even be tried
    words = [f"--on={on}"] if on else []
    words += ["--verify"] if verify else []
    words += [f"--max-parallel={max_parallel}"] if max_parallel else []
    command = [sys.executable, "-m", "headrace", "reproduce", "--json", *words, origin.name]
    code, told = _call(command, {**os.environ, **variables_of(scope)})
    try:
        return msgspec.json.decode(told, type=Reproduction)
    except msgspec.DecodeError:
        if code == _INTERRUPTED:
            raise KeyboardInterrupt from None
        raise RunFailedError(f"{origin.name} was not run again; standard error says why") from None


def variables_of(scope: Scope) -> dict[str, str]:
    """Variables with which another process, or this one in another folder, finds the same runs."""
    return place_variables(msgspec.structs.asdict(scope.settings))


def _call(command: list[str], variables: dict[str, str]) -> tuple[int, bytes]:
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, stdout=told, env=variables)
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:  # the process got the same signal, and ends its run
                continue
        told.seek(0)
        return code, told.read()


def compare(scope: Scope, origin: Reproduces, run: RunRecord, known: list[Gap], *, verify: bool) -> Reproduction:
    """How ``run`` compares to what it runs again, with values that differ loaded into this process.

    With ``verify`` the original is tagged as reproduced if all is equal.
    """
    how = _how(RunReader(scope, origin.run, complete=True), RunReader(scope, run, complete=True))
    found = reproduction.compare(scope.metadata, origin, run, known, how)
    return reproduction.mark(scope.metadata, origin, found, scope.actor, time.time()) if verify else found


def _how(before: RunReader, now: RunReader) -> How:
    def how(one: ArtifactRecord, other: ArtifactRecord) -> list[str]:
        try:
            lines = summary(load(one.value, before), load(other.value, now))
        except HeadraceError as error:
            return [f"the values cannot be loaded here to compare them: {error}"]
        return lines or ["the values are equal, their stored bytes are not"]

    return how
