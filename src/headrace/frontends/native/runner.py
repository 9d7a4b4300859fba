"""A native run in progress: calls of steps in, tasks out, results and exceptions back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headrace.engine.loop import Loop
from headrace.engine.tasks import PendingInput, PendingSource, StepInfo, Task
from headrace.frontends.native.definitions import Definitions
from headrace.frontends.native.futures import Call, Future, refuse_foreign
from headrace.frontends.native.signature import item_call
from headrace.frontends.native.steps import Step
from headrace.model.errors import NotStorableError, UsageError
from headrace.model.values import Packed
from headrace.runtime import secrets
from headrace.services.failures import exception_of
from headrace.services.session import Session
from headrace.stores import codecs

#: Results whose digests are remembered, to know them again when the flow passes them on by value.
_REMEMBERED = 10_000
#: Smaller values are too common to say where one came from.
_TELLING = 64


class Running:
    """The run that the flow function is executing, as its steps see it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.loop: Loop = session.loop
        self.name = session.run.name
        self.store = session.stores.artifacts
        self._definitions = Definitions(session)
        self.waits: dict[tuple[str, str], int] = {}
        self._made: dict[bytes, tuple[Task, str]] = {}

    # --- calls to tasks ---------------------------------------------------------------------------------------

    def submit(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """Make a task of a call.

        Raises:
            TypeError: the call does not fit the function; NotStorableError: an argument cannot be stored.
        """
        return Future(self, self._submit(step, args, kwargs))

    def call(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call[Any]:
        """Make a task of a call of an async step; raises as ``submit``."""
        task = self._submit(step, args, kwargs)
        task.handle.call = True  # type: ignore[attr-defined]
        return Call(self, task)

    def run(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a task of a call and wait for its result; raises as ``submit``, and what the step raises."""
        task = self._task(step, args, kwargs)
        self.loop.call(task)
        return Future(self, task).result()

    def _submit(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Task:
        task = self._task(step, args, kwargs)
        self.loop.submit(task)
        return task

    def _task(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Task:
        info = self._info(step)
        bound = step.signature.bind(args, kwargs)
        return Task(info, tuple([self._input(step, name, value) for name, value in bound]))

    def map(self, step: Step[..., Any], items: Iterable[Any], shared: dict[str, Any]) -> list[Future[Any]]:
        """Make a task per item; what they share is stored once."""
        info = self._info(step)
        place = step.signature.open_place(shared)
        tasks = []
        before: tuple[PendingInput, ...] | None = None
        for item in items:
            bound = step.signature.bind(*item_call(place, item, shared))
            if before is None:
                at = [name for name, _ in bound].index(place) if place else 0
                before = tuple([self._input(step, name, value) for name, value in bound[:at]])
                after = tuple([self._input(step, name, value) for name, value in bound[at + 1 :]])
            tasks.append(Task(info, (*before, self._input(step, *bound[at]), *after)))
        self.loop.submit(*tasks)
        return [Future(self, task) for task in tasks]

    def _input(self, step: Step[..., Any], name: str, value: Any) -> PendingInput:
        if isinstance(value, Future) and value._task is not None:
            refuse_foreign(value, self)
            return PendingInput(name, None, (PendingSource(value._task, "result"),))
        try:
            packed, holes = codecs.pack_template(value, self.store)
        except NotStorableError as error:
            raise NotStorableError(f"argument {name.lstrip('/*')!r} of step {step.name!r}: {error}") from None
        if secrets.packing.met:
            self._share_secrets()
        if holes:
            sources = []
            for hole in holes:
                assert isinstance(hole, Future) and hole._task is not None
                refuse_foreign(hole, self)
                sources.append(PendingSource(hole._task, "result"))
            return PendingInput(name, packed, tuple(sources))
        made = self._made.get(codecs.exact_digest(packed)) if packed.size >= _TELLING else None
        if made is not None:  # a result that the flow has read and passes on as it was
            return PendingInput(name, None, (PendingSource(*made),))
        return PendingInput(name, packed)

    def _info(self, step: Step[..., Any]) -> StepInfo:
        info = self._definitions.info(step)
        if secrets.packing.met:  # among the values of names that the step reaches
            self._share_secrets()
        return info

    def _share_secrets(self) -> None:
        """Let the workers know the secrets that were packed.

        Raises:
            UsageError: two secrets of the run have one name and different values.
        """
        shared = self.loop.workers.secrets
        for name, value in secrets.take_packed().items():
            if shared.setdefault(name, value) != value:
                raise UsageError(f"two secrets with different values are called {name!r}; give one another name")

    # --- results ----------------------------------------------------------------------------------------------

    def read(self, task: Task, output: str = "result") -> Any:
        """The return value of a finished task, or another output.

        Raises:
            BlobError: its bytes are gone or damaged.
        """
        packed: Packed = task.output(output)
        value = codecs.unpack(packed, self.store)
        # Passed on by value it is packed in another form: know it by that.
        if packed.codec == "parts" or packed.codec.startswith("pickle"):
            packed = codecs.pack(value, self.store)
        self._remember(packed, task, output)
        if output == "result":
            for one in task.outputs[1:]:
                self._remember(one.value, task, one.name)
        return value

    def _remember(self, packed: Packed, task: Task, output: str) -> None:
        if packed.size >= _TELLING:
            if len(self._made) >= _REMEMBERED:
                del self._made[next(iter(self._made))]
            self._made[codecs.exact_digest(packed)] = (task, output)

    def exception_of(self, task: Task) -> BaseException:
        """What waiting for a failed task raises."""
        return exception_of(task, self.name, self.store)

    def seen(self, task: Task) -> None:
        """The flow knows of this failure: it is the flow's to handle now."""
        problem = task.problem
        roots = (problem, problem.upstream if problem is not None else None)
        self.loop.failed = [t for t in self.loop.failed if not any(t.problem is root for root in roots)]

    # --- the end ----------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Wait for tasks that nobody waited for.

        Raises:
            Exception: the first failure among them that the flow never saw.
        """
        self.loop.wait_idle()
        if self.loop.failed:
            raise self.exception_of(self.loop.failed[0])

    def settle(self, *, kill: bool) -> None:
        """Leave no task live: stop them, or let them finish."""
        if kill and self.loop.failure is None:
            self.loop.cancel()
        self.loop.wait_idle()
