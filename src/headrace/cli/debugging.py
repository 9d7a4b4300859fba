"""Calling a step again in this process, with the inputs its task had."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from headrace.cli.output import style
from headrace.model.errors import NotFoundError
from headrace.model.records import Input, RunRecord, TaskId, TaskRecord
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore
from headrace.worker import context


def describe(run: RunRecord, task: TaskRecord, *, shell: bool) -> str:
    """What would be done in a terminal."""
    names = ", ".join(one.name.lstrip("/*") for one in task.inputs)
    then = "open a Python prompt with them" if shell else "call it with them and open pdb where it raises"
    return (
        f"Would load {run.entry}, take step {task.step!r} and the inputs ({names}) of {run.name}/{task.id}, and {then}."
    )


def find_step(run: RunRecord, name: str) -> Any:
    """The step of that name, from the flow's file or a module that it imports.

    Raises:
        FlowLoadError: the file is gone or cannot be imported.
        NotFoundError: there is no such step in it.
    """
    from headrace.frontends.native.resume import flow_of
    from headrace.frontends.native.steps import Step

    flow = flow_of(run)
    home = sys.modules.get(flow.__module__)
    modules = [home] if home is not None else []
    modules += [module for module in list(sys.modules.values()) if module is not None and module is not home]
    for module in modules:
        for value in list(getattr(module, "__dict__", {}).values()):
            if isinstance(value, Step) and name in (value.name, f"{value.__module__}.{value.__qualname__}"):
                return value
    raise NotFoundError(
        f"step {name!r} is not at the top of {run.entry.rpartition(':')[0]} or of a module that it imports; "
        "one made inside a function can be looked at with `headrace debug --shell` only after moving it there"
    )


def load_inputs(
    metadata: MetadataStore, artifacts: ArtifactStore, run: RunRecord, task: TaskRecord
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments that the task was called with.

    Raises:
        NotLoadableError, BlobError: one of them cannot be read.
    """
    producers = {TaskId(source.step, source.number) for one in task.inputs for source in one.sources}
    outputs = metadata.outputs(run.id, list(producers))

    def value_of(one: Input) -> Any:
        if not one.template:
            return codecs.unpack(one.value, artifacts)
        fills = [
            codecs.unpack(outputs[TaskId(source.step, source.number)][source.output].value, artifacts)
            for source in one.sources
        ]
        return codecs.unpack_template(one.value, artifacts, fills)

    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for one in task.inputs:
        if one.name.startswith(("/", "*")):
            args.append(value_of(one))
        else:
            kwargs[one.name] = value_of(one)
    return args, kwargs


def call(step: Any, args: list[Any], kwargs: dict[str, Any], name: str) -> int:
    """Call the step; where it raises, show the traceback and open the debugger there. Returns the exit code."""
    os.environ.update(step.policy.env_vars)
    click.echo(style(f"Calling {step.name} with the inputs of {name} ...", dim=True))
    try:
        result = _plain_call(step.__wrapped__, args, kwargs)
    except (KeyboardInterrupt, click.exceptions.Abort):
        raise
    except BaseException as error:
        _post_mortem(error)
        return 0
    click.echo(f"It did not fail this time. It returned: {result!r}"[:2000])
    return 0


def _plain_call(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    def run() -> Any:
        result = function(*args, **kwargs)
        if hasattr(result, "__await__"):
            import asyncio

            async def wait() -> Any:
                return await result

            return asyncio.run(wait())
        return result

    return context.call_plainly(run, (), {})


def _post_mortem(error: BaseException) -> None:
    import pdb  # noqa: T100 - the debugger is what was asked for
    import traceback

    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, context.__file__):
        trace = trace.tb_next
    click.echo("".join(traceback.format_exception(type(error), error, trace)), nl=False)
    click.echo(style("pdb: p NAME prints, u and d move along the calls, q leaves", dim=True))
    pdb.post_mortem(trace if trace is not None else error.__traceback__)


def open_prompt(step: Any, args: list[Any], kwargs: dict[str, Any], name: str) -> None:
    """A Python prompt with the inputs and the step, by their names."""
    import code

    bound = dict(zip(step.signature.names, args, strict=False)) | kwargs
    extra = args[len(step.signature.names) :]
    names: dict[str, Any] = {step.__name__: step, **bound}
    if extra:
        names["args"] = extra
    banner = f"Inputs of {name}: {', '.join(bound) or 'none'}. The step is {step.__name__}. Ctrl-D leaves."
    try:
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    except ImportError:
        pass  # a Python without readline: no completion
    code.interact(banner, local=names, exitmsg="")
