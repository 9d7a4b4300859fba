"""Calling a step again in this process, with the inputs its task had."""

from __future__ import annotations

import os
import pdb  # noqa: T100 - the debugger is what was asked for
import sys
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec

from headrace._base.attributes import on_type
from headrace._base.frames import is_ours
from headrace._base.usercode import is_user_file
from headrace.cli.output import style
from headrace.frontends.native.steps import Step
from headrace.model.errors import FlowLoadError, NotFoundError
from headrace.model.records import Input, RunRecord, TaskId, TaskRecord
from headrace.runtime import context
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore

if TYPE_CHECKING:
    from headrace.wiring import Scope


class Entered(NamedTuple):
    """A task to look at: what its step sees, by name, and how to call it."""

    step: str
    names: dict[str, Any]
    call: Callable[[], Any]


def with_recorded_code(scope: Scope, run: RunRecord) -> RunRecord:
    """``run`` as if its flow was in the code that it kept, which is put where this process imports it from."""
    from headrace.services.code.recorded_code import install_recorded

    found = install_recorded(run, scope.artifacts, scope.workspace.code_cache)
    return msgspec.structs.replace(run, entry=f"{found.file}:{found.flow}")


def enter(metadata: MetadataStore, artifacts: ArtifactStore, run: RunRecord, task: TaskRecord) -> Entered:
    """Load the flow's file as it is now, and the inputs of ``task``.

    Raises:
        FlowLoadError: the file is gone or cannot be imported.
        NotFoundError: there is no such step in it.
        NotLoadableError, BlobError: an input cannot be read.
    """
    if run.dialect == "metaflow":
        return _enter_metaflow(_load_metaflow(run.entry), metadata, artifacts, run, task)
    if run.dialect == "kfp":
        return _enter_pipeline(metadata, artifacts, run, task)
    found = _find_step(run, task.step)
    if not isinstance(found, Step):
        return _enter_metaflow(found, metadata, artifacts, run, task)
    args, kwargs = _load_inputs(metadata, artifacts, run, task)
    os.environ.update(found.policy.env_vars)
    bound = dict(zip(found.signature.names, args, strict=False)) | kwargs
    extra = args[len(found.signature.names) :]
    names = {found.__name__: found, **bound, **({"args": extra} if extra else {})}
    return Entered(found.__name__, names, lambda: _awaited(found.__wrapped__(*args, **kwargs)))


def _load_metaflow(entry: str) -> Any:
    from headrace.frontends.metaflow.programs.flow_loader import load_flow

    try:
        return load_flow(entry, lasting=True)
    except Exception as error:
        raise FlowLoadError(f"{entry} cannot be loaded: {type(error).__name__}: {error}") from error


def _enter_metaflow(
    cls: Any, metadata: MetadataStore, artifacts: ArtifactStore, run: RunRecord, task: TaskRecord
) -> Entered:
    from headrace.frontends.metaflow.running.task_replay import enter as enter_task

    names, call_step = enter_task(cls, run, task, _outputs_before(metadata, run, task), artifacts)
    return Entered(task.step.rpartition(".")[2], names, call_step)


def _enter_pipeline(metadata: MetadataStore, artifacts: ArtifactStore, run: RunRecord, task: TaskRecord) -> Entered:
    from headrace.cli.kfpfile import load_run
    from headrace.frontends.kfp.task_replay import enter as enter_task
    from headrace.settings import read_settings

    stored = (_outputs_before(metadata, run, task), artifacts)
    return Entered(*enter_task(load_run(run).pipeline, run, task, stored, read_settings().home))


def _outputs_before(metadata: MetadataStore, run: RunRecord, task: TaskRecord) -> Any:
    producers = {TaskId(source.step, source.number) for one in task.inputs for source in one.sources}
    return metadata.outputs(run.id, list(producers))


def describe(run: RunRecord, task: TaskRecord, *, shell: bool) -> str:
    """What would be done in a terminal."""
    names = ", ".join(one.name.lstrip("/*") for one in task.inputs)
    then = "open a Python prompt with them" if shell else "call it with them and open pdb where it raises"
    return (
        f"Would load {run.entry}, take step {task.step!r} and the inputs ({names}) of {run.name}/{task.id}, and {then}."
    )


def _find_step(run: RunRecord, name: str) -> Any:
    """The step of that name; of a Metaflow flow that is a part of the run, that flow."""
    from headrace.cli.dialects import make_loadable
    from headrace.frontends.native.resume import flow_of

    make_loadable(run.entry)
    home = sys.modules.get(flow_of(run).__module__)
    for value in _at_the_top(home):
        if isinstance(value, Step) and name in (value.name, f"{value.__module__}.{value.__qualname__}"):
            return value
    from headrace.frontends.metaflow.programs.subflow import Subflow

    for value in _at_the_top(home):
        if isinstance(value, Subflow) and name.startswith(f"{value.name}."):
            return value.flow
    raise NotFoundError(
        f"step {name!r} is not at the top of {run.entry.rpartition(':')[0]} or of a module that it imports; "
        "one made inside a function can be looked at with `headrace debug --shell` only after moving it there"
    )


def _at_the_top(home: ModuleType | None) -> Iterator[Any]:
    """What modules hold: the flow's own first, then all that it imported."""
    for module in (home, *list(sys.modules.values())):
        yield from list(getattr(module, "__dict__", {}).values())


def _load_inputs(
    metadata: MetadataStore, artifacts: ArtifactStore, run: RunRecord, task: TaskRecord
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments that the task was called with."""
    outputs = _outputs_before(metadata, run, task)

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


def call(entered: Entered, name: str) -> int:
    """Call the step; where it raises, show the traceback and open the debugger there. Returns the exit code."""
    click.echo(style(f"Calling {entered.step} with the inputs of {name} ...", dim=True))
    try:
        result = context.call_plainly(entered.call, (), {})
    except (KeyboardInterrupt, click.exceptions.Abort):
        raise
    except BaseException as error:
        _post_mortem(error)
        return 0
    click.echo(f"It did not fail this time. It returned: {result!r}"[:2000])
    return 0


def _awaited(result: Any) -> Any:
    if on_type(result, "__await__") is not None:
        import asyncio

        async def wait() -> Any:
            return await result

        return asyncio.run(wait())
    return result


def _post_mortem(error: BaseException) -> None:
    import traceback

    trace = error.__traceback__
    while trace is not None and is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    click.echo("".join(traceback.format_exception(type(error), error, trace)), nl=False)
    click.echo(style("pdb: p NAME prints, u and d move along the calls, q leaves", dim=True))
    debugger = _Debugger()
    debugger.reset()
    debugger.interaction(None, trace if trace is not None else error.__traceback__)


class _Debugger(pdb.Pdb):
    """Opens in the innermost frame of the user's own code; those of libraries below it are where ``d`` leads."""

    def setup(self, f: FrameType | None, tb: TracebackType | None) -> None:
        super().setup(f, tb)
        own = [at for at, (frame, _) in enumerate(self.stack) if is_user_file(frame.f_code.co_filename)]
        if own:
            self.curindex = own[-1]
            self.curframe = self.stack[self.curindex][0]
            self.curframe_locals = self.curframe.f_locals


def open_prompt(entered: Entered, name: str) -> None:
    """A Python prompt with what the step sees and the step, by their names."""
    import code

    names = entered.names
    inputs = [one for one in names if one != entered.step]
    banner = f"Inputs of {name}: {', '.join(inputs) or 'none'}. The step is {entered.step}. Ctrl-D leaves."
    try:
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    except ImportError:
        pass  # a Python without readline: no completion
    code.interact(banner, local=names, exitmsg="")
