"""Events: what started a run, and events to be sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from headrace.frontends.metaflow.exceptions import NotSupportedException


class MetaflowEvent(NamedTuple):
    """An event that started a run."""

    name: str
    id: str
    timestamp: Any
    type: str


class Trigger:
    """The events, or the run, that started a run: ``current.trigger``."""

    def __init__(self, _meta: list[dict[str, Any]] | None = None) -> None:
        self._events = [MetaflowEvent(**one) for one in _meta or []]

    @property
    def event(self) -> MetaflowEvent | None:
        """The newest event."""
        return self._events[0] if self._events else None

    @property
    def events(self) -> list[MetaflowEvent] | None:
        """All events."""
        return list(self._events) or None

    @property
    def run(self) -> None:
        """The run whose end it was."""
        return

    @property
    def runs(self) -> None:
        """The runs whose ends they were."""
        return

    def __getitem__(self, key: str) -> MetaflowEvent:
        for one in self._events:
            if key in (one.name, one.id):
                return one
        raise KeyError(key)

    def __iter__(self) -> Iterator[MetaflowEvent]:
        return iter(self._events)

    def __contains__(self, key: object) -> bool:
        return any(key in (one.name, one.id) for one in self._events)


class ArgoEvent:
    """An event for Argo Workflows."""

    def __init__(self, name: str, url: str | None = None, payload: dict[str, Any] | None = None) -> None:
        self._name, self._payload = name, dict(payload or {})

    def add_to_payload(self, key: str, value: Any) -> ArgoEvent:
        """Add a value to what the event carries."""
        self._payload[key] = str(value)
        return self

    def safe_publish(self, payload: dict[str, Any] | None = None, ignore_errors: bool = True) -> None:
        """Publish only from where Argo runs: nothing happens here."""

    def publish(self, payload: dict[str, Any] | None = None, force: bool = False, ignore_errors: bool = True) -> None:
        """Publish now.

        Raises:
            NotSupportedException: with ``force``; Headrace has no events of Argo.
        """
        if force:
            raise NotSupportedException(
                f"ArgoEvent({self._name!r}): Headrace sends no events to Argo (docs/metaflow.md)"
            )
