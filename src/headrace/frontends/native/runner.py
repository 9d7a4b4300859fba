"""A native run in progress: calls of steps in, tasks out, results and exceptions back."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from headrace.engine.loop import Loop
from headrace.engine.tasks import PendingInput, PendingSource, StepInfo, Task
from headrace.frontends.native.futures import Call, Future, refuse_foreign
from headrace.frontends.native.signature import defaults_of, item_call
from headrace.frontends.native.steps import Step
from headrace.model.errors import DefinitionError, NotStorableError, UsageError
from headrace.model.messages import Define
from headrace.model.policy import StepPolicy
from headrace.model.values import Packed
from headrace.services.codeparts import with_variables
from headrace.services.failures import exception_of
from headrace.services.session import Session
from headrace.stores import codecs
from headrace.worker import registry, secrets

if TYPE_CHECKING:
    from headrace.engine.fingerprint import Fingerprint

#: Results whose digests are remembered, to know them again when the flow passes them on by value.
_REMEMBERED = 10_000
#: ``Step`` objects that are known by identity.
_KNOWN_STEPS = 1_000
#: Smaller values are too common to say where one came from.
_TELLING = 64


class Running:
    """The run that the flow function is executing, as its steps see it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.loop: Loop = session.loop
        self.name = session.run.name
        self.store = session.stores.artifacts
        self._steps: dict[int, tuple[Step[..., Any], StepInfo]] = {}
        self._infos: dict[tuple[int, str, StepPolicy | None], StepInfo] = {}
        self._plain: dict[int, Fingerprint] = {}
        self._lock = threading.Lock()
        self._names: dict[str, Any] = {}
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

    def _submit(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Task:
        info = self._info(step)
        bound = step.signature.bind(args, kwargs)
        task = Task(info, tuple([self._input(step, name, value) for name, value in bound]))
        self.loop.submit(task)
        return task

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

    def _share_secrets(self) -> None:
        """Let the workers know the secrets that were packed.

        Raises:
            UsageError: two secrets of the run have one name and different values.
        """
        shared = self.loop.crew.secrets
        for name, value in secrets.take_packed().items():
            if shared.setdefault(name, value) != value:
                raise UsageError(f"two secrets with different values are called {name!r}; give one another name")

    # --- steps ------------------------------------------------------------------------------------------------

    def _info(self, step: Step[..., Any]) -> StepInfo:
        known = self._steps.get(id(step))
        if known is not None:
            return known[1]
        with self._lock:
            base = self._infos.get((step.slot, step.name, None))
            if base is None:
                base = self._infos[(step.slot, step.name, None)] = self._introduce(step)
                self._infos[(step.slot, step.name, step.policy)] = base
            info = self._infos.get((step.slot, step.name, step.policy))
            if info is None:
                code = self._introduced(base.name, step).digest
                info = self.session.variant(base, step.policy, code)
                self._infos[(step.slot, step.name, step.policy)] = info
            if len(self._steps) >= _KNOWN_STEPS:  # made by ``options`` in a loop; they are found again by what they say
                self._steps.clear()
            self._steps[id(step)] = (step, info)
        return info

    def _introduce(self, step: Step[..., Any]) -> StepInfo:
        """Make a step known to the run; other policies are variants of what this returns."""
        name = self._unique(step)
        code = self._introduced(name, step)
        defaults = self._defaults(step.__wrapped__)
        return self.session.step(name, step.policy, code.digest, lambda number: _define(step, name, number), defaults)

    def _defaults(self, function: Any) -> dict[str, bytes]:
        """The digests of the defaults of ``function``: of those that can be stored, else nobody can write them out."""
        found = {}
        for name, value in defaults_of(function).items():
            with contextlib.suppress(NotStorableError):
                found[name] = codecs.pack(value, self.store).digest
        return found

    def _introduced(self, name: str, step: Step[..., Any]) -> Fingerprint:
        """The code of ``step``, with the variables that its policy sets."""
        plain = self._plain.get(step.slot)
        if plain is None:
            plain = self._plain[step.slot] = _code_of(step)
        code = with_variables(plain, step.policy.env)
        self.session.codes.introduce(name, code)
        self.loop.write_soon(*self.session.codes.take_writes(0.0))
        return code

    def _unique(self, step: Step[..., Any]) -> str:
        """The step's name; with its module's in front when another step of the run has it already."""
        code = step.__wrapped__.__code__
        for name in (step.name, f"{step.__module__}.{step.__qualname__}".replace("/", ".")):
            if self._names.setdefault(name, code) is code:
                return name
        raise DefinitionError(f"two different steps are called {step.name!r}; give one another with @step(name=...)")

    # --- results ----------------------------------------------------------------------------------------------

    def read(self, task: Task, output: str = "result") -> Any:
        """The return value of a finished task, or another output.

        Raises:
            BlobError: its bytes are gone or damaged.
        """
        packed: Packed = task.output(output)
        value = codecs.unpack(packed, self.store)
        if packed.codec in ("parts", "pickle"):  # passed on by value, it is packed in another form: know it by that
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


def _code_of(step: Step[..., Any]) -> Fingerprint:
    from headrace.engine.fingerprint import fingerprint

    return fingerprint(step.__wrapped__)


def _define(step: Step[..., Any], name: str, number: int) -> Define:
    """How a worker finds the function: in its own memory when it was forked from here, else by name or by value."""
    function = step.__wrapped__
    module, qualname = step.__module__, step.__qualname__
    return Define(
        step=number,
        name=name,
        home=registry.HOME,
        slot=step.slot,
        module=module,
        qualname=qualname,
        body=b"" if _importable(step, module, qualname) else _pickle(function, name),
        fields=step.fields,
        env=step.policy.env,
        threads=max(1, int(step.policy.resources.cpu)),
    )


def _importable(step: Step[..., Any], module: str, qualname: str) -> bool:
    found: Any = sys.modules.get(module)
    if found is None or not getattr(found, "__file__", None) or module == "__main__":
        return False
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found is not None and getattr(found, "__wrapped__", found) is step.__wrapped__


def _pickle(function: Any, name: str) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(function))
    except Exception as error:
        raise NotStorableError(
            f"step {name!r} is defined inside a function or notebook and holds something that cannot travel to a "
            f"worker: {error}; pass it as an argument, or define the step at the top of a module"
        ) from error
