"""Going on with an earlier native run: load its flow again, take its parameters, run what is missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from headrace.frontends.native.flows import Flow
from headrace.frontends.native.launch import Ended, Launch, run_flow
from headrace.frontends.native.load import load_flow, load_installed
from headrace.frontends.native.parameters import bind_values, parameter_specs
from headrace.model.errors import FlowLoadError, UsageError
from headrace.model.records import RunRecord
from headrace.services.session import Resume
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore

if TYPE_CHECKING:
    from headrace.client.runs import Run
    from headrace.wiring import Scope


#: Dialects whose runs are loaded here, or refused in words of their own.
_LOADED_HERE = ("native", "metaflow", "track")


def recorded_flow_of(record: RunRecord, scope: Scope) -> Flow[..., Any]:
    """The flow that a run is of, loaded from the code that the run kept.

    Raises:
        FlowLoadError: it kept none, or that cannot be imported here.
        BlobError: the code is gone or damaged.
    """
    _check_dialect(record)
    from headrace.services.code.recorded_code import install_recorded

    found = install_recorded(record, scope.artifacts, scope.workspace.code_cache)
    return load_installed(*found).flow  # type: ignore[no-any-return]


def flow_of(record: RunRecord) -> Flow[..., Any]:
    """The flow that a run is of, loaded from where it was.

    Raises:
        FlowLoadError: its file is gone, or holds it no more.
    """
    _check_dialect(record)
    path, _, name = record.entry.rpartition(":")
    if path:
        if not os.path.exists(path):  # noqa: PTH110
            raise FlowLoadError(
                f"{path}, the file of run {record.name}, is not here; go on with the code that the run kept: "
                f"headrace resume {record.name} --code recorded"
            )
        return load_flow(record.entry).flow  # type: ignore[no-any-return]
    main: Any = sys.modules["__main__"]
    for part in name.split("."):
        main = getattr(main, part, None)
    if isinstance(main, Flow):
        return main
    raise FlowLoadError(
        f"run {record.name} was started from a notebook or prompt, so its flow {name!r} has no file to load it from; "
        f"define it again there and call headrace.resume({record.name!r})"
    )


def _check_dialect(record: RunRecord) -> None:
    if record.dialect not in _LOADED_HERE:
        raise FlowLoadError(
            f"run {record.name} is of the dialect {record.dialect!r}, whose flows cannot be loaded here; go on with it "
            "by the program that started it"
        )


def parameters_of(record: RunRecord, store: ArtifactStore) -> dict[str, Any]:
    """The values that the run's parameters had."""
    return {one.name: codecs.unpack(one.value, store) for one in record.inputs}


def resume_run(
    record: RunRecord,
    how: Launch,
    changes: Mapping[str, Any] | None = None,
    *,
    again: tuple[str, ...] = (),
    reuse_changed: bool = False,
    reraise: bool = True,
) -> Ended:
    """Go on with ``record``'s run, with some parameters changed if ``changes`` says so.

    What finished is not run again, except tasks of steps whose code changed (unless ``reuse_changed``), tasks of the
    steps in ``again`` with all that depends on them, and what a changed parameter touches.

    Raises:
        FlowLoadError: the flow cannot be found any more.
        ParameterError: a changed parameter does not fit.
        RunBusyError: another process drives the run.
    """
    flow = recorded_flow_of(record, how.scope) if how.recorded else flow_of(record)
    specs = parameter_specs(flow.__wrapped__)
    known = {spec.name for spec in specs}
    before = parameters_of(record, how.scope.artifacts)
    values = {name: value for name, value in before.items() if name in known}
    values = {**values, **bind_values(specs, {**values, **(changes or {})})}
    resume = Resume(run=record, again=again, reuse_changed=reuse_changed)
    how = msgspec.structs.replace(how, resume=resume)
    return run_flow(flow, values, how, reraise=reraise)


def resume(
    run: str | Run,
    *,
    again: str | tuple[str, ...] = (),
    reuse_changed: bool = False,
    code: Literal["file", "recorded"] = "file",
    **changes: Any,
) -> Run:
    """Go on with run ``run`` (``"train/42"``, or ``"train"`` for its newest) and return it when it has ended.

    Args:
        run: its name; or a ``Run``, which may be one of ``headrace.connect``.
        again: steps whose tasks, and all that depends on them, run again.
        reuse_changed: keep results of steps whose code changed.
        code: ``"file"`` loads the flow from its file, ``"recorded"`` from the code that the run kept, wherever that
            file is.
        changes: parameters with new values; what they do not touch is not run again.

    Raises:
        NotFoundError: there is no such run.
        FlowLoadError: its flow cannot be loaded.
        RunBusyError: it is being driven by another process.
    """
    from headrace.client.runs import Run

    found = Run(run) if isinstance(run, str) else run
    scope = found._reader.source
    again = (again,) if isinstance(again, str) else again
    ended = resume_run(
        found.record,
        Launch(scope=scope, recorded=_is_recorded(code)),
        changes,
        again=again,
        reuse_changed=reuse_changed,
        reraise=False,
    )
    return Run._in(scope, ended.run.name)


def _is_recorded(code: str) -> bool:
    if code not in ("file", "recorded"):
        raise UsageError(f"code is {code!r}; it must be 'file' or 'recorded'")
    return code == "recorded"
