"""The result of a step that may not be there yet."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from headrace.frontends.native.value_guard import ValueGuard
from headrace.model.errors import BlobError, CallError, UsageError
from headrace.stores import codecs

if TYPE_CHECKING:
    from types import FrameType

    from headrace.model.calls import TaskHandle
    from headrace.services.session import Session

T = TypeVar("T")


class Owner(Protocol):
    """The run that a future is of."""

    name: str
    session: Session

    def read(self, task: TaskHandle) -> Any:
        """The return value of a finished task."""


_UNREAD: Any = object()


@codecs.is_hole
class Future(ValueGuard, Generic[T]):
    """What ``step.submit(...)`` returns at once: a task of the run, and its result when it is there.

    Passed to another step, itself or inside any container, it is a dependency, and its value never travels through
    the flow's process. It can be awaited in an async flow.
    """

    __slots__ = ("_drivers", "_error", "_run", "_task", "_value")

    #: Whether steps were submitted outside of a run, so that arguments of steps called there may hold futures.
    outside = False

    def __init__(self, run: Owner | None, task: TaskHandle | None) -> None:
        self._run = run
        self._task = task
        self._value: Any = _UNREAD
        self._error: BaseException | None = None
        self._drivers: dict[Any, Generator[Any, None, T]] | None = None

    @staticmethod
    def of(value: T) -> Future[T]:
        """A future that is done already: what ``submit`` returns outside a run."""
        Future.outside = True
        done: Future[T] = Future(None, None)
        done._value = value
        return done

    @staticmethod
    def failed(error: BaseException) -> Future[Any]:
        """A future that is done already and has failed."""
        Future.outside = True
        done: Future[Any] = Future(None, None)
        done._error = error
        return done

    def result(self, timeout: float | None = None) -> T:
        """The step's return value, the same object each time; waits for it.

        Raises:
            TimeoutError: ``timeout`` seconds passed; the task goes on.
            Exception: whatever the step raised, or a ``TaskError`` when it was killed, timed out or cancelled.
        """
        if self._value is not _UNREAD:
            value: T = self._value
            return value
        try:
            if self._error is None:
                self._read(timeout)
            if self._error is not None:
                raise self._error
            return self._value  # type: ignore[no-any-return]
        finally:  # else the error, its traceback, this frame and the future are a cycle, which keeps the run's store
            del self

    def _read(self, timeout: float | None) -> None:
        """Wait for the task, and keep its result or its error."""
        assert self._run is not None and self._task is not None
        if not self._run.session.wait(self._task, timeout):
            raise TimeoutError(f"step {self._task.step.name!r} has not finished after {timeout:g} s")
        if self._task.problem is not None:
            self._run.session.seen(self._task)
            self._error = self._run.session.exception(self._task)
            return
        try:
            self._value = self._run.read(self._task)
        except BlobError:
            self._value = self._make_again()

    def _make_again(self) -> Any:
        """The result of a task whose stored bytes cannot be read: run the task again, up to three times."""
        assert self._run is not None and self._task is not None
        for _ in range(3):
            self._task = self._run.session.recall(self._task.id)
            self._run.session.wait(self._task)
            if self._task.problem is not None:
                raise self._run.session.exception(self._task) from None
            with contextlib.suppress(BlobError):
                return self._run.read(self._task)
        return self._run.read(self._task)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What ``result`` would raise, or None; waits for the end of the task."""
        try:
            self.result(timeout)
        except TimeoutError as error:
            if error is not self._error:
                raise
            return error
        except BaseException as error:
            if error is not self._error:
                raise
            return error
        return None

    def done(self) -> bool:
        """Whether the task is over, well or not."""
        if self._task is None:
            return True
        return self._task.done

    def cancel(self) -> bool:
        """Stop the task, killing it if it runs; False when it was over already."""
        if self.done():
            return False
        assert self._run is not None
        self._run.session.cancel(self._task)
        return True

    @property
    def name(self) -> str:
        """``train/42/fit/3``, or without its number while the task waits for its inputs."""
        if self._task is None or self._run is None:
            return ""
        number = self._task.id.number
        return f"{self._run.name}/{self._task.step.name}" + (f"/{number}" if number >= 0 else "")

    # --- asyncio ----------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, T]:
        if not self.done():
            import asyncio

            loop = asyncio.get_running_loop()
            over = loop.create_future()
            assert self._run is not None and self._task is not None
            session, task = self._run.session, self._task

            def tell() -> None:
                with contextlib.suppress(RuntimeError):  # the event loop has ended, and with it the wait
                    loop.call_soon_threadsafe(_settle, over)

            session.notify(task, tell)
            try:
                yield from over.__await__()
            except asyncio.CancelledError:
                session.abandon(task, tell)
                raise
        return self.result()

    # A coroutine has these, and what asyncio is given by ``create_task`` must be one. Each task that drives it has an
    # iteration of its own, so several may wait for one future.

    def send(self, value: Any) -> Any:
        """Go on with the iteration of the running asyncio task; asyncio calls it."""
        return self._drive(lambda driver: driver.send(value))

    def throw(self, *error: Any) -> Any:
        """Raise an error where the running asyncio task waits for the result; asyncio calls it."""
        return self._drive(lambda driver: driver.throw(*error))

    def close(self) -> None:
        """Give up an iteration that did not end, as closing a coroutine does. The task has one waiter less."""
        drivers, self._drivers = self._drivers, None
        for driver in (drivers or {}).values():
            driver.close()
        self._give_up()

    def _drive(self, go_on: Callable[[Generator[Any, None, T]], Any]) -> Any:
        import asyncio

        by = asyncio.current_task()
        if self._drivers is None:
            self._drivers = {}
        driver = self._drivers.get(by)
        began = driver is not None
        if driver is None:
            driver = self._drivers[by] = self.__await__()
        try:
            return go_on(driver)
        except BaseException as error:  # it is over; StopIteration carries the result
            self._drivers.pop(by, None)
            if not began and isinstance(error, asyncio.CancelledError):  # it was cancelled before it waited
                self._give_up()
            raise

    def _give_up(self) -> None:
        if self._run is not None and self._task is not None and not self.done():
            self._run.session.abandon(self._task)

    def __reduce__(self) -> Any:
        if self._task is None:
            if self._error is not None:
                raise self._error
            return _same, (self._value,)
        return codecs.reduce_hole(self)

    def __repr__(self) -> str:
        state = "done" if self._task is None else str(self._task.state)
        return f"<Future {self.name or repr(self._value)}: {state}>"


@codecs.is_hole
class AsyncCall(Future[T]):
    """What calling an async step gives: a future that counts as a coroutine, as the call of its function would.

    ``inspect.iscoroutine`` looks at the class alone, so it is told the class of coroutines. The task has started; the
    call can be awaited, given to ``create_task`` and the like, passed on to a step, or left alone.
    """

    __slots__ = ()

    if not TYPE_CHECKING:

        @property
        def __class__(self) -> type:
            return CoroutineType

    @property
    def __name__(self) -> str:
        """The name of the step."""
        return "" if self._task is None else self._task.step.name

    @property
    def cr_running(self) -> bool:
        """As of coroutines: whether it is being driven at this moment."""
        return any(driver.gi_running for driver in self._iterations())

    @property
    def cr_suspended(self) -> bool:
        """As of coroutines: whether an asyncio task waits in it."""
        return any(driver.gi_suspended for driver in self._iterations())

    @property
    def cr_frame(self) -> FrameType | None:
        """As of coroutines: where it waits."""
        return next((driver.gi_frame for driver in self._iterations()), None)

    @property
    def cr_await(self) -> Any:
        """As of coroutines: what it waits for."""
        return next((driver.gi_yieldfrom for driver in self._iterations()), None)

    def _iterations(self) -> list[Any]:
        return list((self._drivers or {}).values()) or [self.__await__()]


def results_of(value: Any) -> Any:
    """``value`` with results in place of futures: what a flow means that returns futures, or a list of them."""
    if isinstance(value, Future):
        return value.result()
    if type(value) in (list, tuple) and any(isinstance(one, Future) for one in value):
        return type(value)(map(results_of, value))
    if type(value) is dict and any(isinstance(one, Future) for one in value.values()):
        return {key: results_of(one) for key, one in value.items()}
    return value


def _settle(waiting: Any) -> None:
    if not waiting.done():  # cancelled meanwhile
        waiting.set_result(None)


def _same(value: T) -> T:
    return value


if sys.version_info >= (3, 11):

    class Waited(NamedTuple, Generic[T]):
        """What ``wait`` returns."""

        done: list[Future[T]]
        pending: list[Future[T]]

else:  # there it cannot be generic

    class Waited(msgspec.Struct, frozen=True):
        """What ``wait`` returns."""

        done: list[Future[Any]]
        pending: list[Future[Any]]


def wait(futures: Iterable[Future[T]], timeout: float | None = None, *, first: bool = False) -> Waited[T]:
    """Wait until all ``futures`` are over, or with ``first`` any of them, or ``timeout`` seconds have passed."""
    futures = _futures(futures, "wait")
    deadline = None if timeout is None else time.monotonic() + timeout
    if first:
        for _ in _in_order_of_end(futures, deadline):
            break
    else:
        for future in futures:
            if future._task is None:
                continue
            assert future._run is not None
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            future._run.session.wait(future._task, left)
    return Waited([f for f in futures if f.done()], [f for f in futures if not f.done()])


def as_completed(futures: Iterable[Future[T]], timeout: float | None = None) -> Iterator[Future[T]]:
    """Yield ``futures`` as they end.

    Raises:
        TimeoutError: not all were over after ``timeout`` seconds.
    """
    futures = _futures(futures, "as_completed")
    deadline = None if timeout is None else time.monotonic() + timeout
    seen = 0
    for future in _in_order_of_end(futures, deadline):
        seen += 1
        yield future
    if seen < len(futures):
        raise TimeoutError(f"{len(futures) - seen} of {len(futures)} tasks have not finished after {timeout:g} s")


def _futures(given: Any, caller: str) -> list[Future[Any]]:
    """``given`` as a list.

    Raises:
        CallError: it is not a collection of futures.
    """
    wrong_item = not isinstance(given, (Future, str, bytes)) and isinstance(given, Iterable)
    if wrong_item:
        futures = list(given)
        others = [one for one in futures if not isinstance(one, Future)]
        if not others:
            return futures
        given = others[0]
    raise CallError(
        f"headrace.{caller} takes a list of futures, such as step.map(...) returns; "
        f"{type(given).__name__!r} is not a {'future' if wrong_item else 'list of futures'}"
    )


def _in_order_of_end(futures: list[Future[T]], deadline: float | None) -> Iterator[Future[T]]:
    from collections import deque

    over: deque[Future[T]] = deque()
    some = threading.Semaphore(0)

    def teller(future: Future[T]) -> Any:
        def tell() -> None:
            over.append(future)
            some.release()

        return tell

    for future in futures:
        if future._task is None:
            teller(future)()
        else:
            assert future._run is not None
            future._run.session.notify(future._task, teller(future))
    for _ in futures:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not some.acquire(timeout=left):
            return
        future = over.popleft()
        if future._run is not None and future._run.session.failure is not None and not future.done():
            raise future._run.session.failure
        yield future


def refuse_foreign(future: Future[Any], run: Owner) -> None:
    """A future of another run cannot be a dependency in this one.

    Raises:
        UsageError: it is one.
    """
    if future._run is not run:
        raise UsageError(f"{future!r} belongs to another run; pass its .result() instead")
