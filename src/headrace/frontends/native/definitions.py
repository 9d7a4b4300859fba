"""Definitions of a step: the function with the values of all names that its code reaches, as a worker is told of them.

A call takes the newest definition of its step; where a name is bound to something else by then, another one is made.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Mapping, Sequence
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import msgspec
from blake3 import blake3

from headrace._base.attributes import own
from headrace._base.usercode import Place, canonical_name, find_place, is_user_module, place_of, place_of_namespace
from headrace.frontends.native.signature import defaults_of
from headrace.identity import fingerprint
from headrace.identity.bindings import ProcessState, Snapshot, Watch
from headrace.identity.fingerprint import ABSENT, Fingerprint, is_users_own, survey
from headrace.model.calls import StepInfo
from headrace.model.errors import DefinitionError, NotStorableError
from headrace.model.messages import AS_IMPORTED, STAYS, UNBOUND, Binding, Define, Surroundings
from headrace.model.values import Packed
from headrace.runtime import registry, transfer
from headrace.runtime.randomness import holds_generators
from headrace.runtime.transfer import cannot_travel
from headrace.services.codeparts import with_variables
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore

if TYPE_CHECKING:
    from headrace.frontends.native.steps import Step
    from headrace.model.commands import CommandSpec
    from headrace.services.session import Session

_LOGGING = (
    "headrace: step {!r} writes to a log, but what the flow sets up of logging while it runs is not seen in steps; "
    "call logging.basicConfig at the top of the file, or in the step"
)
#: Of ``Reached.within``.
_OWN_PLACE, _PART = -1, -2
#: ``Step`` objects that are known by identity.
_KNOWN_STEPS = 1_000
#: Sets of values of one step that are remembered, so that a flow that goes to and fro defines each once.
_VERSIONS = 64

Reached = fingerprint.Binding


class Code(msgspec.Struct, frozen=True):
    """The code of a step as it is now, and what it reaches."""

    fingerprint: Fingerprint
    reached: list[Reached]
    watch: Watch
    stores: frozenset[str]
    command: CommandSpec | None = None


def read(step: Step[..., Any], store: ArtifactStore) -> Code:
    """Look at the code of a step and all that it reaches; of a command, at the files of its working folder."""
    if step.is_command:
        command: Any = step
        return _read_command(command.with_files(store))
    found, reached, stores = survey(step.__wrapped__)
    return Code(found, reached, Watch(reached), stores)


def _read_command(spec: CommandSpec) -> Code:
    line = msgspec.structs.replace(spec, name="", files=())
    parts = {"the command line": blake3(msgspec.msgpack.encode(line)).digest()}
    for one in spec.files:
        parts[f"file {one.path}"] = blake3(one.blob.digest + bytes([one.executable])).digest()
    digest = blake3(b"command" + b"".join(name.encode() + b"\0" + part for name, part in parts.items())).digest()
    return Code(Fingerprint(digest, parts), [], Watch([]), frozenset(), spec)


class _Version:
    """A step with one set of values and surroundings; ``infos`` are those of its policies."""

    __slots__ = ("around", "base", "infos")

    def __init__(self, base: StepInfo, around: Surroundings | None) -> None:
        self.base = base
        self.around = around
        self.infos = {base.policy: base}


class _Known:
    """A step by its function, name and kind of workers: how it is now, and how it was at earlier calls."""

    __slots__ = ("code", "definer", "name", "version", "versions")

    def __init__(self, name: str, code: Code, definer: Definer) -> None:
        self.name = name
        self.definer = definer
        self.code = code
        self.version: _Version | None = None
        self.versions: dict[tuple[bytes, Surroundings | None], _Version] = {}


class Definitions:
    """The steps of one run. Made when its workers begin, before the flow function does."""

    def __init__(self, session: Session, variables: Mapping[str, str]) -> None:
        self._session = session
        self._process = ProcessState(variables)
        snapshot = Snapshot() if session.place("").forked else None
        #: By whether workers begin as copies of this process.
        self._definers = {
            forked: Definer(session.stores.artifacts, snapshot if forked else None, self._process)
            for forked in (True, False)
        }
        self._steps: dict[int, tuple[Step[..., Any], _Known, _Version, StepInfo]] = {}
        self._known: dict[tuple[int, str, bool], _Known] = {}
        self._names: dict[str, Any] = {}
        self._lock = threading.Lock()

    def info(self, step: Step[..., Any]) -> StepInfo:
        """The step as the engine is to run it if it is called now.

        Raises:
            DefinitionError: another step has its name; ResourceError: it asks for more than there is; UsageError: there
            is no such place;
            NotStorableError: its function cannot travel.
        """
        around = self._process.change()
        found = self._steps.get(id(step))
        if found is not None:
            _, known, version, info = found
            if version is known.version and version.around == around and known.code.watch.unchanged():
                return info
        with self._lock:
            known = self._look(step)
            version = self._version(step, known, around)
            known.version = version
            variant = version.infos.get(step.policy)
            if variant is None:
                code = self._introduce(known, step).digest
                variant = version.infos[step.policy] = self._session.variant(version.base, step.policy, code)
            if len(self._steps) >= _KNOWN_STEPS:  # made by ``options`` in a loop; they are found again by what they say
                self._steps.clear()
            self._steps[id(step)] = (step, known, version, variant)
        return variant

    def _look(self, step: Step[..., Any]) -> _Known:
        forked = self._session.begins_as_copy(step.policy)
        key = (step.slot, step.name, forked)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known(
                self._unique(step), read(step, self._session.stores.artifacts), self._definers[forked]
            )
        elif not known.code.watch.unchanged():
            known.code = read(step, self._session.stores.artifacts)
        return known

    def _version(self, step: Step[..., Any], known: _Known, around: Surroundings | None) -> _Version:
        session, code = self._session, known.code
        digest = code.fingerprint.digest
        version = known.versions.get((digest, around))
        if version is None:
            info = session.step(
                known.name,
                step.policy,
                self._introduce(known, step).digest,
                lambda number: known.definer.define(step, known.name, number, code, around),
                self._defaults(step.__wrapped__),
            )
            version = known.versions[(digest, around)] = _Version(info, around)
            if len(known.versions) > _VERSIONS:
                del known.versions[next(iter(known.versions))]
        return version

    def _introduce(self, known: _Known, step: Step[..., Any]) -> Fingerprint:
        """The code of ``step``, with the variables that its policy sets."""
        code = with_variables(known.code.fingerprint, step.policy.env)
        self._session.codes.introduce(known.name, code)
        self._session.write_soon(*self._session.codes.take_writes(0.0))
        return code

    def _defaults(self, function: Any) -> dict[str, bytes]:
        """The digests of the defaults of ``function``: of those that can be stored."""
        found = {}
        for name, value in defaults_of(function).items():
            with contextlib.suppress(NotStorableError):
                found[name] = codecs.pack(value, self._session.stores.artifacts).digest
        return found

    def _unique(self, step: Step[..., Any]) -> str:
        """The step's name; with its module's in front when another step of the run has it already."""
        identity = step.identity
        for name in (step.name, f"{step.__module__}.{step.__qualname__}".replace("/", ".")):
            if self._names.setdefault(name, identity) is identity:
                return name
        raise DefinitionError(f"two different steps are called {step.name!r}; give one another with @step(name=...)")


class Definer:
    """Writes the definitions of one session's steps.

    ``snapshot`` is what the session's workers begin with, None where these import the flow afresh.
    """

    def __init__(self, store: ArtifactStore, snapshot: Snapshot | None, process: ProcessState) -> None:
        self._store = store
        self._snapshot = snapshot
        self._process = process
        self._told: set[str] = set()

    def define(self, step: Any, name: str, number: int, code: Code, around: Surroundings | None) -> Define:
        """How a worker finds the function, and what its names are bound to.

        Raises:
            NotStorableError: the function has no place in a module and cannot travel.
        """
        if code.command is not None:
            return self._define_command(step, name, number, code.command, around)
        function = step.__wrapped__
        importable = place_of(function) is not None
        as_made = importable or (registry.as_registered(step.slot) and self._as_forked(code.reached))
        bindings, values = self._bindings(name, code.reached)
        return Define(
            step=number,
            name=name,
            home=registry.HOME,
            slot=step.slot if as_made else -1,
            module=canonical_name(step.__module__),
            qualname=step.__qualname__,
            body=b"" if importable else _dump(function, name),
            fields=step.fields,
            env=step.policy.env,
            threads=max(1, int(step.policy.resources.cpu)),
            bindings=bindings,
            values=values,
            surroundings=around,
            stores=tuple(sorted(code.stores)),
            secrets=step.policy.secrets,
        )

    @staticmethod
    def _define_command(
        step: Step[..., Any], name: str, number: int, spec: CommandSpec, around: Surroundings | None
    ) -> Define:
        return Define(
            step=number,
            name=name,
            env=step.policy.env,
            threads=max(1, int(step.policy.resources.cpu)),
            raw=True,
            surroundings=around,
            secrets=step.policy.secrets,
            command=msgspec.msgpack.encode(msgspec.structs.replace(spec, name=name)),
        )

    def _as_forked(self, reached: Sequence[Reached]) -> bool:
        """Whether names that have no place of their own are bound as they were when the workers began."""
        snapshot = self._snapshot
        return snapshot is not None and all(snapshot.same(one) for one in reached if one.within == _PART)

    def _bindings(self, step: str, reached: Sequence[Reached]) -> tuple[tuple[Binding, ...], Packed | None]:
        if "logging" not in self._told and self._process.logs_otherwise() and any(map(_logs, reached)):
            self._told.add("logging")
            print(_LOGGING.format(step), file=sys.stderr)
        carriers = {one.within for one in reached if one.within >= 0 and one.kind != "global"}
        found: list[Binding] = []
        values: list[object] = []
        for at, one in enumerate(reached):
            place = _place(one) if one.within == _OWN_PLACE else None
            if place is not None and (is_user_module(place.module) or is_users_own(one.value)):
                binding = self._binding(step, one, place, len(values), carries=at in carriers)
                if binding is not None:
                    found.append(binding)
                    if binding.index >= 0:
                        values.append(one.value)
        return tuple(found), transfer.pack(values, self._store) if values else None

    def _binding(self, step: str, one: Reached, place: Place, index: int, *, carries: bool) -> Binding | None:
        """What to tell a worker of a name; None for nothing. ``carries``: code without a place hangs on it."""
        same = self._snapshot.same(one) if self._snapshot is not None else None
        if same and not carries:
            return self._told_of(one, place, AS_IMPORTED) if one.data else None
        if one.value is ABSENT:
            return self._told_of(one, place, UNBOUND) if same is False else None
        if same is None and not one.data and not carries and (not _may_differ(one) or _is_at(one, place)):
            return None
        if same is not False and holds_generators(one.value):
            return None  # how these begin in a task is a matter of its own
        digest = transfer.digest_of(one.value)
        if digest:
            return self._told_of(one, place, index, digest if same is None or carries else b"")
        kind = type(one.value)
        text = f"{kind.__module__}.{kind.__qualname__}"
        if same is None:
            return self._told_of(one, place, STAYS, what=text)
        label = f"{place.module}.{place.path + '.' if place.path else ''}{one.name}"
        if not same and label not in self._told:
            self._told.add(label)
            print(cannot_travel(step, label, text), file=sys.stderr)
        return None

    def _told_of(self, one: Reached, place: Place, index: int, digest: bytes = b"", what: str = "") -> Binding:
        return Binding(place.module, place.path, place.depth, one.kind, one.name, index, digest, what)


def _logs(one: Reached) -> bool:
    """Whether code that reaches this writes to a log."""
    kind = type(one.value)
    name = one.holder.get("__name__") if one.kind == "global" else ""
    return name == "logging" or any(base.__module__ == "logging" for base in kind.__mro__)


def _place(one: Reached) -> Place | None:
    """Where a worker finds what holds the name."""
    if one.kind != "global":
        return place_of(one.holder)
    place = place_of_namespace(one.holder)
    if place is not None:
        return place
    name = one.holder.get("__name__")  # a module of a library that has no file
    module = sys.modules.get(name) if isinstance(name, str) else None
    return Place(name) if module is not None and module.__dict__ is one.holder and name != "__main__" else None


def _may_differ(one: Reached) -> bool:
    """Whether a name whose value is not data may be bound to something else where its module was imported."""
    value: Any = one.value
    kind = type(value)  # not ``isinstance``, which asks a proxy for what it stands for
    if issubclass(kind, ModuleType):
        return False
    if one.kind == "class":
        return kind is FunctionType
    if issubclass(kind, (FunctionType, type)):
        return is_user_module(value.__module__) if isinstance(value.__module__, str) else False
    return not isinstance(own(value, "__qualname__"), str)  # a step, a cached or built-in function


def _is_at(one: Reached, place: Place) -> bool:
    """Whether the value was defined under that very name."""
    path = f"{place.path}.{one.name}" if place.path else one.name
    value: Any = one.value
    if type(value) is FunctionType and one.kind == "class":
        return value.__qualname__ == path and canonical_name(value.__module__) == place.module
    return find_place(Place(place.module, path)) is value and place_of(value) == Place(place.module, path)


def _dump(function: Any, name: str) -> bytes:
    try:
        return transfer.dumps(function)
    except Exception as error:
        raise NotStorableError(
            f"step {name!r} is defined inside a function or notebook and holds something that cannot travel to a "
            f"worker: {error}; pass it as an argument, or define the step at the top of a module"
        ) from error
