"""Cards: what a step shows. Components are kept as small values and rendered to one plain HTML page per card."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

from headrace.frontends.metaflow.names import CARD


class MetaflowCardComponent:
    """The base of all components; ``render`` gives HTML."""

    component_id: str | None = None

    def render(self) -> str:
        """The component as HTML."""
        return ""

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Change the component, as its class allows."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Markdown(MetaflowCardComponent):
    """A text in Markdown, shown as it is written."""

    def __init__(self, text: str | None = None) -> None:
        self.text = text or ""

    def update(self, text: str | None = None) -> None:
        """Replace the text."""
        self.text = text or ""

    def render(self) -> str:
        """The text, with headings as such."""
        lines = []
        for line in self.text.splitlines():
            level = len(line) - len(line.lstrip("#"))
            inner = html.escape(line[level:].strip() if 0 < level < 7 else line)
            lines.append(f"<h{level}>{inner}</h{level}>" if 0 < level < 7 else f"<p>{inner}</p>")
        return "\n".join(lines)


class Artifact(MetaflowCardComponent):
    """The repr of an object."""

    def __init__(self, artifact: Any, name: str | None = None, compressed: bool = True) -> None:
        self.text = repr(artifact)[:10_000]
        self.name = name

    def render(self) -> str:
        """Name and repr."""
        name = f"<b>{html.escape(self.name)}</b> " if self.name else ""
        return f"<div>{name}<code>{html.escape(self.text)}</code></div>"


class Error(MetaflowCardComponent):
    """An exception."""

    def __init__(self, exception: Any, title: str | None = None) -> None:
        self.title = title or type(exception).__name__
        self.text = str(exception)

    def render(self) -> str:
        """Title and text."""
        return f"<div class=error><b>{html.escape(self.title)}</b><pre>{html.escape(self.text)}</pre></div>"


class PythonCode(MetaflowCardComponent):
    """Source code."""

    def __init__(self, obj: Any = None, code_string: str | None = None) -> None:
        if code_string is None and obj is not None:
            import inspect

            code_string = inspect.getsource(obj)
        self.text = code_string or ""

    def render(self) -> str:
        """The code."""
        return f"<pre>{html.escape(self.text)}</pre>"


class _Document(MetaflowCardComponent):
    def __init__(self, data: Any = None, **_: Any) -> None:
        import json

        self.text = json.dumps(data, indent=2, default=repr)

    def render(self) -> str:
        """The data, indented."""
        return f"<pre>{html.escape(self.text)}</pre>"


class JSONViewer(_Document):
    """JSON data."""


class YAMLViewer(_Document):
    """YAML data."""


class EventsTimeline(_Document):
    """Events in the order they came."""

    def __init__(self, title: str | None = None, **_: Any) -> None:
        self.events: list[Any] = []
        super().__init__(self.events)

    def update(self, event: Any = None, **_: Any) -> None:
        """Add an event."""
        self.events.append(event)
        super().__init__(self.events)


class VegaChart(_Document):
    """The specification of a Vega-Lite chart."""

    def __init__(self, spec: dict[str, Any], data: Any = None, show_controls: bool = False) -> None:
        super().__init__(spec)

    @classmethod
    def from_altair_chart(cls, altair_chart: Any) -> VegaChart:
        """The specification of an Altair chart."""
        return cls(altair_chart.to_dict())

    def update(self, spec: dict[str, Any] | None = None, data: Any = None) -> None:
        """Replace the specification."""
        if spec is not None:
            super().__init__(spec)


class ProgressBar(MetaflowCardComponent):
    """How far something is."""

    def __init__(
        self,
        max: int = 100,  # noqa: A002 - the name that flows use
        label: str | None = None,
        value: int = 0,
        unit: str | None = None,
        metadata: Any = None,
    ) -> None:
        self.max, self.label, self.value, self.unit = max, label or "", value, unit or ""

    def update(self, new_value: int = 0, metadata: Any = None) -> None:
        """Set how far it is."""
        self.value = new_value

    def render(self) -> str:
        """A bar."""
        text = f"{html.escape(self.label)} {self.value}/{self.max} {html.escape(self.unit)}"
        return f"<div><progress max={self.max} value={self.value}></progress> {text}</div>"


class ValueBox(MetaflowCardComponent):
    """One number with a title."""

    def __init__(self, title: str | None = None, value: Any = None, subtitle: str | None = None, **_: Any) -> None:
        self.title, self.value, self.subtitle = title or "", value, subtitle or ""

    def update(self, value: Any = None, **_: Any) -> None:
        """Set the value."""
        self.value = value

    def render(self) -> str:
        """Title, value, subtitle."""
        return (
            f"<div>{html.escape(self.title)}: <b>{html.escape(str(self.value))}</b> {html.escape(self.subtitle)}</div>"
        )


class Image(MetaflowCardComponent):
    """A picture."""

    def __init__(self, src: bytes | None = None, label: str | None = None) -> None:
        self.src, self.label = src or b"", label or ""

    @classmethod
    def from_matplotlib(cls, plot: Any, label: str | None = None) -> Image:
        """A figure, or what has one."""
        import io

        buffer = io.BytesIO()
        figure = plot.get_figure() if hasattr(plot, "get_figure") and plot.get_figure() is not None else plot
        figure.savefig(buffer, format="png")
        return cls(buffer.getvalue(), label)

    @classmethod
    def from_pil_image(cls, pil_image: Any, label: str | None = None) -> Image:
        """A picture of Pillow."""
        import io

        buffer = io.BytesIO()
        pil_image.save(buffer, format="PNG")
        return cls(buffer.getvalue(), label)

    def update(self, image: Any = None, label: str | None = None) -> None:
        """Replace the picture."""
        self.src = image if isinstance(image, bytes) else getattr(image, "src", self.src)
        self.label = label or self.label

    def render(self) -> str:
        """The picture, inside the page."""
        import base64

        kind = "jpeg" if self.src[:2] == b"\xff\xd8" else "gif" if self.src[:3] == b"GIF" else "png"
        data = base64.b64encode(self.src).decode()
        label = f"<figcaption>{html.escape(self.label)}</figcaption>"
        return f'<figure><img src="data:image/{kind};base64,{data}">{label}</figure>'


class Table(MetaflowCardComponent):
    """Rows of values or components."""

    def __init__(
        self, data: list[list[Any]] | None = None, headers: list[str] | None = None, disable_updates: bool = False
    ) -> None:
        self.data, self.headers = data or [], headers or []

    @classmethod
    def from_dataframe(cls, dataframe: Any = None, truncate: bool = True) -> Table:
        """The head of a frame."""
        head = dataframe.head(20) if truncate else dataframe
        rows = [[index, *row] for index, row in zip(head.index, head.values.tolist(), strict=True)]
        return cls(rows, ["", *map(str, head.columns)])

    def render(self) -> str:
        """The table."""
        header = "".join(f"<th>{html.escape(str(one))}</th>" for one in self.headers)
        rows = "".join(f"<tr>{''.join(f'<td>{_shown(cell)}</td>' for cell in row)}</tr>" for row in self.data)
        return f"<table><tr>{header}</tr>{rows}</table>"


def _shown(value: Any) -> str:
    return value.render() if isinstance(value, MetaflowCardComponent) else html.escape(str(value))


class MetaflowCard:
    """The base of card types that users write: ``render(task)`` gives the page."""

    type = "default"
    ALLOW_USER_COMPONENTS = False

    def __init__(self, options: Any = None, components: Any = None, graph: Any = None, flow: Any = None) -> None:
        self.options, self.components = options or {}, components or []

    def render(self, task: Any) -> str:
        """The page."""
        return page("card", [])


class DefaultCard(MetaflowCard):
    """All artifacts of the task."""


class BlankCard(MetaflowCard):
    """Only what the step adds."""


class ErrorCard(MetaflowCard):
    """What went wrong."""


class PageComponent(MetaflowCardComponent):
    """Several components on a page of their own."""

    def __init__(self, title: str | None = None, contents: list[Any] | None = None, **_: Any) -> None:
        self.title, self.contents = title or "", contents or []

    def render(self) -> str:
        """Title and contents."""
        return f"<h2>{html.escape(self.title)}</h2>" + "".join(_shown(one) for one in self.contents)


def page(title: str, components: list[Any]) -> str:
    """A page of components."""
    body = "\n".join(_shown(one) for one in components)
    name = html.escape(title)
    return f"<!doctype html><meta charset=utf-8><title>{name}</title>\n<h1>{name}</h1>\n{body}\n"


class CardComponents:
    """The components of one card, while its step runs: what ``current.card`` is."""

    def __init__(
        self, cards: dict[str, CardComponents] | None = None, card_id: str = "", kind: str = "default"
    ) -> None:
        self.components: list[Any] = []
        self.id = card_id
        self.kind = kind
        self._cards = cards if cards is not None else {}

    def append(self, component: Any, id: str | None = None) -> None:  # noqa: A002 - the name that flows use
        """Add a component, or any object."""
        made = component if isinstance(component, MetaflowCardComponent) else Artifact(component)
        made.component_id = id
        self.components.append(made)

    def extend(self, components: list[Any]) -> None:
        """Add several."""
        for one in components:
            self.append(one)

    def clear(self) -> None:
        """Remove all."""
        self.components.clear()

    def refresh(self, *_: Any, **__: Any) -> None:
        """Cards are rendered when the step is over."""

    def __getitem__(self, card_id: str) -> CardComponents:
        return self._cards.get(card_id) or CardComponents()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.components)


def make_cards(function: Any) -> CardComponents | None:
    """What ``current.card`` is in a step; None for a step without cards."""
    decorators = [one for one in function.decorators if one.name == "card"]
    if not decorators:
        return None
    cards: dict[str, CardComponents] = {}
    made = [CardComponents(cards, one.attributes["id"] or "", one.attributes["type"]) for one in decorators]
    cards.update({one.id: one for one in made if one.id})
    first = next((one for one in made if not one.id), made[0])
    first._cards = cards
    cards.setdefault("", first)
    return first


def pages_of(current: CardComponents, title: str, artifacts: dict[str, Any]) -> dict[str, str]:
    """The pages of a step's cards by the names they are kept under."""
    pages = {}
    for at, one in enumerate(dict.fromkeys(current._cards.values())):
        components = list(one.components)
        if one.kind == "default" and not components:
            components = [Artifact(value, name) for name, value in artifacts.items()]
        pages[f"{CARD}{one.kind}_{one.id or at}"] = page(title, components)
    return pages
