"""The plain parts of a page: titles, sections, tables, texts. Card types are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace._base.attributes import on_type, own
from headrace.frontends.metaflow.cards.base import MetaflowCardComponent, failed, new_component_id

#: What a cell of a table may hold as it is.
_PLAIN = (str, bool, int, float, dict, list, tuple, type(None))
_LONGEST_CELL = 500


class DefaultComponent(MetaflowCardComponent):
    """A part of some ``type``, with a title where it has one."""

    type: str | None = None

    def __init__(self, title: str | None = None, subtitle: str | None = None) -> None:
        self._title = title
        self._subtitle = subtitle

    def render(self) -> dict[str, Any]:
        """Type, title, subtitle and what the subclass holds."""
        made: dict[str, Any] = {"type": self.type}
        made |= {key: one for key, one in (("title", self._title), ("subtitle", self._subtitle)) if one is not None}
        made |= self._fields()
        if self.component_id is not None:
            made["id"] = self.component_id
        return made

    def _fields(self) -> dict[str, Any]:
        return {}


class TitleComponent(DefaultComponent):
    """A title."""

    type = "title"

    def __init__(self, text: Any = None) -> None:
        super().__init__()
        self._text = text

    def _fields(self) -> dict[str, Any]:
        return {"text": str(self._text)}


class SubTitleComponent(TitleComponent):
    """A smaller title."""

    type = "subtitle"


class SectionComponent(DefaultComponent):
    """Several components under a title, in columns when told so."""

    type = "section"

    def __init__(
        self,
        title: str | None = None,
        subtitle: str | None = None,
        columns: int | None = None,
        contents: Sequence[Any] = (),
    ) -> None:
        super().__init__(title, subtitle)
        self._contents = contents
        self._columns = columns

    @classmethod
    def render_subcomponents(
        cls,
        component_array: Sequence[Any],
        additional_allowed_types: Sequence[Any] = (str, dict),
        allow_unknowns: bool = False,
    ) -> list[Any]:
        """What components and plain values give; ``allow_unknowns``: of other values, their text."""
        contents = []
        for one in component_array:
            if isinstance(one, MetaflowCardComponent):
                made = one.render()
                fine = type(made) in (str, dict)
                contents.append(made if fine else failed(type(one).__name__, "render gave neither a text nor a dict"))
            elif type(one) in additional_allowed_types:
                contents.append(one)
            elif allow_unknowns:
                contents.append(_cell_text(one))
        return contents

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"contents": self.render_subcomponents(self._contents)}
        if self._columns is not None:
            fields["columns"] = self._columns
        return fields


def render_row(row: Sequence[Any]) -> list[Any]:
    """The cells of a row of a table."""
    return SectionComponent.render_subcomponents(row, _PLAIN, allow_unknowns=True)


def _cell_text(value: Any) -> Any:
    """A value of another type in a table: a number of numpy is a number, all else a short text."""
    if on_type(value, "item") is not None and own(value, "ndim") == 0:
        plain = value.item()
        if type(plain) in _PLAIN:
            return plain
    text = str(value)
    return text if len(text) <= _LONGEST_CELL else text[:_LONGEST_CELL] + "..."


class ImageComponent(DefaultComponent):
    """A picture, as ``data:`` source."""

    type = "image"

    def __init__(
        self, src: Any = None, label: str | None = None, title: str | None = None, subtitle: str | None = None
    ) -> None:
        super().__init__(title, subtitle)
        self._src = src
        self._label = label

    def _fields(self) -> dict[str, Any]:
        return {"src": self._src, "label": self._label}


def is_rows(data: Any) -> bool:
    """Whether it is a list whose first item is a list."""
    return type(data) is list and bool(data) and type(data[0]) is list


class TableComponent(DefaultComponent):
    """A table; ``vertical``: its headers stand on the left."""

    type = "table"

    def __init__(
        self,
        title: str | None = None,
        subtitle: str | None = None,
        headers: Any = None,
        data: Any = None,
        vertical: bool = False,
    ) -> None:
        super().__init__(title, subtitle)
        self._headers = headers if type(headers) is list else []
        self._data = data if is_rows(data) else [[]]
        self._vertical = vertical

    @classmethod
    def validate(cls, headers: Any, data: Any) -> tuple[bool, bool]:
        """Whether these are headers, and rows."""
        return type(headers) is list, is_rows(data)

    def _fields(self) -> dict[str, Any]:
        return {"columns": self._headers, "data": self._data, "vertical": self._vertical}


class _DataComponent(DefaultComponent):
    """One value under the name ``data``."""

    def __init__(self, data: Any = None, title: str | None = None, subtitle: str | None = None) -> None:
        super().__init__(title, subtitle)
        self._data = data

    def _fields(self) -> dict[str, Any]:
        return {"data": self._data}


class DagComponent(_DataComponent):
    """The graph of a flow."""

    type = "dag"

    def __init__(self, title: str | None = None, subtitle: str | None = None, data: Any = None) -> None:
        super().__init__(data or {}, title, subtitle)


class ArtifactsComponent(DagComponent):
    """Artifacts with their names."""

    type = "artifacts"


class LogComponent(_DataComponent):
    """A text as it is, line by line."""

    type = "log"

    def render(self) -> dict[str, Any]:
        """As all, always with an id."""
        if self.component_id is None:
            self.component_id = new_component_id(self)
        return super().render()


class PythonCodeComponent(_DataComponent):
    """Source code."""

    type = "pythonCode"


class HTMLComponent(_DataComponent):
    """HTML of a user; it is shown in a frame that may do nothing."""

    type = "html"


class TextComponent(DefaultComponent):
    """A text."""

    type = "text"

    def __init__(self, text: Any = None) -> None:
        super().__init__()
        self._text = text

    def _fields(self) -> dict[str, Any]:
        return {"text": self._text}


class MarkdownComponent(DefaultComponent):
    """A text in Markdown."""

    type = "markdown"

    def __init__(self, text: str | None = None) -> None:
        super().__init__()
        self._text = text

    def _fields(self) -> dict[str, Any]:
        text = self._text
        return {"source": text if text is None or text.startswith("#") else "\n" + text}


class PageComponent(DefaultComponent):
    """Several components on a page of their own."""

    type = "page"

    def __init__(self, title: str | None = None, subtitle: str | None = None, contents: Sequence[Any] = ()) -> None:
        super().__init__(title, subtitle)
        self._contents = contents

    def _fields(self) -> dict[str, Any]:
        made = [one.render() if isinstance(one, MetaflowCardComponent) else one for one in self._contents]
        return {"contents": made}


class ErrorComponent(MetaflowCardComponent):
    """A headline and what went wrong."""

    def __init__(self, headline: str, error_message: str) -> None:
        self._text = f"{headline}\n\n{error_message}"

    def render(self) -> dict[str, Any]:
        """Both as one text."""
        return LogComponent(self._text).render()


class WarningComponent(ErrorComponent):
    """A warning about a card, on the card."""

    def __init__(self, warning: str) -> None:
        super().__init__("@card WARNING", warning)
