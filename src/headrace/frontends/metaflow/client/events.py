"""Events: what started a run, and events to be sent."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from headrace.frontends.metaflow.client.base import object_at
from headrace.frontends.metaflow.exceptions import ArgoEventException
from headrace.frontends.metaflow.names import stored


@stored
class MetaflowEvent(NamedTuple):
    """An event that started a run."""

    name: str
    id: str
    timestamp: Any
    type: str


@stored
class Trigger:
    """The events, or the runs whose end it was, that started a run: ``current.trigger`` and ``Run.trigger``."""

    def __init__(self, _meta: list[dict[str, Any]] | None = None) -> None:
        ordered = sorted(_meta or [], key=_moment, reverse=True)
        self._events = [MetaflowEvent(**{**one, "timestamp": _as_datetime(one.get("timestamp"))}) for one in ordered]
        self._runs: list[Any] | None = None

    @classmethod
    def from_runs(cls, run_objs: list[Any]) -> Trigger:
        """As if the ends of these runs had started one."""
        ended = [run for run in sorted(run_objs, key=lambda one: one.finished_at, reverse=True) if run.end_task]
        trigger = cls([event for run in ended for event in _events_of(run)])
        trigger._runs = ended
        return trigger

    @property
    def event(self) -> MetaflowEvent | None:
        """The newest event."""
        return self._events[0] if self._events else None

    @property
    def events(self) -> list[MetaflowEvent] | None:
        """All events, newest first."""
        return list(self._events) or None

    @property
    def run(self) -> Any:
        """The newest run whose end it was; None: it was none."""
        return next(iter(self.runs or []), None)

    @property
    def runs(self) -> list[Any] | None:
        """The runs whose ends they were, newest first."""
        if self._runs is None:
            names = ["/".join(one.id.split("/")[:2]) for one in self._events if one.type == "run"]
            self._runs = [object_at(name) for name in dict.fromkeys(names)]
        return list(self._runs) or None

    def __getitem__(self, key: str) -> Any:
        """The run of flow ``key``; where events are no runs, the event of that name."""
        found = self.runs or self._events
        for one in found:
            if key == (one.name if isinstance(one, MetaflowEvent) else one.path_components[0]):
                return one
        raise KeyError(key)

    def __iter__(self) -> Iterator[MetaflowEvent]:
        return iter(self._events)

    def __contains__(self, key: object) -> bool:
        try:
            return bool(self[str(key)])
        except KeyError:
            return False


def _moment(event: dict[str, Any]) -> float:
    moment = event.get("timestamp")
    return moment.timestamp() if isinstance(moment, datetime) else float(moment or "-inf")


def _as_datetime(moment: Any) -> Any:
    return datetime.fromtimestamp(moment) if isinstance(moment, (int, float)) and moment else moment


def _events_of(run: Any) -> Iterator[dict[str, Any]]:
    """The end of a run as events: by the name of its last step, and as ``end`` where that has another name."""
    task = run.end_task
    for step in dict.fromkeys((task.parent.id, "end")):
        name = f"metaflow.{run.parent.id}.{step}"
        yield {"type": "run", "timestamp": run.finished_at, "name": name, "id": task.pathspec}


class ArgoEvent:
    """An event for Argo Workflows. Headrace sends none: each says on ``stderr`` that it was not published, and why."""

    def __init__(self, name: str, url: str | None = None, payload: dict[str, Any] | None = None) -> None:
        from headrace.frontends.metaflow.settings import from_conf

        self._name, self._payload = name, dict(payload or {})
        self._url = url or from_conf("ARGO_EVENTS_WEBHOOK_URL", None)

    def add_to_payload(self, key: str, value: Any) -> ArgoEvent:
        """Add a value to what the event carries."""
        self._payload[key] = str(value)
        return self

    def safe_publish(self, payload: dict[str, Any] | None = None, ignore_errors: bool = True) -> None:
        """Publish only from where Argo runs.

        Raises:
            ArgoEventException: with ``ignore_errors=False``.
        """
        self.publish(payload, force=False, ignore_errors=ignore_errors)

    def publish(self, payload: dict[str, Any] | None = None, force: bool = True, ignore_errors: bool = True) -> None:
        """Publish now.

        Raises:
            ArgoEventException: with ``ignore_errors=False``.
        """
        import json

        name = self._name
        if force:
            reason = "Headrace sends no events to Argo" if self._url else "unknown url type: 'None'"
            try:
                json.dumps({**self._payload, **(payload or {})})
            except TypeError as error:
                reason = str(error)
            note = f"Unable to publish Argo Event ({name}): {reason}"
        else:
            note = f"Argo Event ({name}) was not published. Use ArgoEvent(...).publish(...) to force publish."
        if not ignore_errors:
            raise ArgoEventException(note)
        print(note, file=sys.stderr)
