"""One attempt, start to end: inputs out of the store, the user's function, outputs into the store.

Called by ``worker.serve`` only. Nothing of the user's may escape from here: whatever a step does short of ending the
process becomes a ``Failed`` message.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from headrace._base.attributes import on_type
from headrace._base.backports import BaseExceptionGroup
from headrace._base.error_lines import error_line
from headrace._base.frames import prune
from headrace._base.texts import ERROR_LINE, shorten
from headrace.model.errors import BlobError, HeadraceError, NotStorableError, StoreError
from headrace.model.messages import Define, Done, Execute, Failed, Output, Usage
from headrace.model.states import Failure
from headrace.model.values import Packed
from headrace.runtime import secrets
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.worker.functions import tell_removed

if TYPE_CHECKING:
    from headrace.runtime.raw import RawCall

#: (stdout, stderr) ends of the log files.
LogEnds = Callable[[], tuple[int, int]]


_DEBUG = "`headrace run --debug FILE` runs one task at a time and gives it yours"


def run_attempt(
    message: Execute, define: Define, function: Callable[..., Any], store: ArtifactStore, log_ends: LogEnds
) -> Done | Failed:
    """Run ``function`` as ``message`` says. Never raises for anything the user's code does."""
    meter = _Meter(log_ends)
    if define.raw:
        return _run_raw(message, function, store, meter)
    try:
        args, kwargs = load_arguments(message, store)
    except BaseException as error:
        bad = error.digest if isinstance(error, BlobError) else b""
        failure = Failure.INPUT if isinstance(error, StoreError) else Failure.ERROR
        return _failed(message, failure, error, store, meter, bad)
    try:
        result = function(*args, **kwargs)
        if on_type(result, "__await__") is not None:
            result = _await(result)
        _refuse_generators(result)
        del args, kwargs
    except BaseException as error:
        return _failed(message, _kind_of(error), error, store, meter)
    try:
        outputs = save_outputs(result, define.fields, store)
    except BaseException as error:
        return _failed(message, Failure.STORE, error, store, meter)
    del result
    return Done(message.token, outputs, meter.read())


def _run_raw(message: Execute, function: Callable[..., Any], store: ArtifactStore, meter: _Meter) -> Done | Failed:
    from headrace.runtime.raw import RawCall

    call = meter.call = RawCall(message, store)
    try:
        result = function(call)
    except BlobError as error:  # of an input that the function wanted to see
        return _failed(message, Failure.INPUT, error, store, meter, error.digest)
    except BaseException as error:
        return _failed(message, _kind_of(error), error, store, meter)
    try:
        outputs = tuple([_save(name, value, store) for name, value in result.items()])
    except BaseException as error:
        return _failed(message, Failure.STORE, error, store, meter)
    del result
    return Done(message.token, outputs, meter.read())


def load_arguments(message: Execute, store: ArtifactStore) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments of a call.

    Raises:
        BlobError: an input is missing or damaged; anything an unpickled class raises.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for one in message.arguments:
        value: Any
        if one.template:
            value = codecs.unpack_template(one.value, store, [codecs.unpack(fill, store) for fill in one.fills])
        else:
            value = codecs.unpack(one.value, store)
        if one.name:
            kwargs[one.name] = value
        else:
            args.append(value)
    return args, kwargs


def save_outputs(result: Any, fields: tuple[str, ...], store: ArtifactStore) -> tuple[Output, ...]:
    """Store what a step returned: as ``result``, and each of ``fields`` by itself too.

    Raises:
        NotStorableError, StoreError: with the output's name in the message.
    """
    if not fields:
        return (_save("result", result, store),)
    outputs = []
    for name in fields:
        try:
            value = result[name] if isinstance(result, Mapping) else getattr(result, name)
        except (KeyError, AttributeError):
            raise NotStorableError(
                f"the step's return type promises a field {name!r}, but it returned a "
                f"{type(result).__name__} that has none"
            ) from None
        outputs.append(_save(name, value, store))
    whole = codecs.pack_whole(result, {one.name: one.value for one in outputs}, store)
    return (Output("result", whole, codecs.preview(result, whole)), *outputs)


def _save(name: str, value: Any, store: ArtifactStore) -> Output:
    if type(value) is Output:  # stored already
        return value
    packed = codecs.pack(value, store)
    return Output(name, packed, codecs.preview(value, packed))


class _Meter:
    """Time, processor and memory from here on."""

    def __init__(self, log_ends: LogEnds) -> None:
        self._log_ends = log_ends
        self._started = time.time()
        self._began = time.monotonic()  # the time of day may be set while the attempt runs
        self._cpu = time.process_time()
        self.call: RawCall | None = None

    def read(self) -> Usage:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (ValueError, OSError, AttributeError):  # closed or replaced by the step
                continue
        finished = self._started + time.monotonic() - self._began
        cpu, peak = time.process_time() - self._cpu, _peak_memory()
        if self.call is not None:
            cpu, peak = cpu + self.call.cpu_seconds, max(peak, self.call.peak_memory)
        return Usage(self._started, finished, cpu, peak, self._log_ends())


def _peak_memory() -> int:
    """Most memory this process held at once since it began or since a large attempt was forgotten."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if peak > _Peak.forget_above:
        _forget_peak()
        _Peak.forget_above = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 * 1.25)
    return peak


class _Peak:
    forget_above = 0


def _forget_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123 - hot path
            file.write("5")
    except OSError:  # not permitted here: the peak is then that of the process
        _Peak.forget_above = 1 << 62


def _await(awaitable: Any) -> Any:
    import asyncio

    async def main() -> Any:
        return await awaitable

    return asyncio.run(main())


def _refuse_generators(result: Any) -> None:
    from types import AsyncGeneratorType, GeneratorType

    if isinstance(result, (GeneratorType, AsyncGeneratorType)):
        raise NotStorableError(
            "the step returned a generator, which cannot be stored or handed to another process; return a list, "
            "or submit one task per item with step.map(...)"
        )


def _kind_of(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return Failure.MEMORY
    if isinstance(error, SystemExit):
        return Failure.EXIT
    return Failure.ERROR


def _failed(
    message: Execute,
    failure: str,
    error: BaseException,
    store: ArtifactStore,
    meter: _Meter,
    bad_blob: bytes = b"",
) -> Failed:
    _name_the_debugger(error)
    tell_removed(error)
    prune(error, _is_deliberate)
    text = _traceback(error)
    if isinstance(error, SystemExit):
        code = shorten(repr(error.code), ERROR_LINE)
        summary = f"the step called sys.exit({code}); a step ends by returning, or by raising an exception"
    else:
        summary = error_line(error)
    shown = secrets.hide(text)
    summary = secrets.hide(summary)
    classes = tuple(f"{c.__module__}.{c.__qualname__}" for c in type(error).__mro__ if c is not object)
    exception = None if _would_steer(error) or shown != text else _keep(error, store)
    return Failed(message.token, failure, summary, shown, exception, classes, meter.read(), bad_blob)


def _traceback(error: BaseException, depth: int = 0) -> str:
    """The traceback as Python prints it; of a group, equal members once."""
    import traceback

    if not isinstance(error, BaseExceptionGroup):
        return "".join(traceback.format_exception(error))
    from headrace._base.groups import members_text

    whole = traceback.TracebackException.from_exception(error)
    whole.exceptions = None  # what the members are is told below
    return "".join(whole.format()) + members_text(error, lambda one: _traceback(one, depth + 1), depth)


def _name_the_debugger(error: BaseException) -> None:
    """Say what to do in an error that only means that a step has no terminal: of ``input()``, of ``breakpoint()``."""
    kind = type(error)
    from_input = kind is EOFError and error.args == ("EOF when reading a line",)
    if not from_input and not (kind.__name__ == "BdbQuit" and kind.__module__ == "bdb" and not error.args):
        return
    if os.path.samestat(os.fstat(0), os.stat(os.devnull)):  # noqa: PTH116 - not under --debug
        error.args = (f"{''.join(error.args) or 'breakpoint()'}: a step has no terminal; {_DEBUG}",)


def _is_deliberate(error: BaseException) -> bool:
    return isinstance(error, HeadraceError)


def _would_steer(error: BaseException) -> bool:
    """Whether raising ``error`` in the flow would mean something else there: the end of the flow, or of a coroutine."""
    return not isinstance(error, Exception) and type(error).__module__ in ("builtins", "asyncio.exceptions")


def _keep(error: BaseException, store: ArtifactStore) -> Packed | None:
    from headrace.stores.codecs.exceptions import pack_exception

    try:
        return pack_exception(error, store)
    except StoreError:  # the text of the error has to do
        return None
