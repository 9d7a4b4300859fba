"""From a flow and its parameters to a finished run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from headrace.frontends.native.current import inside
from headrace.frontends.native.load import canonical_main
from headrace.frontends.native.options import Runnable
from headrace.frontends.native.parameters import to_text
from headrace.frontends.native.runner import Running
from headrace.frontends.native.script import advise, prune, show_well
from headrace.model.errors import HeadraceError, LeaseLostError, StoreError, TaskCancelledError, UsageError
from headrace.model.records import Input, RunRecord
from headrace.model.states import RunState
from headrace.services.flowlog import FlowOutput
from headrace.services.interrupts import Interruptible
from headrace.services.session import NewSession, Resume, Session, Stores, open_session, reopen_session
from headrace.services.tracking import RunLog, logging_to
from headrace.stores import codecs
from headrace.worker.context import reading

#: Called with each session that this process begins; the command line shows its progress.
observers: list[Callable[[Session], None]] = []


class Ended(NamedTuple):
    """A run that is over, and what the flow returned or raised."""

    run: RunRecord
    value: Any
    error: BaseException | None


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """How to run, where it differs from what flow and settings say."""

    resume: Resume | None = None
    max_parallel: int = 0
    use_cache: bool = True
    keep_going: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    debug: bool = False  # one task at a time, which keeps the terminal: for ``breakpoint()`` in a step


def run_flow(flow: Runnable, values: dict[str, Any], how: Launch | None = None, *, reraise: bool = True) -> Ended:
    """Run ``flow`` with bound parameters ``values`` to its end.

    Raises:
        BaseException: with ``reraise`` what the flow raised; without, only what kept the run from starting, and
            interrupts.
    """
    show_well()
    _claim_standard_descriptors()
    session = _open(flow, values, how or Launch())
    run = Running(session)
    log = RunLog(session.run, session.stores, session.loop.write)
    with Interruptible(session.loop), inside(run), logging_to(log), FlowOutput(session):
        ended = _drive(flow, values, session, run, log)
    _call_hook(flow, ended)
    if ended.error is not None and (reraise or isinstance(ended.error, (KeyboardInterrupt, SystemExit))):
        advise(ended.error, ended.run)
        raise ended.error
    return ended


def _claim_standard_descriptors() -> None:
    """Open what the process was started without, before a database or a socket gets one of these numbers."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


async def run_flow_async(flow: Runnable, values: dict[str, Any]) -> Any:
    """The same inside a running event loop, which stays free: the flow gets a loop and a thread of its own."""
    import asyncio

    ended = await asyncio.to_thread(run_flow, flow, values)
    return ended.value


def _open(flow: Runnable, values: dict[str, Any], how: Launch) -> Session:
    from headrace import wiring

    if reading.active:
        raise UsageError(
            f"flow {flow.name!r} was called while its file was imported, by a worker or to read a stored object whose "
            'class is in it; put the call under: if __name__ == "__main__":'
        )
    canonical_main()
    project = wiring.project()
    stores = Stores(project.metadata, project.artifacts, project.name)
    new = NewSession(
        flow=flow.name,
        entry=entry_of(flow),
        inputs=tuple(Input(name, codecs.pack(value, stores.artifacts)) for name, value in values.items()),
        params=tuple((name, to_text(value)) for name, value in values.items()),
        tags=(*((tag, "") for tag in flow.settings.tags), *how.tags),
        max_parallel=1
        if how.debug
        else how.max_parallel or flow.settings.max_parallel or project.settings.max_parallel,
        use_cache=how.use_cache,
        keep_going=how.keep_going or flow.settings.keep_going,
    )
    module = sys.modules.get(flow.__module__)
    preload = (flow.__module__,) if getattr(module, "__file__", None) and flow.__module__ != "__main__" else ()
    executor = project.executor(preload, debug=how.debug)
    if how.resume is not None:
        session = reopen_session(stores, executor, new, how.resume)
    else:
        session = open_session(stores, executor, new)
    for observer in observers:
        observer(session)
    return session


def entry_of(flow: Runnable) -> str:
    """How to load the flow again: ``/path/train.py:train``, or just its name when it has no file."""
    code = flow.__wrapped__.__code__
    path = code.co_filename
    if path.startswith("<") or not os.path.exists(path):  # noqa: PTH110
        return f":{flow.__qualname__}"
    return f"{os.path.abspath(path)}:{flow.__qualname__}"  # noqa: PTH100


def _drive(flow: Runnable, values: dict[str, Any], session: Session, run: Running, log: RunLog) -> Ended:
    try:
        result = flow.__wrapped__(**values)
        if flow.is_async:
            import asyncio

            result = asyncio.run(result)
        run.drain()
        log.close()
    except BaseException as error:
        return _fail(session, run, log, error)
    try:
        return Ended(session.finish(RunState.SUCCEEDED, result=(result,)), result, None)
    except HeadraceError as error:  # the result cannot be stored, or nothing can any more
        prune(error)
        return Ended(session.stores.metadata.run_by_id(session.run.id) or session.run, None, error)


def _fail(session: Session, run: Running, log: RunLog, error: BaseException) -> Ended:
    """The flow raised: stop what runs or let it finish, and record how the run ended."""
    state = RunState.FAILED
    if session.loop.cancel_requested:
        state = RunState.CANCELLED
        error = TaskCancelledError(f"run {session.run.name} was cancelled by {session.loop.cancel_requested}")
    elif isinstance(error, KeyboardInterrupt):
        state = RunState.INTERRUPTED
    if isinstance(error, (LeaseLostError, StoreError)) and session.loop.failure is error:
        session.close()
        prune(error)
        return Ended(session.run, None, error)
    try:
        run.settle(kill=state is not RunState.FAILED or not session.keep_going)
    except KeyboardInterrupt:  # the second one: no grace
        session.loop.kill_all()
        run.settle(kill=True)
    if session.loop.failure is None:
        log.close()
    prune(error)
    text, summary = describe(error)
    failed_task = getattr(error, "headrace_task", "").removeprefix(session.run.name + "/")
    ended = session.finish(state, error=summary, traceback=text, failed_task=failed_task)
    return Ended(ended, None, error)


def describe(error: BaseException) -> tuple[str, str]:
    """The traceback of an exception without our own frames, and its last line."""
    import traceback

    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(os.path.dirname(here))]  # noqa: PTH120
    cause = f"{error.__cause__}\n\n" if error.__cause__ is not None else ""
    text = "Traceback (most recent call last):\n" + "".join(traceback.format_list(frames))
    last = "".join(traceback.format_exception_only(type(error), error))
    return cause + text + last, last.strip().splitlines()[-1] if last.strip() else type(error).__name__


def _call_hook(flow: Runnable, ended: Ended) -> None:
    hook = flow.settings.on_success if ended.run.state is RunState.SUCCEEDED else flow.settings.on_failure
    if hook is None or ended.run.state in (RunState.INTERRUPTED, RunState.RUNNING):
        return
    from headrace.client.runs import Run

    try:
        hook(Run(ended.run.name))
    except Exception:  # the run is over; a hook cannot change how it ended
        import traceback

        print(f"headrace: the hook {getattr(hook, '__name__', hook)} of run {ended.run.name} failed:", file=sys.stderr)
        traceback.print_exc()
