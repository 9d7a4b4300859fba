"""What all objects of the Client API have in common: addresses, namespaces, tags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cached_property
from typing import Any

from headrace.client.loading import load
from headrace.client.source import RunReader, Source
from headrace.frontends.metaflow.exceptions import (
    MetaflowInvalidPathspec,
    MetaflowNamespaceMismatch,
    MetaflowNotFound,
)
from headrace.frontends.metaflow.identity import user_name
from headrace.frontends.metaflow.providers import chosen_project
from headrace.frontends.metaflow.tagging import RunTags, tags_of
from headrace.model.values import Packed
from headrace.wiring import Project, Settings


class _Namespace:
    """The namespace of this process, once it is set."""

    value: str | None = None
    is_set = False


def default_namespace() -> str | None:
    """Go back to the namespace of the user; returns it."""
    _Namespace.value, _Namespace.is_set = f"user:{user_name()}", True
    return _Namespace.value


def get_namespace() -> str | None:
    """The namespace that objects are looked for in; None: all."""
    return _Namespace.value if _Namespace.is_set else default_namespace()


def namespace(ns: str | None) -> str | None:
    """Look for objects in namespace ``ns`` only; None: everywhere."""
    _Namespace.value, _Namespace.is_set = ns, True
    return ns


def open_source() -> Source:
    """The stores that ``metadata`` chose, else those of the working directory."""
    return Source(chosen_project())


class Elsewhere(Source):
    """The stores of other settings than those of this process."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(Project(settings))
        self.settings = settings


def found_elsewhere(kind: type[MetaflowObject], pathspec: str, settings: Settings) -> Any:
    """An object of the Client API that is read, with all that it leads to, where ``settings`` say."""
    found = kind(pathspec, _checked=True)
    found._place = Elsewhere(settings)
    return found


def place_of(run: RunReader) -> Elsewhere | None:
    """Where a run is read from, if that is not where this process looks."""
    return run.source if isinstance(run.source, Elsewhere) else None


def when(seconds: float | None) -> datetime | None:
    """A moment in local time, as Metaflow gives it."""
    return None if not seconds else datetime.fromtimestamp(seconds)


#: The class of an object by the number of the parts of its address: what is above knows what is below, not the reverse.
_classes: dict[int, Any] = {}


class MetaflowObject:
    """Base of all: an address, a parent, children."""

    _KIND = ""
    _FORM = ""
    _PARTS = 1
    _place: Elsewhere | None = None  # where it is read from; None: where this process looks

    def __init_subclass__(cls) -> None:
        if "_KIND" in vars(cls):
            _classes[cls._PARTS] = cls

    def __init__(self, pathspec: str, attempt: int | None = None, _checked: bool = False) -> None:
        parts = str(pathspec).strip("/").split("/")
        if len(parts) != self._PARTS or not all(parts):
            raise MetaflowInvalidPathspec(f"Expects {self._KIND}('{self._FORM}')")
        self.path_components = parts
        self.id = parts[-1]
        self.pathspec = "/".join(parts)
        self._attempt = attempt
        if not _checked:
            self._open()
            if not self.is_in_namespace():
                raise MetaflowNamespaceMismatch(get_namespace())

    def _open(self) -> None:
        raise NotImplementedError

    def _absent(self) -> MetaflowNotFound:
        return MetaflowNotFound(f"{self._KIND}('{self.pathspec}') does not exist")

    @property
    def parent(self) -> Any:
        """What it is part of; None of a flow."""
        return self._near(_classes[self._PARTS - 1], self.path_components[:-1]) if self._PARTS > 1 else None

    @property
    def _source(self) -> Source:
        return self._place or open_source()

    def _near(self, kind: Any, parts: Iterable[str]) -> Any:
        """An object that is read from the same place."""
        found = kind("/".join(parts), _checked=True)
        found._place = self._place
        return found

    def is_in_namespace(self) -> bool:
        """Whether the current namespace has it."""
        ns = get_namespace()
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

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.pathspec == self.pathspec

    def __hash__(self) -> int:
        return hash((self._KIND, self.pathspec))

    def __repr__(self) -> str:
        return f"{self._KIND}('{self.pathspec}')"

    def __reduce__(self) -> Any:
        if self._place is not None:
            return found_elsewhere, (type(self), self.pathspec, self._place.settings)
        return type(self), (self.pathspec,)

    def __iter__(self) -> Iterator[Any]:
        return iter(())

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


class InRun(MetaflowObject):
    """Something of a run."""

    def _open(self) -> None:
        assert self._run

    @cached_property
    def _run(self) -> RunReader:
        source = self._source
        flow, number = self.path_components[:2]
        record = source.metadata.run(flow, int(number), source.project) if number.isdigit() else None
        if record is None:
            raise self._absent()
        return RunReader(source, record, complete=False)

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
        """What it was taken over from by ``resume``."""
        origin = self._tags.origin
        return "/".join([self.path_components[0], origin, *self.path_components[2:]]) if origin else None


class MetaflowData:
    """Artifacts as attributes, loaded when looked at."""

    def __init__(self, run: RunReader, table: dict[str, Packed]) -> None:
        self._run = run
        self._artifacts = table

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._artifacts:
            raise AttributeError(name)
        return load(self._artifacts[name], self._run)

    def __contains__(self, name: object) -> bool:
        return name in self._artifacts

    def __repr__(self) -> str:
        return f"<MetaflowData: {', '.join(self._artifacts)}>"
