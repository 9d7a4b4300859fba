"""``run``, ``resume`` and ``check`` of Kubeflow pipelines."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from headrace.cli.flowargs import CONTAINERS, Options, print_parameters, split
from headrace.cli.options import open_here
from headrace.frontends.kfp import arguments as pipeline_arguments
from headrace.frontends.kfp import kubernetes, validation
from headrace.frontends.kfp.ir import Pipeline
from headrace.frontends.kfp.pipeline_file import read_pipeline
from headrace.model.errors import UsageError

if TYPE_CHECKING:
    from headrace.frontends.kfp.launch import Launch
    from headrace.frontends.native.launch import Ended
    from headrace.model.records import RunRecord
    from headrace.services.session import Reproduces, Session
    from headrace.wiring import Scope

_FINAL_STATES = ("documented", "backend")


class Loaded(NamedTuple):
    """A pipeline, and from where it can be loaded again: ``FILE:NAME``."""

    pipeline: Pipeline
    entry: str


def load(target: str) -> Loaded:
    """The pipeline in a file, checked: compiled, or Python with ``@dsl.pipeline``, which is compiled.

    Raises:
        PipelineError: it cannot be read or cannot run.
    """
    path, name = target, ""
    if not os.path.isfile(path):  # noqa: PTH113
        path, _, name = target.rpartition(":")
    path = os.path.abspath(path)  # noqa: PTH100
    if path.endswith(".py"):
        from headrace.frontends.kfp.compilation import compile_file

        pipeline, name = compile_file(path, name)
    else:
        pipeline = read_pipeline(path)
        name = pipeline.name
    validation.check(pipeline, target)
    return Loaded(pipeline, f"{path}:{name}")


def run_file(target: str, words: Sequence[str], options: Options, ours: Collection[str]) -> int:
    """``headrace run`` of a pipeline; returns the exit code."""
    loaded = load(target)
    pipeline = loaded.pipeline
    parameters = list(pipeline.spec.root.input_definitions.parameters)
    rest = split(words, ours, parameters, options)
    if "help" in options.flags:
        usage = pipeline_arguments.usage(pipeline)
        print_parameters(f"headrace run {target}", _Described(pipeline.spec.pipeline_info.description), usage)
        return 0
    values = pipeline_arguments.bind(pipeline, pipeline_arguments.parse(pipeline, rest))
    return _drive(loaded, values, options, launch_of(loaded, open_here(), options))


class _Described:
    """What the help of a flow shows of a pipeline."""

    def __init__(self, text: str) -> None:
        self.__doc__ = text


def load_run(run: RunRecord, file: str = "") -> Loaded:
    """The pipeline of a run, as its file, or another one with the same pipeline, has it now.

    Raises:
        UsageError: the file is gone. PipelineError: it cannot be read or cannot run.
    """
    own, _, name = run.entry.rpartition(":")
    file = file or own
    if not Path(file).exists():
        raise UsageError(
            f"{file}, the file of run {run.name}, is not here; go on with the code that the run kept: "
            f"headrace resume {run.name} --code recorded"
        )
    return load(f"{file}:{name}" if file.endswith(".py") else file)


def resume_file(scope: Scope, run: RunRecord, words: Sequence[str], ours: Collection[str]) -> int:
    """``headrace resume`` of a run of a pipeline, with the file as it is now; returns the exit code."""
    import msgspec

    from headrace.services.session import Resume, recorded_details

    options = Options()
    file = run.entry.rpartition(":")[0]
    if "--code=recorded" in words or ("--code", "recorded") in itertools.pairwise(words):
        from headrace.services.code.recorded_code import install_recorded

        file = install_recorded(run, scope.artifacts, scope.workspace.code_cache).file
    loaded = load_run(run, file)
    if loaded.pipeline.name != run.flow:
        raise UsageError(
            f"{file} now holds the pipeline {loaded.pipeline.name!r}, and {run.name} is one of {run.flow!r}"
        )
    values = _changed(loaded, _arguments_of(run, scope), split(words, ours, _parameters(loaded), options))
    options.on = options.on or recorded_details(scope.metadata.run_by_id(run.id) or run).place
    resume = Resume(run=run, again=tuple(options.again), reuse_changed="reuse-changed" in options.flags)
    how = msgspec.structs.replace(launch_of(loaded, scope, options), resume=resume)
    return _drive(loaded, values, options, how)


def rerun_file(scope: Scope, run: RunRecord, words: Sequence[str], options: Options, ours: Collection[str]) -> int:
    """A new run of the pipeline that ``run`` kept, with the parameters in ``words`` changed; returns the exit code."""
    from headrace.services.code.recorded_code import install_recorded

    loaded = load_run(run, install_recorded(run, scope.artifacts, scope.workspace.code_cache).file)
    values = _changed(loaded, _arguments_of(run, scope), split(words, ours, _parameters(loaded), options))
    return _drive(loaded, values, options, launch_of(loaded, scope, options))


def _parameters(loaded: Loaded) -> list[str]:
    return list(loaded.pipeline.spec.root.input_definitions.parameters)


def _changed(loaded: Loaded, before: Mapping[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """The parameters that an earlier run had ``before``, as far as there are such, with those in ``words`` changed."""
    kept = {name: value for name, value in before.items() if name in _parameters(loaded)}
    return dict(pipeline_arguments.bind(loaded.pipeline, {**kept, **pipeline_arguments.parse(loaded.pipeline, words)}))


def launch_of(loaded: Loaded, scope: Scope, options: Options) -> Launch:
    """Where and how a pipeline is to run.

    Raises:
        UsageError: it has settings that only a cluster can honour; MissingSecretError: a secret is nowhere.
    """
    from headrace.frontends.kfp.launch import Launch

    if options.environment:
        raise UsageError("--environment is not for Kubeflow pipelines: each component names its packages itself")
    settings = _settings(dict(scope.settings.kfp))
    pods = options.on in scope.workspace.places(default=options.on).clusters
    _check_platform(loaded.pipeline, ignored="kubernetes" in options.ignore, pods=pods)
    secrets = {} if pods else kubernetes.secrets_of(loaded.pipeline)  # those of the cluster are in its pods
    wanted = {} if pods else kubernetes.wanted_secrets(loaded.pipeline)
    return Launch(
        scope=scope,
        entry=loaded.entry,
        max_parallel=options.max_parallel,
        use_cache="no-cache" not in options.flags,
        tags=tuple(options.tags),
        seed=options.seed,
        place=options.on,
        driver=options.driver,
        debug="debug" in options.flags,
        containers=options.containers or settings.get("containers", "auto"),
        final_state=settings.get("final_state", "documented"),
        secrets=secrets,
        secret_values=scope.secret_sources.values(wanted) if wanted else {},
    )


def _settings(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """The table ``[tool.headrace.kfp]``, checked."""
    known = {"final_state": _FINAL_STATES, "containers": CONTAINERS}
    for name, value in table.items():
        if name not in known:
            raise UsageError(f"[tool.headrace.kfp] has no setting {name!r}; there are {', '.join(known)}")
        if value not in known[name]:
            raise UsageError(f"[tool.headrace.kfp] {name} is {value!r}; it can be {', '.join(known[name])}")
    return table


def _check_platform(pipeline: Pipeline, *, ignored: bool, pods: bool) -> None:
    """Refuse settings for Kubernetes without which results may be others; note the rest in one line."""
    how = "To run it without them: --ignore kubernetes"
    shown = kubernetes.check_settings(pipeline, how, pods=pods, ignored=ignored)
    if shown:
        names = ", ".join(dict.fromkeys(one.setting for one in shown))
        click.echo(f"headrace: settings for Kubernetes without effect here: {names}", err=True)


def reproduce_pipeline(scope: Scope, origin: Reproduces, options: Options) -> Ended:
    """Run a pipeline again from the file and arguments that its run kept. The cache answers nothing.

    Raises:
        FlowLoadError: the run kept no file. PipelineError: it cannot be read or cannot run.
    """
    import msgspec

    from headrace.services.code.recorded_code import install_recorded
    from headrace.services.session import recorded_details

    run = origin.run
    file = install_recorded(run, scope.artifacts, scope.workspace.code_cache).file
    loaded = load_run(run, file)
    values = pipeline_arguments.bind(loaded.pipeline, _arguments_of(run, scope))
    options.ignore.add("kubernetes")  # as the run did, or it would not have been
    how = msgspec.structs.replace(
        launch_of(loaded, scope, options), use_cache=False, reproduces=origin, seed=recorded_details(run).seed
    )
    return _run(loaded, values, how)


def _arguments_of(run: RunRecord, scope: Scope) -> dict[str, Any]:
    """The arguments that a run was started with."""
    from headrace.stores import codecs

    return {one.name: codecs.unpack(one.value, scope.artifacts) for one in run.inputs}


def _drive(loaded: Loaded, values: dict[str, Any], options: Options, how: Launch) -> int:
    from headrace.cli.summary import drive

    return drive(lambda: _run(loaded, values, how), options)


def _run(loaded: Loaded, values: dict[str, Any], how: Launch) -> Ended:
    from headrace.frontends.kfp.launch import run_pipeline
    from headrace.frontends.native.launch import Ended, observers

    def began(session: Session) -> None:
        for observer in observers:
            observer(session)

    ended = run_pipeline(loaded.pipeline, values, how, began)
    return Ended(ended.run, ended.value, ended.error)
