"""What user code logs: metrics, parameters, tags and objects, from inside a step, a flow, or ``with track(...)``.

A metric costs the caller about a microsecond: points are kept in memory and sent in batches by another thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from headrace._base.attributes import on_type, own
from headrace._base.backports import add_note
from headrace.client.names import check_name, check_tag
from headrace.model.errors import UsageError
from headrace.model.params import is_cut, to_text
from headrace.runtime import ambient, context

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType
    from typing import SupportsIndex

    from headrace.client.runs import Run
    from headrace.model.values import Preview
    from headrace.services.tracking import TrackedRun

_LEAST, _MOST = -(2**63), 2**63 - 1


# --- numbers ----------------------------------------------------------------------------------------------------


def log_metric(name: str, value: Any, step: SupportsIndex | None = None, time: float | datetime | None = None) -> None:
    """Log a point of a metric.

    Args:
        name: what it is called, such as ``"accuracy"`` or ``"val/loss"``.
        value: a number, also of numpy or torch; NaN and infinities are numbers too.
        step: where it belongs on the metric's axis; default: one after the metric's last point.
        time: when it was measured, in seconds since the epoch or as a datetime; default: now.

    Raises:
        UsageError: the value is not a number, or the code does not run in a run.
    """
    target = context._current or _target("log_metric")
    if type(value) is not float:
        value = _number(name, value)
    if type(name) is not str or not name:
        raise UsageError(f"log_metric: the name of a metric is a text, not {name!r}")
    if step is not None and (type(step) is not int or not _LEAST <= step <= _MOST):
        step = _step(name, step)
    if time is not None and type(time) is not float:
        time = _time(name, time)
    target.metric(name, value, step, time)


def log_metrics(metrics: Mapping[str, Any], step: SupportsIndex | None = None) -> None:
    """Log a point of each of several metrics: ``log_metrics({"loss": 0.1, "accuracy": 0.9}, step=3)``.

    Raises:
        UsageError: as ``log_metric``; then none of them is logged.
    """
    _target("log_metrics")
    if not isinstance(metrics, Mapping):
        raise UsageError(f"log_metrics takes a dictionary of names and numbers, not a {type(metrics).__name__}")
    numbers = {name: _number(name, value) for name, value in metrics.items()}
    for name, value in numbers.items():
        log_metric(name, value, step)


def _number(name: object, value: Any) -> float:
    if type(value) in (float, int, bool):
        kind = value
    elif isinstance(value, (str, bytes, bytearray)) or own(value, "ndim", 0) != 0:
        shape = own(value, "shape")
        what = f"a {type(value).__name__} of shape {tuple(shape)}" if shape is not None else repr(value)[:100]
        raise UsageError(f"metric {name!r}: {what} is not a number; log one number at a time")
    else:
        item = own(value, "item")  # of numpy and torch, on any device and with a gradient too
        kind = item() if callable(item) else value
    try:
        return float(kind)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"metric {name!r}: {repr(value)[:100]} is not a number that can be logged: {error}") from None


def _step(name: str, step: Any) -> int:
    import operator

    try:
        number = operator.index(step)
    except TypeError:
        raise UsageError(f"metric {name!r}: step is {step!r}, it must be a whole number") from None
    if not _LEAST <= number <= _MOST:
        raise UsageError(f"metric {name!r}: step {number} does not fit into 64 bits")
    return number


def _time(name: str, time: Any) -> float:
    if isinstance(time, (int, float)) and not isinstance(time, bool):
        return float(time)
    if on_type(time, "timestamp") is not None:
        return float(time.timestamp())
    raise UsageError(f"metric {name!r}: time is {time!r}, it must be seconds since the epoch or a datetime")


# --- parameters and tags ----------------------------------------------------------------------------------------


def log_params(params: Mapping[str, Any]) -> None:
    """Log parameters of the run, to show, compare and filter by: ``log_params({"depth": 4})``.

    Plain values are kept as JSON up to 65,536 characters, other objects as their repr up to 2,000; a longer one is cut
    with a warning. ``log_artifact`` keeps anything whole.

    Raises:
        UsageError: not a dictionary with names as keys, or the code runs in no run.
    """
    target = _target("log_params")
    if not isinstance(params, Mapping):
        raise UsageError(f"log_params takes a dictionary of names and values, not a {type(params).__name__}")
    for name in params:
        check_name("parameter", name)
    for name, value in params.items():
        target.param(name, _param_text(name, value))


def _param_text(name: str, value: object) -> str:
    text = to_text(value)
    if is_cut(text):
        import warnings

        warnings.warn(
            f"parameter {name!r} is too long and was cut to {len(text):,} characters; keep it whole with "
            f"headrace.log_artifact({name!r}, ...)",
            stacklevel=3,
        )
    return text


def set_tag(name: str, value: object = "") -> None:
    """Tag the run: ``set_tag("baseline")`` or ``set_tag("team", "vision")``.

    Raises:
        UsageError: the name is empty or holds ``=``, or the code runs in no run.
    """
    target = _target("set_tag")
    check_tag(name)
    target.tag(name, str(value))


# --- objects ----------------------------------------------------------------------------------------------------


def log_artifact(name: str, value: Any) -> None:
    """Keep any object, or with a ``pathlib.Path`` the file or folder it names, as artifact ``name`` of the task.

    Logging the same name again replaces what was there. ``result``, and the names of a step's outputs, belong to
    what the step returns.

    Raises:
        NotStorableError: the value cannot be stored; UsageError: an impossible name or path, or the code runs in no
            run.
    """
    target = _target("log_artifact")
    if isinstance(value, os.PathLike):
        value = _file(name, os.fspath(value))
    elif isinstance(value, str) and len(value) < 1024 and "\n" not in value and os.path.exists(value):  # noqa: PTH110
        raise UsageError(
            f"artifact {name!r}: {value!r} is a text that names a file here; pass pathlib.Path({value!r}) to keep the "
            "file, or use log_text to keep the text"
        )
    _keep(target, name, value)


def log_figure(name: str, figure: Any) -> None:
    """Keep a figure (of matplotlib, plotly or alike, or a matplotlib Axes) with a picture of it where there can be one.

    Raises:
        UsageError: it is not a figure, or as ``log_artifact``.
    """
    target = _target("log_figure")
    if isinstance(figure, ModuleType) and hasattr(figure, "gcf"):  # pyplot: the figure that is open
        figure = figure.gcf()
    figure = figure if on_type(figure, "savefig") else own(figure, "figure", figure)
    if not any(on_type(figure, method) for method in ("savefig", "to_html", "to_dict")):
        raise UsageError(
            f"artifact {name!r}: a {type(figure).__name__} is not a figure; use log_artifact for other objects"
        )
    _keep(target, name, figure)


def log_table(name: str, frame: Any) -> None:
    """Keep a table: a frame of pandas, polars or Arrow, a list of dictionaries, or a dictionary of columns.

    Raises:
        UsageError: it is not a table, or as ``log_artifact``.
    """
    target = _target("log_table")
    preview = None
    if isinstance(frame, (list, tuple, dict)):
        from headrace.client.tables import preview_rows

        preview = preview_rows(name, frame)
    elif all(own(frame, name) is None for name in ("columns", "column_names", "dtype")):
        raise UsageError(
            f"artifact {name!r}: a {type(frame).__name__} is not a table; use log_artifact for other objects"
        )
    _keep(target, name, frame, preview)


def log_text(name: str, text: str) -> None:
    """Keep a text.

    Raises:
        UsageError: it is not a text, or as ``log_artifact``.
    """
    target = _target("log_text")
    if not isinstance(text, str):
        raise UsageError(f"artifact {name!r}: log_text takes a str, not a {type(text).__name__}; use log_artifact")
    _keep(target, name, text)


def _file(name: str, path: str) -> object:
    from headrace.stores import codecs

    if os.path.isdir(path):  # noqa: PTH112
        return codecs.Folder(path)
    if os.path.isfile(path):  # noqa: PTH113
        return codecs.File(path)
    raise UsageError(f"artifact {name!r}: there is no file or folder {path}")


def _keep(target: context.TrackBuffer, name: str, value: Any, preview: Preview | None = None) -> None:
    from headrace.model.errors import NotStorableError
    from headrace.model.messages import Output
    from headrace.stores import codecs

    check_name("logged artifact", name)
    if "/" in name or name == "result":
        reason = (
            "is what a step or flow returns" if name == "result" else "holds '/', which separates the parts of names"
        )
        raise UsageError(f"an artifact cannot be logged as {name!r}: that {reason}; choose another name")
    if target.store is None:  # a plain call of a step: nothing is kept
        return
    try:
        packed = codecs.pack(value, target.store)
    except NotStorableError as error:
        raise NotStorableError(f"artifact {name!r}: {error}") from None
    target.artifact(Output(name, packed, preview or codecs.preview(value, packed)))


# --- where to ---------------------------------------------------------------------------------------------------


def _target(what: str) -> context.TrackBuffer:
    """The buffer of the innermost run here."""
    found: context.TrackBuffer | None = context.current()
    if found is None:
        around = ambient.known()
        if around is not None:
            found = around.log
        else:
            found = context.plain_call()
            if found is None:
                around = ambient.find(f"{what} was called")
                found = around.log if around is not None else None
    if found is None:
        raise UsageError(
            f"{what} was called outside of a run. Call it in a @step or @flow function while its flow runs, or put the "
            'code under `with headrace.track("name"):`. A process or thread that the code started itself logs '
            "through the one that started it"
        )
    return found


class track:
    """Record what a script or notebook does as a run, without any flow.

    ``with headrace.track("name", params={...}, tags=["baseline"]) as run:`` opens run ``name/1`` (and so on), gives
    the ``Run``, and ends it as succeeded, or as failed with the traceback of the exception that leaves the block.

    Args:
        name: what the runs are called.
        params: as ``log_params``.
        tags: names, ``name=value`` texts, or a dictionary.

    Raises:
        UsageError: on entering, inside of another ``track``, a flow or a step; a bad name, parameter or tag.
    """

    def __init__(
        self,
        name: str,
        *,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | tuple[str, ...] | list[str] = (),
    ) -> None:
        if not isinstance(name, str) or not name.strip() or "/" in name or name.isdigit():
            raise UsageError(f"track: a name is a text without '/' that is not a number, {name!r} is none")
        self._name = name
        for key in params or ():
            check_name("parameter", key)
        self._params = {key: _param_text(key, value) for key, value in (params or {}).items()}
        self._tags = list(_tags(tags))
        self._tracked: TrackedRun | None = None
        self._pid = 0
        self._entered: Any = None
        caller = sys._getframe(1).f_code.co_filename
        self._file = os.path.abspath(caller) if os.path.exists(caller) else ""  # noqa: PTH100, PTH110

    def __enter__(self) -> Run:
        from headrace.client.default import default_scope
        from headrace.client.runs import Run
        from headrace.model.records import Param, RunDetails, Tag
        from headrace.services.code.package import CodeOfRun
        from headrace.services.tracking import open_tracked

        outer = ambient.enclosing()
        attempt = context.current()
        where = attempt.task if attempt is not None else outer.name if outer is not None else ""
        if self._tracked is not None:
            where = self._tracked.run.name
        if where:
            raise UsageError(
                f"track({self._name!r}) inside of {where}, which is recorded already: leave it out and log to that "
                "run, or end that one first"
            )
        scope = default_scope()
        code = CodeOfRun(f"{self._file}:", scope.workspace.code_rules(self._file))
        known = RunDetails(code=code.store(scope.artifacts), left_out=code.left_out)
        tracked = open_tracked(scope.stores, self._name, self._file)
        run_id = tracked.run.id
        tracked.write(
            *[Param(run_id, name, text) for name, text in self._params.items()],
            *[Tag(run_id, name, value) for name, value in self._tags],
        )
        self._entered = ambient.entered(ambient.Ambient(tracked.run.name, tracked.log, scope=scope))
        self._entered.__enter__()
        self._tracked, self._pid = tracked, os.getpid()
        tracked.log.start()
        tracked.record_surroundings(self._file, known)
        return Run._in(scope, tracked.run.name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tracked is None or os.getpid() != self._pid:  # a forked child that came out of the block
            return
        tracked, self._tracked = self._tracked, None
        self._entered.__exit__(None, None, None)
        from headrace.model.errors import HeadraceError
        from headrace.model.states import RunState

        try:
            if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
                tracked.finish(RunState.SUCCEEDED)
            else:
                state = RunState.INTERRUPTED if isinstance(error, KeyboardInterrupt) else RunState.FAILED
                tracked.finish(state, *_describe(error))
        except HeadraceError as problem:
            if error is None:
                raise
            add_note(error, f"headrace: the end of run {tracked.run.name} could not be recorded: {problem}")


def _describe(error: BaseException) -> tuple[str, str]:
    """The last line of an exception's traceback, and all of it."""
    import traceback

    text = "".join(traceback.format_exception(error))
    last = "".join(traceback.format_exception_only(error)).strip()
    return last.splitlines()[-1] if last else type(error).__name__, text


def _tags(tags: Any) -> Iterator[tuple[str, str]]:
    if isinstance(tags, str):
        tags = (tags,)
    pairs = tags.items() if isinstance(tags, Mapping) else (str(tag).partition("=")[::2] for tag in tags)
    for name, value in pairs:
        check_tag(name)
        yield name, str(value)
