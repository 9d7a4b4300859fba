"""Components that show how something stands or changes: progress, numbers, charts, events, data."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from headrace.frontends.metaflow.cards.base import MetaflowCardComponent, UserComponent, safely

_CLASS_NAME = re.compile(r"^[a-zA-Z][a-zA-Z0-9_-]*$")


class ProgressBar(UserComponent):
    """How far something is."""

    type = "progressBar"
    REALTIME_UPDATABLE = True

    def __init__(
        self,
        max: int = 100,  # noqa: A002 - the name that flows use
        label: str | None = None,
        value: int = 0,
        unit: str | None = None,
        metadata: str | None = None,
    ) -> None:
        self._max, self._label, self._value, self._unit, self._metadata = max, label, value, unit, metadata

    def update(self, new_value: int, metadata: str | None = None) -> None:
        """Set how far it is, and what is said beside it."""
        self._value = new_value
        self._metadata = self._metadata if metadata is None else metadata

    @safely
    def render(self) -> Any:
        """Value, maximum and what is said about them."""
        made = {"type": self.type, "id": self.component_id, "max": self._max, "value": self._value}
        more = (("label", self._label), ("unit", self._unit), ("details", self._metadata))
        return {**made, **{key: value for key, value in more if value}}


class ValueBox(UserComponent):
    """One value, large, with a title, a subtitle and how it changed.

    Raises:
        TypeError: a text is none, or the value is neither text nor number.
        ValueError: a text is empty or too long, or a number too large.
    """

    type = "valueBox"
    REALTIME_UPDATABLE = True
    VALID_THEMES = frozenset({"default", "success", "warning", "danger", "bg-gradient-indigo-purple"})

    def __init__(
        self,
        title: str | None = None,
        value: Any = "",
        subtitle: str | None = None,
        theme: str | None = None,
        change_indicator: str | None = None,
    ) -> None:
        _check_value(value)
        self._value = value
        self._texts: dict[str, str | None] = dict.fromkeys(_LONGEST)
        self.update(title, None, subtitle, theme, change_indicator)

    def update(
        self,
        title: str | None = None,
        value: Any = None,
        subtitle: str | None = None,
        theme: str | None = None,
        change_indicator: str | None = None,
    ) -> None:
        """Change what is given."""
        given = {"title": title, "subtitle": subtitle, "theme": theme, "change_indicator": change_indicator}
        for name, text in given.items():
            if text is not None:
                _check_text(name, text)
        if value is not None:
            _check_value(value)
            self._value = value
        self._texts |= {name: text for name, text in given.items() if text is not None}

    @safely
    def render(self) -> Any:
        """The value and what is said about it."""
        texts = {name: text for name, text in self._texts.items() if text is not None}
        return {"type": self.type, "id": self.component_id, "value": self._value, **texts}


_LONGEST = {"title": 200, "subtitle": 300, "theme": 0, "change_indicator": 200}


def _check_text(name: str, text: Any) -> None:
    shown = name.replace("_", " ").capitalize()
    if not isinstance(text, str):
        raise TypeError(f"{shown} must be a string, got {type(text).__name__}")
    if _LONGEST[name] and len(text) > _LONGEST[name]:
        raise ValueError(f"{shown} must be {_LONGEST[name]} characters or less, got {len(text)} characters")
    if not text.strip():
        raise ValueError(f"{shown} cannot be empty or whitespace only")
    if name == "theme" and text not in ValueBox.VALID_THEMES and not _CLASS_NAME.match(text):
        raise ValueError(f"Invalid theme '{text}'. Must be a valid CSS class name.")


def _check_value(value: Any) -> None:
    if value is None:
        raise ValueError("Value is required and cannot be None")
    if not isinstance(value, (str, int, float)):
        raise TypeError(f"Value must be str, int, or float, got {type(value).__name__}")
    if isinstance(value, str):
        if len(value) > 100:
            raise ValueError(f"String value must be 100 characters or less, got {len(value)} characters")
        if not value.strip():
            raise ValueError("String value cannot be empty or whitespace only")
    elif not -1e15 <= value <= 1e15:
        raise ValueError(f"Numeric value must be between -1e15 and 1e15, got {value}")


class VegaChart(UserComponent):
    """A chart by its Vega-Lite specification."""

    type = "vegaChart"
    REALTIME_UPDATABLE = True

    def __init__(self, spec: dict[str, Any], show_controls: bool = False) -> None:
        self._spec = spec
        self._show_controls = show_controls
        self.inside_table = False

    @classmethod
    def from_altair_chart(cls, altair_chart: Any) -> VegaChart:
        """A chart of Altair.

        Raises:
            ValueError: it is none.
        """
        if not _is_altair(altair_chart):
            kind = type(altair_chart)
            raise ValueError(f"{kind.__module__}.{kind.__qualname__} is not an altair chart")
        return cls(altair_chart.to_dict())

    def update(self, spec: Any = None) -> None:
        """Show another specification, or chart of Altair."""
        if spec is not None:
            self._spec = spec.to_dict() if _is_altair(spec) else spec

    @safely
    def render(self) -> Any:
        """The specification."""
        spec = dict(self._spec)
        if "width" not in spec and not self.inside_table:
            spec["width"] = "container"
        if self.inside_table:
            spec.setdefault("autosize", "fit-x")
        made = {"type": self.type, "id": self.component_id, "spec": spec}
        return made if self._show_controls else {**made, "options": {"actions": False}}


def _is_altair(chart: Any) -> bool:
    name = f"{type(chart).__module__}.{type(chart).__qualname__}"
    return all(word in name for word in ("altair", "vegalite", "Chart"))


class EventsTimeline(UserComponent):
    """What happened, the latest first. ``update`` adds an event."""

    type = "eventsTimeline"
    REALTIME_UPDATABLE = True
    VALID_THEMES = frozenset(
        {"default", "success", "warning", "error", "info", "primary", "secondary", "tool_call", "ai_response"}
    )

    def __init__(self, title: str | None = None, max_events: int = 100) -> None:
        self._title = title
        self._max_events = max_events
        self._events: list[dict[str, Any]] = []
        self._total = 0
        self._first: float | None = None
        self._last: float | None = None
        self._finished = False

    def update(
        self,
        event_data: dict[str, Any],
        style_theme: str | None = None,
        priority: str | None = None,
        payloads: dict[str, Any] | None = None,
        finished: bool | None = None,
    ) -> None:
        """Add an event. ``payloads``: components to look into, by name.

        Raises:
            ValueError: the theme cannot be a name of a style; TypeError: a payload is not a component.
        """
        if style_theme is not None and not _CLASS_NAME.match(style_theme):
            raise ValueError(f"Invalid style_theme '{style_theme}'. Must be a valid CSS class name.")
        for name, one in (payloads or {}).items():
            if not isinstance(one, MetaflowCardComponent) or isinstance(one, (VegaChart, EventsTimeline)):
                raise TypeError(
                    f"Payload '{name}' must be one of: ValueBox, Image, Markdown, Artifact, PythonCode, JSONViewer, "
                    f"YAMLViewer. Got {type(one).__name__}"
                )
        now = time.time()
        event_data.setdefault("timestamp", now)
        event: dict[str, Any] = {"metadata": event_data, "payloads": payloads or {}, "event_id": f"event_{self._total}"}
        event["received_at"] = now
        event |= {key: one for key, one in (("style_theme", style_theme), ("priority", priority)) if one is not None}
        self._total += 1
        self._first, self._last = self._first or now, now
        self._finished = self._finished if finished is None else finished
        self._events = [event, *self._events][: self._max_events]

    def get_stats(self) -> dict[str, Any]:
        """How many events there were, and when."""
        stats: dict[str, Any] = {
            "total_events": self._total,
            "displayed_events": len(self._events),
            "last_update": self._last,
            "first_event": self._first,
            "finished": self._finished,
        }
        took = (self._last or 0.0) - (self._first or 0.0)
        if self._total > 1 and took > 0:
            stats["events_per_minute"] = round(self._total / took * 60, 1)
            stats["total_runtime_seconds"] = round(took, 1)
        return stats

    @safely
    def render(self) -> Any:
        """The events."""
        events = [
            {**one, "payloads": {name: part.render() for name, part in one["payloads"].items()}} for one in self._events
        ]
        config = {"show_stats": True, "show_relative_time": True, "max_events": self._max_events}
        made = {"type": self.type, "id": self.component_id, "events": events, "config": config}
        titled = {} if self._title is None else {"title": self._title}
        return {**made, **titled, "stats": self.get_stats()}


class _Viewer(UserComponent):
    """Data as indented text."""

    type = ""
    REALTIME_UPDATABLE = True
    _field = ""
    _name = ""

    def __init__(
        self,
        data: Any,
        collapsible: bool = True,
        max_height: str | None = None,
        show_copy_button: bool = True,
        title: str | None = None,
    ) -> None:
        self._data = data
        self._max_height = max_height
        self._how = {"collapsible": collapsible, "show_copy_button": show_copy_button, "title": title or self._name}

    def update(self, data: Any) -> None:
        """Show other data."""
        self._data = data

    def _text(self) -> str:
        raise NotImplementedError

    @safely
    def render(self) -> Any:
        """The data as text."""
        made = {"type": self.type, "id": self.component_id, self._field: self._text(), **self._how}
        return {**made, "max_height": self._max_height} if self._max_height else made


class JSONViewer(_Viewer):
    """Data as JSON; a text that is JSON is shown as what it says."""

    type, _field, _name = "jsonViewer", "json_string", "JSON"

    def _text(self) -> str:
        data = _parsed(self._data)
        try:
            return json.dumps(data, indent=2, ensure_ascii=False, default=str)
        except (TypeError, ValueError) as error:
            return json.dumps({"error": f"Could not serialize data: {error}"}, indent=2)


class YAMLViewer(_Viewer):
    """Data as YAML, where PyYAML is installed; else as JSON, which is YAML too."""

    type, _field, _name = "yamlViewer", "yaml_string", "YAML"

    def _text(self) -> str:
        data = _parsed(self._data)
        if isinstance(data, str) and data is self._data:
            return data
        try:
            import yaml  # type: ignore[import-untyped]
        except ImportError:
            return json.dumps(data, indent=2, ensure_ascii=False, default=str)
        try:
            return str(yaml.safe_dump(data, default_flow_style=False, indent=2, sort_keys=False))
        except yaml.YAMLError as error:
            text = json.dumps(data, indent=2, ensure_ascii=False, default=str)
            return f"# Error converting to YAML: {str(error).splitlines()[0]}\n{text}"


def _parsed(data: Any) -> Any:
    if not isinstance(data, str):
        return data
    try:
        return json.loads(data)
    except json.JSONDecodeError:
        return data
