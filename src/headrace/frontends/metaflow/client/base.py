"""What all objects of the Client API have in common: addresses, namespaces, tags, being pickled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headrace._base.lazy import lazy
from headrace.client.source import RunReader
from headrace.frontends.metaflow.client.providers import chosen_scope, settings_here, spin_settings
from headrace.frontends.metaflow.client.tags import RunTags, tags_of
from headrace.frontends.metaflow.current import NAMESPACE, SPUN_FACT, choices, facts
from headrace.frontends.metaflow.exceptions import (
    MetaflowInvalidPathspec,
    MetaflowNamespaceMismatch,
    MetaflowNotFound,
)
from headrace.frontends.metaflow.identity import user_name
from headrace.frontends.metaflow.taskids import run_number, task_number
from headrace.model.errors import NotFoundError
from headrace.model.records import RunRecord, TaskId
from headrace.model.states import FINAL_TASK_STATES, RunState
from headrace.settings import Settings
from headrace.wiring import Scope, scope_at

if TYPE_CHECKING:
    from typing import Self

#: How long a task waits for its own row, in seconds.
_PATIENCE = 3.0


def default_namespace() -> str | None:
    """Go back to the namespace of the user; returns it."""
    return namespace(f"user:{user_name()}")


def get_namespace() -> str | None:
    """The namespace that objects are looked for in; None: all."""
    chosen = choices()
    return chosen[NAMESPACE] if NAMESPACE in chosen else default_namespace()


def namespace(ns: str | None) -> str | None:
    """Look for objects in namespace ``ns`` only; None: everywhere."""
    choices()[NAMESPACE] = ns
    return ns


def open_source() -> Scope:
    """The stores that ``metadata`` chose, else those of the working directory.

    Raises:
        NotFoundError: nothing was ever run here.
    """
    return chosen_scope()


def not_looked_for(kind: type[MetaflowObject], pathspec: str) -> Any:
    """An object of which it is known that it is, or will be, there: the row of a task may come after its start."""
    found = kind.__new__(kind)
    found._set(pathspec, None, None)
    return found


def found_elsewhere(kind: type[MetaflowObject], pathspec: str, settings: Settings) -> Any:
    """An object of the Client API that is read, with all that it leads to, where ``settings`` say."""
    found = not_looked_for(kind, pathspec)
    found._source = scope_at(settings)
    return found


def of_this_run(kind: type[MetaflowObject], pathspec: str) -> Any:
    """An object of the run that this process runs a task of; a spun one is not where other runs are."""
    if not facts().get(SPUN_FACT):
        return not_looked_for(kind, pathspec)
    return found_elsewhere(kind, pathspec, spin_settings(settings_here()))


def when(seconds: float | None) -> datetime | None:
    """A moment in local time, as Metaflow gives it."""
    return None if not seconds else datetime.fromtimestamp(seconds)


#: The class of an object by the number of the parts of its address: what is above knows what is below, not the reverse.
_classes: dict[int, Any] = {}


def object_at(pathspec: str) -> Any:
    """The object at an address, in any namespace. Callers come through ``runs``, which has looked at it."""
    return _classes[pathspec.count("/") + 1](pathspec, _namespace_check=False)


class MetaflowObject:
    """Base of all: an address, a parent, children. Objects without a check look everywhere for their children."""

    _KIND = ""
    _FORM = ""
    _PARTS = 1

    def __init_subclass__(cls) -> None:
        if "_KIND" in vars(cls):
            _classes[cls._PARTS] = cls

    def __init__(self, pathspec: str, attempt: int | None = None, _namespace_check: bool = True) -> None:
        self._set(pathspec, attempt, get_namespace() if _namespace_check else None)
        self._open()
        if not self._is_in(self._namespace):
            raise MetaflowNamespaceMismatch(self._namespace)

    def _set(self, pathspec: str, attempt: int | None, ns: str | None) -> None:
        if not isinstance(pathspec, str):
            raise TypeError(f"{self._KIND} takes an address such as '{self._FORM}', not {pathspec!r}")
        parts = pathspec.split("/")
        if len(parts) != self._PARTS:
            raise MetaflowInvalidPathspec(f"Expects {self._KIND}('{self._FORM}')")
        self.id = parts[-1]
        self.pathspec = pathspec
        self._attempt = _checked_attempt(self._PARTS, attempt)
        self._namespace = ns

    @classmethod
    def _near(cls, pathspec: str, other: MetaflowObject, *, attempt: int | None = None, ns: str | None = None) -> Self:
        """The object at an address that is known to exist, in the stores of ``other``."""
        self = cls.__new__(cls)
        self._set(pathspec, attempt, ns)
        self._source = other._source
        if "_run" in other.__dict__ and self.path_components[:2] == other.path_components[:2]:
            self.__dict__["_run"] = other.__dict__["_run"]
        return self

    @classmethod
    def _restored(cls, pathspec: str, attempt: int | None, ns: str | None, settings: Settings) -> Self:
        """An object that was pickled, perhaps by another process: in the stores and the namespace that it had there.

        Raises:
            MetaflowNotFound: it is gone.
        """
        self = cls.__new__(cls)
        self._set(pathspec, attempt, ns)
        self._source = scope_at(settings)
        self._open()
        return self

    @lazy
    def _source(self) -> Scope:
        try:
            return open_source()
        except NotFoundError:
            raise self._absent() from None

    def _open(self) -> None:
        raise NotImplementedError

    def _absent(self) -> MetaflowNotFound:
        return MetaflowNotFound(f"{self!r} does not exist")

    @property
    def path_components(self) -> list[str]:
        """The parts of the address."""
        return self.pathspec.split("/")

    @property
    def parent(self) -> Any:
        """What it is part of; None of a flow."""
        if self._PARTS == 1:
            return None
        attempt = self._attempt if self._PARTS == 5 else None
        return _classes[self._PARTS - 1]._near("/".join(self.path_components[:-1]), self, attempt=attempt)

    def is_in_namespace(self) -> bool:
        """Whether the current namespace has it."""
        return self._is_in(get_namespace())

    def _is_in(self, ns: str | None) -> bool:
        return ns is None or ns in self.tags

    @property
    def tags(self) -> frozenset[str]:
        """All tags: those of the run."""
        return self.user_tags | self.system_tags

    @property
    def user_tags(self) -> frozenset[str]:
        """Tags that people gave."""
        return frozenset()

    @property
    def system_tags(self) -> frozenset[str]:
        """Tags that say where the run comes from."""
        return frozenset()

    @property
    def origin_pathspec(self) -> str | None:
        """What ``resume`` took it over from; None: nothing."""
        return None

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.pathspec == self.pathspec and other._attempt == self._attempt

    def __hash__(self) -> int:
        return hash((self._KIND, self.pathspec))

    def __repr__(self) -> str:
        attempt = "" if self._attempt is None else f", attempt={self._attempt}"
        return f"{self._KIND}('{self.pathspec}'{attempt})"

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[Any, ...]]:
        return type(self)._restored, (self.pathspec, self._attempt, self._namespace, self._source.settings)

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def _filtered(self, tags: tuple[str, ...]) -> Iterator[Any]:
        return (child for child in self if all(tag in child.tags for tag in tags))

    def __getitem__(self, name: str) -> Any:
        for child in self:
            if child.id == str(name):
                return child
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        try:
            self[str(name)]
        except KeyError:
            return False
        return True

    def _ipython_key_completions_(self) -> list[str]:
        return [child.id for child in self]


def _checked_attempt(parts: int, attempt: Any) -> int | None:
    if attempt is None:
        return None
    if parts < 4:
        raise MetaflowNotFound("Attempts can only be specified for Task or DataArtifact")
    try:
        number = int(attempt)
    except ValueError:
        raise MetaflowNotFound("Attempt can only be an integer") from None
    if number < 0:
        raise MetaflowNotFound("Attempt can only be non-negative")
    return number


def _is_own(source: Scope, run: RunRecord) -> bool:
    """Whether the calling code is a task of the run; one of the same name may be elsewhere."""
    if not facts().get("pathspec", "").startswith(f"{run.name}/"):
        return False
    here = settings_here()
    return source.settings == (spin_settings(here) if facts().get(SPUN_FACT) else here)


class FoundRun(RunReader):
    """A run that was there when it was looked for."""

    def __init__(self, source: Scope, record: RunRecord) -> None:
        super().__init__(source, record, complete=False)
        self._memory: tuple[int, dict[Any, Any]] = (0, {})
        self._is_own = _is_own(source, record)

    def record(self, *, complete: bool = False, fresh: bool = False) -> RunRecord:
        """As of any run.

        Raises:
            MetaflowNotFound: it was deleted since.
        """
        try:
            return super().record(complete=complete, fresh=fresh)
        except NotFoundError as error:
            raise MetaflowNotFound(str(error)) from None

    def await_own_task(self) -> None:
        """Let a task that looks around in its own run find itself: its row is on its way when it begins."""
        if self._is_own:
            step, number = facts()["pathspec"].split("/")[2:]
            own, tries = TaskId(step, task_number(number) or 0), facts().get("retry_count", 0) + 1
            until = time.monotonic() + _PATIENCE
            while time.monotonic() < until:
                row = self.metadata.task(self.id, own)
                if row is not None and (row.attempts >= tries or row.state in FINAL_TASK_STATES):
                    break
                time.sleep(0.005)
            self._is_own = False

    def memory(self) -> dict[Any, Any]:
        """For what is known of its tasks: kept as long as the run is over and not resumed, else forgotten at once."""
        record = self.record()
        if record.state is RunState.RUNNING:
            return {}
        if self._memory[0] != record.session:
            self._memory = (record.session, {})
        return self._memory[1]


class InRun(MetaflowObject):
    """Something of a run."""

    def _open(self) -> None:
        assert self._run

    @lazy
    def _run(self) -> FoundRun:
        source = self._source
        flow, number = self.path_components[0], run_number(self.path_components[1])
        record = source.metadata.run(flow, number, source.project) if number is not None else None
        if record is None:
            raise self._absent()
        return FoundRun(source, record)

    @property
    def _tags(self) -> RunTags:
        return tags_of(self._run.metadata, self._run.id)

    @property
    def user_tags(self) -> frozenset[str]:
        """Tags that people gave."""
        return self._tags.user

    @property
    def system_tags(self) -> frozenset[str]:
        """Tags that say where the run comes from."""
        return self._tags.system

    @property
    def origin_pathspec(self) -> str | None:
        """What ``resume`` took it over from; None: nothing."""
        origin = self._tags.origin
        return "/".join([self.path_components[0], origin, *self.path_components[2:]]) if origin else None
