"""From a flow and its parameters to a finished run."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import CoroutineType
from typing import Any

import msgspec

from headrace._base.attributes import own
from headrace._base.collection import CollectionPausedForImports
from headrace._base.process import claim_standard_descriptors
from headrace._base.redaction import looks_secret, redact
from headrace._base.sizes import parse_duration
from headrace.frontends.native.futures import results_of
from headrace.frontends.native.load import canonical_main
from headrace.frontends.native.named_secrets import NamedSecrets, steps_of
from headrace.frontends.native.options import Runnable
from headrace.frontends.native.runner import Running
from headrace.frontends.native.script import advise, prune, show_well
from headrace.frontends.native.seeds import chosen_seed, flow_seeded
from headrace.frontends.native.signature import unwrapped
from headrace.frontends.native.stops import left_by_stop, raised_when_stopped
from headrace.model.environments import Environment
from headrace.model.errors import (
    HeadraceError,
    LeaseLostError,
    MissingSecretError,
    NotStorableError,
    ParameterError,
    StoreError,
    TaskCancelledError,
    UpstreamFailedError,
    UsageError,
)
from headrace.model.params import to_text
from headrace.model.records import Input, RunRecord
from headrace.model.states import RunState
from headrace.model.workers import LOCAL
from headrace.runtime import ambient
from headrace.runtime.context import reading
from headrace.runtime.secrets import Secret, hide
from headrace.services.flowlog import FlowOutput
from headrace.services.places import Places
from headrace.services.session import NewSession, Reproduces, Resume, Session, recorded_details
from headrace.services.start import closed_on_error, open_session, reopen_session, start_workers
from headrace.services.stores import Stores
from headrace.services.tracking import RunLog
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.wiring import Scope, WorkerOptions

#: Called with each session that this process begins; the command line shows its progress.
observers: list[Callable[[Session], None]] = []


class Ended(msgspec.Struct, frozen=True):
    """A run that is over, and what the flow returned or raised."""

    run: RunRecord
    value: Any
    error: BaseException | None


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """Where to run, and how, where that differs from what flow and settings say."""

    scope: Scope
    resume: Resume | None = None
    recorded: bool = False  # a run that is resumed: with the code that it kept, not its file
    max_parallel: int = 0
    use_cache: bool = True
    keep_going: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    seed: int | None = None
    environment: str = ""  # name of the environment of steps that name none, instead of the flow's
    place: str = ""  # where tasks run whose step names no place; default: on this machine
    driver: str = "here"  # or "cluster", where the place is one; empty: as the place says
    debug: bool = False  # one task at a time, which keeps the terminal: for ``breakpoint()`` in a step
    reproduces: Reproduces | None = None  # the earlier run that is run again


def run_flow(
    flow: Runnable,
    values: dict[str, Any],
    how: Launch,
    *,
    reraise: bool = True,
    began: Callable[[Session], None] | None = None,
) -> Ended:
    """Run ``flow`` with bound parameters ``values`` to its end; ``began`` is told its session before it starts.

    Raises:
        BaseException: with ``reraise`` what the flow raised; without, only what kept the run from starting, and
            interrupts.
    """
    show_well()
    claim_standard_descriptors()
    values = _with_secrets(values)
    named = NamedSecrets(how.scope.secret_sources)
    named.look_for(flow)
    session = _open(flow, values, how, named.names)
    if began is not None:
        began(session)
    run = Running(session, named, how.scope.variables)
    log = RunLog(session.run, session.stores, session.write)
    with (
        session.interruptible(),
        ambient.entered(ambient.Ambient(run.name, log, calls=run, secrets=session.secrets, scope=how.scope)),
        FlowOutput(session),
        flow_seeded(session, given=_given_seed(flow, how) is not None),
    ):
        ended = _drive(flow, values, session, run, log)
    if how.reproduces is None:
        _call_hook(flow, ended, how.scope)
    if ended.error is not None and (reraise or isinstance(ended.error, (KeyboardInterrupt, SystemExit))):
        advise(ended.error, ended.run, session.stores.metadata)
        raise ended.error
    if ended.error is not None:
        _forget_frames(ended.error)
    return ended


def _forget_frames(error: BaseException) -> None:
    """Drop the tracebacks of an error that is handed out as a value.

    Their frames refer to the error, to the run and to its store, which would be kept until a garbage collection.
    """
    stack, seen = [error], set[int]()
    while stack:
        one = stack.pop()
        if id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            stack += [other for other in (one.__cause__, one.__context__) if other is not None]
            stack += getattr(one, "exceptions", ())


async def run_flow_async(flow: Runnable, values: dict[str, Any], how: Launch) -> Any:
    """The same inside a running event loop, which stays free: the flow gets a loop and a thread of its own.

    Cancelling the call cancels the run, and waits for its end.
    """
    import asyncio

    sessions: list[Session] = []
    ending = asyncio.ensure_future(asyncio.to_thread(run_flow, flow, values, how, began=sessions.append))
    try:
        return (await asyncio.shield(ending)).value
    except asyncio.CancelledError:
        while not (sessions or ending.done()):
            await asyncio.sleep(0.01)
        while not ending.done():
            for session in sessions:
                session.stop("its caller")
            with contextlib.suppress(asyncio.CancelledError):  # once more: it has cleaned up for long enough
                await asyncio.wait([ending])
        if not ending.cancelled():
            ending.exception()  # it says that the run was cancelled, which the caller knows
        raise


def _files_of_commands(flow: Runnable, entry: str, limit: int) -> tuple[tuple[str, str], ...]:
    """The files that commands of the flow take into their working folders, for its code; none over ``limit`` bytes."""
    home = Path(entry.rpartition(":")[0]).parent
    found: dict[str, str] = {}
    for step in steps_of(flow):
        if step.is_command:
            command: Any = step
            with contextlib.suppress(UsageError, OSError):  # a call of the command raises it
                for path in command.local_files().values():
                    if path.stat().st_size <= limit:
                        found[os.path.relpath(path, home)] = str(path)
    return tuple((place, path) for place, path in found.items() if not place.startswith(".."))


def _open(flow: Runnable, values: dict[str, Any], how: Launch, secrets: tuple[str, ...]) -> Session:
    if reading.active:
        raise UsageError(
            f"flow {flow.name!r} was called while its file was imported, by a worker or to read a stored object whose "
            'class is in it; put the call under: if __name__ == "__main__":'
        )
    canonical_main()
    session = _open_new(flow, values, how, secrets) if how.resume is None else _reopen(flow, values, how, secrets)
    for observer in observers:
        observer(session)
    return session


def _open_new(flow: Runnable, values: dict[str, Any], how: Launch, secrets: tuple[str, ...]) -> Session:
    places = _places(flow, how, how.place)
    # First of all: workers get ready while this process loads and opens what it needs itself.
    executor = None if places.hands_over else start_workers(places)
    with closed_on_error(executor):
        stores = _stores(how)
        new = _new_session(flow, values, how, secrets, stores, how.environment)
    return open_session(stores, places, new, executor=executor)


def _reopen(flow: Runnable, values: dict[str, Any], how: Launch, secrets: tuple[str, ...]) -> Session:
    assert how.resume is not None
    stores = _stores(how)
    run = how.resume.run
    before = recorded_details(how.scope.store_wait()(lambda: stores.metadata.run_by_id(run.id)) or run)
    places = _places(flow, how, how.place or before.place)
    # Elsewhere it shows to others that workers get ready, so not before the run is this process's.
    executor = start_workers(places) if places.default == LOCAL else None
    with closed_on_error(executor):
        new = _new_session(flow, values, how, secrets, stores, how.environment or before.environment)
    return reopen_session(stores, places, new, how.resume, executor=executor)


def _stores(how: Launch) -> Stores:
    with CollectionPausedForImports():  # this imports what stores are made of
        return how.scope.opened_stores()


def _places(flow: Runnable, how: Launch, default: str) -> Places:
    module = sys.modules.get(flow.__module__)
    preload = (flow.__module__,) if getattr(module, "__file__", None) and flow.__module__ != "__main__" else ()
    workers = WorkerOptions(preload=preload, debug=how.debug, entry=entry_of(flow), driver=how.driver)
    return how.scope.workspace.places(workers, default)


def _new_session(
    flow: Runnable, values: dict[str, Any], how: Launch, secrets: tuple[str, ...], stores: Stores, environment: str
) -> NewSession:
    """``environment``: the name of the one that steps have which name none, instead of the flow's."""
    scope, settings, given = how.scope, how.scope.settings, environment
    entry = entry_of(flow)
    rules = scope.workspace.code_rules(entry.rpartition(":")[0])
    if how.environment:  # which no step may come to ask for
        scope.workspace.environments.named_as(Environment(name=how.environment))
    return NewSession(
        flow=flow.name,
        entry=entry,
        code=rules,
        files=_files_of_commands(flow, entry, rules.file_limit),
        inputs=scope.store_wait()(lambda: _inputs(values, stores.artifacts.hasty())),
        params=tuple((name, redact(to_text(value))) for name, value in values.items()),
        tags=(*(tag.partition("=")[::2] for tag in flow.settings.tags), *how.tags),
        max_parallel=1 if how.debug else how.max_parallel or flow.settings.max_parallel or settings.max_parallel,
        cleanup=parse_duration(settings.cleanup if flow.settings.cleanup is None else flow.settings.cleanup),
        store_wait=parse_duration(settings.store_wait),
        use_cache=how.use_cache,
        keep_going=how.keep_going or flow.settings.keep_going,
        seed=chosen_seed(_given_seed(flow, how)),
        environment=Environment(name=given) if given else flow.settings.environment,
        given_environment=given,
        reproduces=how.reproduces,
        secrets=secrets,
    )


def _with_secrets(values: dict[str, Any]) -> dict[str, Any]:
    """``values`` with secrets named after their parameters; warns of a text that should have been a secret.

    Raises:
        ParameterError: the value of a secret is not there.
    """
    found = dict(values)
    for name, value in values.items():
        if isinstance(value, Secret):
            found[name] = value.named(name)
            try:
                value.reveal()
            except MissingSecretError as error:
                raise ParameterError(f"parameter {name!r}: {error}") from None
        elif type(value) is str and looks_secret(value):
            print(
                f"headrace: parameter {name!r} looks like a secret, and its value is stored with the run; "
                f"declare it as `{name}: headrace.Secret` to keep it out of the store",
                file=sys.stderr,
            )
    return found


def _given_seed(flow: Runnable, how: Launch) -> int | None:
    return flow.settings.seed if how.seed is None else how.seed


def _inputs(values: dict[str, Any], artifacts: ArtifactStore) -> tuple[Input, ...]:
    found = []
    for name, value in values.items():
        try:
            found.append(Input(name, codecs.pack(value, artifacts)))
        except NotStorableError as error:
            raise ParameterError(f"parameter {name!r}: {error}") from None
    return tuple(found)


def entry_of(flow: Runnable) -> str:
    """How to load the flow again: ``/path/train.py:train``, or just its name when it has no file."""
    code = unwrapped(flow.__wrapped__).__code__
    path = code.co_filename
    if path.startswith("<") or not os.path.exists(path):  # noqa: PTH110
        return f":{flow.__qualname__}"
    return f"{os.path.abspath(path)}:{flow.__qualname__}"  # noqa: PTH100


def _drive(flow: Runnable, values: dict[str, Any], session: Session, run: Running, log: RunLog) -> Ended:
    try:
        result = flow.__wrapped__(**values)
        if flow.is_async and isinstance(result, CoroutineType):
            result = _await(result, session)
        result = results_of(result)
        run.drain()
        if session.cancelled_by:  # and the flow went on nevertheless
            raise _cancelled(session)
        log.close()
    except BaseException as error:
        return _fail(session, run, log, error)
    try:
        return Ended(session.finish(RunState.SUCCEEDED, result=(result,)), result, None)
    except HeadraceError as error:  # the result cannot be stored, or nothing can any more
        prune(error)
        return Ended(session.stores.metadata.run_by_id(session.run.id) or session.run, None, error)


def _await(coroutine: Any, session: Session) -> Any:
    """What the coroutine of an async flow returns; cancelling the run cancels it."""
    import asyncio

    async def main() -> Any:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop(tell: Callable[[], None]) -> None:
            def cancel() -> None:
                tell()
                task.cancel()

            _call_in(loop, cancel)

        with session.stopped_by(stop):
            return await coroutine

    return asyncio.run(main())


def _call_in(loop: Any, function: Callable[[], Any]) -> None:
    with contextlib.suppress(RuntimeError):  # the event loop has ended
        loop.call_soon_threadsafe(function)


def _fail(session: Session, run: Running, log: RunLog, error: BaseException) -> Ended:
    """The flow raised: stop what runs or let it finish, and record how the run ended."""
    from headrace.services.tracebacks import describe

    state, left = RunState.FAILED, None
    if session.cancelled_by:
        state = RunState.CANCELLED
        left = raised_when_stopped(error)
        error = _cancelled(session)
        error.__context__ = left
    elif isinstance(error, KeyboardInterrupt) or (session.interrupted and left_by_stop(error)):
        state = RunState.INTERRUPTED
    if isinstance(error, (LeaseLostError, StoreError)) and session.failure is error:
        session.close()
        prune(error)
        return Ended(session.run, None, error)
    kill = state is not RunState.FAILED or not session.keep_going
    try:
        if kill:
            session.ending()
        if session.stopping:  # what was called to clean up, without waiting, has its time
            session.wait_idle()
        run.settle(kill=kill)
    except KeyboardInterrupt:  # what was to go on has gone on long enough
        session.ending()
        run.settle(kill=True)
    if session.failure is None:
        log.close()
    prune(error)
    text, summary = describe(error)
    if left is not None:
        raised, line = describe(left)
        text = f"{raised}\nThe flow raised the above exception while it was stopped:\n\n{text}"
        summary = f"{summary}; the flow raised {line}"
    if isinstance(error, UpstreamFailedError) and error.__cause__ is not None:
        summary = describe(error.__cause__)[1]  # of the task that is to blame, as ``failed_task`` is
    failed_task = own(error, "headrace_task", "").removeprefix(session.run.name + "/")
    ended = session.finish(state, error=hide(summary), traceback=hide(text), failed_task=failed_task)
    return Ended(ended, None, error)


def _cancelled(session: Session) -> TaskCancelledError:
    return TaskCancelledError(f"run {session.run.name} was cancelled by {session.cancelled_by}")


def _call_hook(flow: Runnable, ended: Ended, scope: Scope) -> None:
    hook = flow.settings.on_success if ended.run.state is RunState.SUCCEEDED else flow.settings.on_failure
    if hook is None or ended.run.state in (RunState.INTERRUPTED, RunState.RUNNING):
        return
    from headrace.client.runs import Run

    try:
        hook(Run._in(scope, ended.run.name))
    except Exception as error:  # the run is over; a hook cannot change how it ended
        import traceback

        own = error.__traceback__.tb_next if error.__traceback__ is not None else None
        print(f"headrace: the hook {getattr(hook, '__name__', hook)} of run {ended.run.name} failed:", file=sys.stderr)
        traceback.print_exception(error.with_traceback(own))
