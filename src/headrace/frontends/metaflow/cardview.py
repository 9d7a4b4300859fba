"""Cards of tasks, read back."""

from __future__ import annotations

from typing import Any

from headrace.frontends.metaflow.client import Task
from headrace.frontends.metaflow.names import CARD


class Card:
    """A rendered card of a task."""

    def __init__(self, key: str, text: str, task: str) -> None:
        self.type, _, self.id = key.removeprefix(CARD).rpartition("_")
        self._html = text
        self.hash = key
        self.path = f"{task}/{key}"

    def get(self) -> str:
        """The page."""
        return self._html

    @property
    def html(self) -> str:
        """The page."""
        return self._html

    def _repr_html_(self) -> str:
        return self._html

    def view(self) -> None:
        """Open the page in a browser."""
        import tempfile
        import webbrowser

        with tempfile.NamedTemporaryFile("w", suffix=".html", delete=False) as file:
            file.write(self._html)
        webbrowser.open(f"file://{file.name}")


def get_cards(task: Any, id: str | None = None, type: str | None = None, follow_resumed: bool = True) -> list[Card]:  # noqa: A002
    """The cards of a task, or of the task at a pathspec."""
    if isinstance(task, str):
        task = Task(task)
    cards = [Card(key, text, task.pathspec) for key, text in task._card_pages()]
    return [one for one in cards if (id is None or one.id == id) and (type is None or one.type == type)]
