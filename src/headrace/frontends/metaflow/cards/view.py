"""Cards of tasks, read back: ``get_cards``."""

from __future__ import annotations

import html as escaping
from collections.abc import Iterator
from typing import Any

import msgspec

from headrace.client.object_loader import load
from headrace.client.source import RunReader
from headrace.frontends.metaflow.cards.errors import (
    CardNotPresentException,
    IncorrectArgumentException,
    IncorrectPathspecException,
)
from headrace.frontends.metaflow.cards.renderer import MADE_HERE
from headrace.frontends.metaflow.cards.types import BUILT_IN_PAGES
from headrace.frontends.metaflow.client.base import namespace, object_at
from headrace.frontends.metaflow.client.task import Task
from headrace.frontends.metaflow.names import CARD, CARD_ENDING
from headrace.model.records import ArtifactRecord

_type = type


class Card:
    """One card of a task. Its page is loaded when it is asked for."""

    def __init__(self, record: ArtifactRecord, run: RunReader, task: Task, origin: str | None = None) -> None:
        self._record = record
        self._run = run
        self._html: str | None = None
        stem = record.name.removeprefix(CARD).removesuffix(CARD_ENDING)
        self.type, *middle, self.hash = stem.split("-")
        self.id: str | None = middle[0] if middle else None
        self.from_resumed = origin is not None
        self.origin_pathspec = origin
        flow, number, step, task_id = task.path_components
        self.path = f"{flow}/runs/{number}/steps/{step}/tasks/{task_id}/cards/{stem}{CARD_ENDING}"
        self.created = record.created
        #: Its page was made here by a built-in type, so it holds no scripts, whatever a step put on it.
        self.inert = self.type in BUILT_IN_PAGES and MADE_HERE in record.preview.facts

    def get(self) -> str:
        """The page."""
        if self._html is None:
            self._html = str(load(self._record.value, self._run))
        return self._html

    @property
    def html(self) -> str:
        """The page."""
        return self.get()

    def view(self) -> None:
        """Open the page in a browser."""
        import tempfile
        import webbrowser

        with tempfile.NamedTemporaryFile("w", suffix=CARD_ENDING, delete=False, encoding="utf-8") as file:
            file.write(self.get())
        webbrowser.open(f"file://{file.name}")

    def _repr_html_(self) -> str:
        """A frame of its own: a page has its own style, and may not reach into the notebook."""
        page = escaping.escape(self.get())
        style = "width:100%;height:640px;border:1px solid #ccc"
        return f'<iframe sandbox="allow-scripts allow-popups" srcdoc="{page}" style="{style}"></iframe>'

    def __str__(self) -> str:
        return f"<Card at '{self.path}'>"

    def __repr__(self) -> str:
        return str(self)


class CardContainer:
    """Cards in the order of attempts and of the decorators; reads like a list."""

    def __init__(self, cards: list[Card], origin: str | None = None) -> None:
        self._cards = cards
        self.from_resumed = origin is not None
        self.origin_pathspec = origin

    def __len__(self) -> int:
        return len(self._cards)

    def __iter__(self) -> Iterator[Card]:
        return iter(self._cards)

    def __getitem__(self, index: Any) -> Any:
        return self._cards[index]

    def _repr_html_(self) -> str:
        return "".join(f"<h3>{escaping.escape(one.type)}</h3>{one._repr_html_()}" for one in self._cards)

    def __repr__(self) -> str:
        return f"CardContainer({self._cards})"


class Wanted(msgspec.Struct, frozen=True):
    """Which cards of a task."""

    type: str | None = None
    hash: str | None = None
    id: str | None = None

    def takes(self, card: Card) -> bool:
        """Whether it is one of them. A hash says it all, and may be the beginning of one."""
        if self.type is not None and card.type != self.type:
            return False
        if self.hash is not None:
            return card.hash.startswith(self.hash)
        return self.id is None or card.id == self.id


def origin_of(task: Task) -> str | None:
    """The task whose result a resumed one took over, through all resumes; None when it ran itself."""
    origin = None
    while task.origin_pathspec is not None:
        origin = task.origin_pathspec
        task = object_at(origin)
    return origin


def cards_of(task: Task, wanted: Wanted, *, follow_resumed: bool = True) -> CardContainer:
    """The cards of a task that are wanted.

    Raises:
        CardNotPresentException: the task has no cards at all.
    """
    origin = origin_of(task) if follow_resumed else None
    if origin is not None:
        task = object_at(origin)
    records = task._card_rows()
    if not records:
        raise CardNotPresentException(task.pathspec, wanted.type, wanted.hash, wanted.id)
    cards = [Card(one, task._run, task, origin) for one in sorted(records, key=_place)]
    return CardContainer([one for one in cards if wanted.takes(one)], origin)


def _place(record: ArtifactRecord) -> tuple[int, ...]:
    facts = dict(record.preview.facts)
    return int(facts.get("attempt", 0)), int(facts.get("number", 0))


def get_cards(
    task: Any,
    id: str | None = None,  # noqa: A002 - the names that users give
    type: str | None = None,  # noqa: A002
    follow_resumed: bool = True,
) -> CardContainer:
    """The cards of a task, or of the task at a pathspec; of a resumed task, those of the task that it took over.

    Raises:
        CardNotPresentException: the task has no cards; IncorrectPathspecException, IncorrectArgumentException: it is
            neither a task nor the pathspec of one.
    """
    if isinstance(task, str):
        if len(task.split("/")) != 4:
            raise IncorrectPathspecException(task)
        namespace(None)
        task = Task(task)
    elif not isinstance(task, Task):
        raise IncorrectArgumentException(_type(task))
    return cards_of(task, Wanted(type, None, id), follow_resumed=follow_resumed)
