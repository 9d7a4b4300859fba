"""Problems of tasks as exceptions: the step's own one where there is one, with its traceback as the cause."""

from __future__ import annotations

from headrace._base.texts import ERROR_LINE, shorten
from headrace.model import errors
from headrace.model.calls import TaskHandle
from headrace.model.outcomes import (
    Cancelled,
    Crashed,
    Exited,
    Killed,
    NotSetUp,
    NotStored,
    OutOfMemory,
    Problem,
    TimedOut,
    UpstreamFailed,
)
from headrace.stores.artifacts.protocol import ArtifactStore

_TYPES: dict[type[Problem], type[errors.HeadraceError]] = {
    TimedOut: errors.TaskTimeoutError,
    OutOfMemory: errors.TaskOutOfMemoryError,
    NotSetUp: errors.EnvironmentSetupError,
    NotStored: errors.NotStorableError,
    Crashed: errors.TaskCrashedError,
    Exited: errors.TaskCrashedError,
    Killed: errors.TaskCrashedError,
    Cancelled: errors.TaskCancelledError,
    UpstreamFailed: errors.UpstreamFailedError,
}


def exception_of(task: TaskHandle, run: str, store: ArtifactStore) -> BaseException:
    """What waiting for ``task`` raises. The exception carries ``headrace_task``, the name of the task that failed.

    When that is another one, which ``task`` needed, its exception is the cause.
    """
    problem = task.problem
    assert problem is not None
    name = f"{run}/{task.id}" if task.id.number >= 0 else f"{run}/{task.step.name}"
    exception = _exception(problem, name, store)
    if problem.upstream is not None:
        if problem.task.number >= 0:
            name = f"{run}/{problem.task}"
        exception.__cause__ = _exception(problem.upstream, name, store)
    exception.headrace_task = name  # type: ignore[attr-defined]
    return exception


def _exception(problem: Problem, name: str, store: ArtifactStore) -> BaseException:
    exception, traceback = _own(problem, store), problem.traceback
    if exception is None:
        exception = _TYPES.get(type(problem), errors.TaskError)(f"task {name}: {problem.error}")
    else:
        traceback = _without_message(traceback, exception)
    if traceback:
        exception.__cause__ = errors.RemoteTraceback(traceback)
    return exception


def _without_message(traceback: str, exception: BaseException) -> str:
    """``traceback`` with a long message shortened: the exception itself, which is shown with it, has the whole one."""
    import traceback as formats

    last = "".join(formats.format_exception_only(exception))
    if len(last) <= ERROR_LINE or not traceback.endswith(last):
        return traceback
    return traceback.removesuffix(last) + shorten(last, ERROR_LINE) + "\n"


def _own(problem: Problem, store: ArtifactStore) -> BaseException | None:
    """The exception that the step raised, when it could travel."""
    if problem.exception is None:
        return None
    from headrace.stores.codecs.exceptions import unpack_exception

    try:
        return unpack_exception(problem.exception, store)
    except Exception:  # its class cannot be imported here, say: the text tells the story
        return None
