"""``execute``: one attempt of a component, in a worker. See ``contract``."""

from __future__ import annotations

import functools
import logging
import os
import sys
from typing import Any

from headrace.frontends.kfp.contract import ComponentCall, ComponentResult
from headrace.frontends.kfp.executors import source
from headrace.frontends.kfp.executors.commands import Words, run_command
from headrace.frontends.kfp.executors.errors import ComponentFailedError
from headrace.frontends.kfp.executors.folders import WORK
from headrace.frontends.kfp.executors.frame import PythonFunction, python_function
from headrace.frontends.kfp.executors.function import call_function
from headrace.frontends.kfp.executors.importer import run_importer
from headrace.frontends.kfp.executors.outputs import Written, collect, executor_output
from headrace.frontends.kfp.executors.places import Places
from headrace.frontends.kfp.executors.volume_claims import is_claim, run_claim
from headrace.frontends.kfp.ir import Container

#: The format in which KFP prints what components log.
_FORMAT = "[KFP Executor %(asctime)s %(levelname)s]: %(message)s"


def execute(call: ComponentCall) -> ComponentResult:
    """Run one attempt of a component.

    Raises:
        ComponentFailedError: it failed, or did not write what it promises; what the function of a component raised.
    """
    places = Places(call)
    executor = call.step.executor
    if executor.importer is not None:
        return run_importer(call, executor.importer, places)
    container = executor.container
    if container is None:
        raise ComponentFailedError(
            f"{call.step.path}: its executor is neither a container nor an importer, which KFP itself does not run"
        )
    if is_claim(executor):
        return run_claim(call, container.image)
    try:
        return _run(call, container, places)
    finally:
        for path in places.take_back_inputs():
            print(
                f"headrace: {call.step.path} changed its input at {path}; later tasks get it as it was", file=sys.stderr
            )


def _run(call: ComponentCall, container: Container, places: Places) -> ComponentResult:
    found = function_of(container)
    if found is None or call.step.as_command:
        run_command(call, container, places)
        return collect(call, places, executor_output(places, call))
    return collect(call, places, _run_function(call, container, found, places))


def function_of(container: Container) -> PythonFunction | None:
    """The Python function that a container runs; None if it runs another command."""
    return _function_of(container.command, container.args)


_function_of = functools.lru_cache(maxsize=512)(python_function)


def _run_function(call: ComponentCall, container: Container, told: PythonFunction, places: Places) -> Written:
    """Call the function of a Python component in this process, in a folder of its own."""
    words = Words(call, places)
    for one in container.env:
        os.environ[one.name] = words.text(one.value)
    os.chdir(f"{call.folder}/{WORK}")
    sys.argv[:] = ["ephemeral_component.py"]
    _log_to_stdout()
    with source.loaded(told.source, told.function, call.step.path) as function:
        try:
            return call_function(function, call, places)
        except SystemExit as error:
            if error.code in (None, 0):  # as a process that ends well before anything is returned
                return executor_output(places, call)
            raise ComponentFailedError(f"{call.step.path}: the component called sys.exit({error.code!r})") from None


@functools.cache
def _handler() -> logging.StreamHandler[Any]:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter(_FORMAT))
    return handler


def _log_to_stdout() -> None:
    """Print what a component logs from level INFO on, as under KFP. The worker undoes it after the attempt."""
    handler = _handler()
    handler.stream = sys.stdout  # setStream would flush the one before, which a component may have closed
    root = logging.getLogger()
    root.handlers[:] = [handler]  # instead of those of the driver, from which the worker was forked
    root.setLevel(logging.INFO)
