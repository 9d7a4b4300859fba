"""Card types that Metaflow brings for trying out its cards: bare pages that say what they were given."""

from __future__ import annotations

import json
from typing import Any

from headrace.frontends.metaflow.cards.base import MetaflowCard, MetaflowCardComponent

_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABRDE8\nUwAAAABJRU5ErkJggg==\n"
_PAGE = """
<html>
<script>
var METAFLOW_RELOAD_TOKEN = "[METAFLOW_RELOAD_TOKEN]"

window.metaflow_card_update = function(data) {
    document.querySelector("h1").innerHTML = JSON.stringify(data);
}
</script>
<h1>%s</h1>
<h1>%s</h1>
</html>
"""


class TestStringComponent(MetaflowCardComponent):
    """A text."""

    REALTIME_UPDATABLE = True

    def __init__(self, text: Any) -> None:
        self._text = text

    def render(self) -> str:
        """The text."""
        return str(self._text)

    def update(self, text: Any) -> None:
        """Another text."""
        self._text = text


class TestJSONComponent(MetaflowCardComponent):
    """A value."""

    REALTIME_UPDATABLE = True

    def __init__(self, data: Any) -> None:
        self._data = data

    def render(self) -> Any:
        """The value, if JSON can hold it."""
        json.dumps(self._data)
        return self._data

    def update(self, data: Any) -> None:
        """Another value."""
        self._data = data


class TestPathSpecCard(MetaflowCard):
    """The task, and something that no other page has."""

    type = "test_pathspec_card"

    def render(self, task: Any) -> str:
        """The page."""
        import os

        return f"{task.pathspec} {os.urandom(3).hex().upper()}"


class TestNonEditableCard(MetaflowCard):
    """What a step put on it, if it could."""

    type = "test_non_editable_card"
    separator = "$&#!!@*"

    def __init__(self, components: Any = (), **more: Any) -> None:
        self._components = components

    def render(self, task: Any) -> str:
        """The page."""
        return self.separator.join(map(str, self._components))


class TestEditableCard(TestNonEditableCard):
    """What a step put on it."""

    type = "test_editable_card"
    ALLOW_USER_COMPONENTS = True


class TestEditableCard2(TestEditableCard):
    """The same under another name."""

    type = "test_editable_card_2"


class TestMockCard(MetaflowCard):
    """The artifact that ``options["key"]`` names."""

    type = "test_mock_card"

    def __init__(self, options: Any = None, **more: Any) -> None:
        self._key = (options or {"key": "dummy_key"})["key"]

    def render(self, task: Any) -> str:
        """The page."""
        return str(task[self._key].data)


class TestErrorCard(MetaflowCard):
    """It cannot be rendered."""

    type = "test_error_card"

    def render(self, task: Any) -> str:
        """Raise.

        Raises:
            Exception: always.
        """
        raise Exception("Unknown Things Happened")


class TestTimeoutCard(MetaflowCard):
    """It takes ``options["timeout"]`` seconds."""

    type = "test_timeout_card"

    def __init__(self, options: Any = None, **more: Any) -> None:
        super().__init__()
        self._seconds = ({"timeout": 50} if options is None else options).get("timeout", 10)

    def render(self, task: Any) -> str:
        """The page, later."""
        import time

        time.sleep(self._seconds)
        return str(task.pathspec)


class TestRefreshCard(MetaflowCard):
    """What ``current.card.refresh(data)`` was given, made again each time."""

    type = "test_refresh_card"
    HTML_TEMPLATE = _PAGE
    RUNTIME_UPDATABLE = True
    ALLOW_USER_COMPONENTS = True
    RELOAD_POLICY = MetaflowCard.RELOAD_POLICY_ALWAYS

    def render(self, task: Any) -> str:
        """The page."""
        return _page(task, self.runtime_data["user"])

    def render_runtime(self, task: Any, data: Any) -> str:
        """The page of a task that runs."""
        return _page(task, data["user"])

    def refresh(self, task: Any, data: Any) -> Any:
        """What the page is to show now."""
        return data


class TestRefreshComponentCard(MetaflowCard):
    """What is on it, made again when that changes."""

    type = "test_component_refresh_card"
    HTML_TEMPLATE = _PAGE
    RUNTIME_UPDATABLE = True
    ALLOW_USER_COMPONENTS = True
    RELOAD_POLICY = MetaflowCard.RELOAD_POLICY_ONCHANGE

    def __init__(self, components: Any = (), **more: Any) -> None:
        self._components = list(components)

    def render(self, task: Any) -> str:
        """The page."""
        return _page(task, self._components)

    def render_runtime(self, task: Any, data: Any) -> str:
        """The page of a task that runs."""
        return _page(task, data["components"])

    def refresh(self, task: Any, data: Any) -> Any:
        """What the page is to show now."""
        return data["components"]

    def reload_content_token(self, task: Any, data: Any) -> str:
        """Changes with what is on the card, and with the end of the task."""
        return "final" if task.finished else f"runtime-{json.dumps(data['components'])}"


class TestImageCard(MetaflowCard):
    """A picture of one dot."""

    type = "test_image_card"

    def render(self, task: Any) -> str:
        """The page."""
        return f"<html><img src='data:image/png;base64, {_DOT}' /></html>"


def _page(task: Any, data: Any) -> str:
    return _PAGE % (task.pathspec, json.dumps(data))


__all__ = [
    "TestEditableCard",
    "TestEditableCard2",
    "TestErrorCard",
    "TestImageCard",
    "TestJSONComponent",
    "TestMockCard",
    "TestNonEditableCard",
    "TestPathSpecCard",
    "TestRefreshCard",
    "TestRefreshComponentCard",
    "TestStringComponent",
    "TestTimeoutCard",
]
