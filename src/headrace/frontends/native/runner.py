"""A native run in progress: arguments of step calls are packed here, and results unpacked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from headrace.frontends.native.definitions import Definitions
from headrace.frontends.native.futures import AsyncCall, Future, refuse_foreign
from headrace.frontends.native.named_secrets import NamedSecrets
from headrace.frontends.native.signature import item_call
from headrace.frontends.native.steps import Step
from headrace.model.calls import Call, PendingInput, PendingSource, StepInfo, TaskHandle
from headrace.model.errors import BlobError, NotStorableError
from headrace.model.values import Packed
from headrace.runtime import secrets
from headrace.services.session import Session
from headrace.stores import codecs

#: Results whose digests are remembered, to know them again when the flow passes them on by value.
_REMEMBERED = 10_000
#: Smaller values are too common to say where one came from.
_TELLING = 64


class Running:
    """The run that the flow function is executing, as its steps see it."""

    def __init__(self, session: Session, named_secrets: NamedSecrets, variables: Mapping[str, str]) -> None:
        self.session = session
        self._named_secrets = named_secrets
        self.name = session.run.name
        self.store = session.stores.artifacts
        self._definitions = Definitions(session, variables)
        self.waits: dict[tuple[str, str], int] = {}
        self._made: dict[bytes, tuple[TaskHandle, str]] = {}

    # --- calls to tasks ---------------------------------------------------------------------------------------

    def submit(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """Make a task of a call.

        Raises:
            TypeError: the call does not fit the function; NotStorableError: an argument cannot be stored.
        """
        return Future(self, self._submit(step, args, kwargs))

    def call(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> AsyncCall[Any]:
        """Make a task of a call of an async step; raises as ``submit``."""
        return AsyncCall(self, self._submit(step, args, kwargs, unheld=True))

    def run(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a task of a call and wait for its result; raises as ``submit``, and what the step raises."""
        task = self.session.call(self._call(step, args, kwargs))
        if task.done and task.problem is None:
            try:  # not ``suppress``, which is three more calls
                return self.read(task)
            except BlobError:  # it is made again
                pass
        return Future(self, task).result()

    def _submit(
        self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, unheld: bool = False
    ) -> TaskHandle:
        return self.session.submit(self._call(step, args, kwargs, unheld=unheld))[0]

    def _call(
        self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, unheld: bool = False
    ) -> Call:
        info = self._info(step)
        inputs = []
        for name, value in step.signature.bind(args, kwargs):
            inputs.append(self._input(step, name, value))
        return Call(info, tuple(inputs), unheld)

    def map(self, step: Step[..., Any], items: Iterable[Any], shared: dict[str, Any]) -> list[Future[Any]]:
        """Make a task per item. Arguments that they share are stored once."""
        info = self._info(step)
        place = step.signature.open_place(shared)
        calls = []
        before: tuple[PendingInput, ...] | None = None
        for item in items:
            bound = step.signature.bind(*item_call(place, item, shared))
            if before is None:
                at = [name for name, _ in bound].index(place) if place else 0
                before = tuple([self._input(step, name, value) for name, value in bound[:at]])
                after = tuple([self._input(step, name, value) for name, value in bound[at + 1 :]])
            calls.append(Call(info, (*before, self._input(step, *bound[at]), *after)))
        return [Future(self, task) for task in self.session.submit(*calls)]

    def _input(self, step: Step[..., Any], name: str, value: Any) -> PendingInput:
        if isinstance(value, Future) and value._task is not None:
            refuse_foreign(value, self)
            return PendingInput(name, None, (PendingSource(value._task, "result"),))
        try:
            packed, holes = codecs.pack_template(value, self.store)
        except NotStorableError as error:
            raise NotStorableError(f"argument {name.lstrip('/*')!r} of step {step.name!r}: {error}") from None
        if secrets.packing.met:
            self.session.share_secrets(secrets.take_packed())
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
        if step.policy.secrets:
            self._named_secrets.share(step, self.session)
        info = self._definitions.info(step)
        if secrets.packing.met:  # among the values of names that the step reaches
            self.session.share_secrets(secrets.take_packed())
        return info

    # --- results ----------------------------------------------------------------------------------------------

    def read(self, task: TaskHandle, output: str = "result") -> Any:
        """The return value of a finished task, or another output.

        Raises:
            BlobError: its bytes are gone or damaged.
        """
        packed: Packed = task.output(output)
        value = codecs.unpack(packed, self.store)
        # Passed on by value it is packed in another form: know it by that.
        if packed.codec == "parts" or packed.codec.startswith("pickle"):
            packed = codecs.pack(value, self.store)
        if packed.size >= _TELLING:
            self._remember(packed, task, output)
        if output == "result":
            for one in task.outputs[1:]:
                if one.value.size >= _TELLING:
                    self._remember(one.value, task, one.name)
        return value

    def _remember(self, packed: Packed, task: TaskHandle, output: str) -> None:
        if len(self._made) >= _REMEMBERED:
            del self._made[next(iter(self._made))]
        self._made[codecs.exact_digest(packed)] = (task, output)

    # --- the end ----------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Wait for tasks that the flow did not wait for.

        Raises:
            Exception: the first failure among them that the flow never saw.
        """
        self.session.wait_idle()
        failed = self.session.unseen()
        if failed is not None:
            raise self.session.exception(failed)

    def settle(self, *, kill: bool) -> None:
        """Wait until no task is live. With ``kill``, stop them first."""
        if kill and self.session.failure is None:
            self.session.cancel()
        self.session.wait_idle()
