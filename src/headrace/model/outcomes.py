"""Why a task, or one attempt of it, has no result: a type for each kind of failure.

``failure`` is how the kind is called in records and in messages of workers. It is compared nowhere else: ask for the
type.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from headrace.model.records import TaskId
from headrace.model.states import Failure
from headrace.model.values import Packed

NO_ID = TaskId("", -1)
#: The kinds by what they are called; of two with one name, the first.
OUTCOMES: dict[str, type[Problem]] = {}


class Problem(msgspec.Struct, frozen=True):
    """What all kinds have; what the waiting flow turns into an exception.

    ``classes`` are the names of the exception's class and its bases. ``upstream`` is the problem of the task that this
    came from, and ``task`` that task, where it is another one.
    """

    failure: ClassVar[str] = ""

    error: str
    traceback: str = ""
    exception: Packed | None = None
    classes: tuple[str, ...] = ()
    exit_code: int | None = None
    upstream: Problem | None = None
    task: TaskId = NO_ID

    def __init_subclass__(cls) -> None:
        OUTCOMES.setdefault(str(cls.failure), cls)


class Raised(Problem, frozen=True):
    """The step raised an exception."""

    failure = Failure.ERROR


class NeverStarts(Problem, frozen=True):
    """It asks for more than there can ever be room for."""

    failure = Failure.ERROR


class NotSetUp(Problem, frozen=True):
    """The environment of its step cannot be had."""

    failure = Failure.ERROR


class TimedOut(Problem, frozen=True):
    """It ran longer than its step allows, and was killed."""

    failure = Failure.TIMEOUT


class OutOfMemory(Problem, frozen=True):
    """It used more memory than it asked for, or than there is."""

    failure = Failure.MEMORY


class Crashed(Problem, frozen=True):
    """Its worker died of a signal such as SIGSEGV."""

    failure = Failure.CRASH


class Exited(Problem, frozen=True):
    """It ended its worker's process."""

    failure = Failure.EXIT


class Killed(Problem, frozen=True):
    """Its worker was killed from outside, or is lost."""

    failure = Failure.KILLED


class InputUnreadable(Problem, frozen=True):
    """An input could not be read back from the store."""

    failure = Failure.INPUT


class NotStored(Problem, frozen=True):
    """Its result could not be stored."""

    failure = Failure.STORE


class Cancelled(Problem, frozen=True):
    """It was cancelled, or a task that it needed."""

    failure = "cancelled"


class UpstreamFailed(Problem, frozen=True):
    """A task that it needed has no result."""

    failure = "upstream"


#: The kinds that are not of the task's own making.
NOT_ITS_OWN = (Cancelled, UpstreamFailed)


def outcome(failure: str) -> type[Problem]:
    """The kind that is called ``failure``; one that this version does not know counts as raised."""
    return OUTCOMES.get(failure, Raised)
