"""What steps put on cards: texts, tables, pictures. ``charts`` has those that show how things change."""

from __future__ import annotations

import textwrap
from typing import Any

from headrace._base.attributes import on_type
from headrace.frontends.metaflow.cards.base import UserComponent, safely
from headrace.frontends.metaflow.cards.charts import VegaChart
from headrace.frontends.metaflow.cards.parts import (
    ArtifactsComponent,
    ErrorComponent,
    ImageComponent,
    LogComponent,
    MarkdownComponent,
    PythonCodeComponent,
    TableComponent,
    is_rows,
    render_row,
)
from headrace.frontends.metaflow.cards.values import described, frame_table, is_frame, picture_source, type_name


class Artifact(UserComponent):
    """Any object, as a text of limited length; ``compressed=False`` shows usual types as they are."""

    REALTIME_UPDATABLE = True

    def __init__(self, artifact: Any, name: str | None = None, compressed: bool = True) -> None:
        self._artifact = artifact
        self._name = None if name is None else str(name)
        self._compressed = compressed

    def update(self, artifact: Any) -> None:
        """Show another object."""
        self._artifact = artifact

    @safely
    def render(self) -> Any:
        """The object as text."""
        made = ArtifactsComponent(data=[described(self._artifact, self._name, only_repr=self._compressed)]).render()
        return {**made, "id": self.component_id}


class Markdown(UserComponent):
    """A text in Markdown; indentation that all its lines share does not count."""

    REALTIME_UPDATABLE = True

    def __init__(self, text: str | None = None) -> None:
        self.update(text)

    def update(self, text: str | None = None) -> None:
        """Replace the text."""
        self._text = None if text is None else textwrap.dedent(text)

    @safely
    def render(self) -> Any:
        """The text."""
        return {**MarkdownComponent(self._text).render(), "id": self.component_id}


class Error(UserComponent):
    """An exception under a title."""

    def __init__(self, exception: Any, title: str | None = None) -> None:
        self._exception = exception
        self._title = title

    @safely
    def render(self) -> Any:
        """Title and exception."""
        text = repr(self._exception)
        return {**LogComponent(text if self._title is None else f"{self._title}\n\n{text}").render()}


class PythonCode(UserComponent):
    """The source of a function, or code as text."""

    def __init__(self, code_func: Any = None, code_string: str | None = None) -> None:
        self._code = code_string
        if code_func is not None:
            import inspect

            self._code = inspect.getsource(code_func)

    @safely
    def render(self) -> Any:
        """The code."""
        if self._code is None:
            headline = "`PythonCode` component requires a `code_func` or `code_string` argument. "
            return ErrorComponent(headline, "None provided for both").render()
        return {**PythonCodeComponent(self._code).render(), "id": self.component_id}


class Table(UserComponent):
    """Rows of values or components. What is not a list of lists is shown as an empty table."""

    REALTIME_UPDATABLE = True

    def __init__(self, data: Any = None, headers: Any = None, disable_updates: bool = False) -> None:
        self._headers = headers if type(headers) is list else []
        self._data = data if is_rows(data) else [[]]
        if disable_updates:
            self.REALTIME_UPDATABLE = False

    @classmethod
    def from_dataframe(cls, dataframe: Any = None, truncate: bool = True) -> Table:
        """The first rows of a frame of pandas, or all of them."""
        if not is_frame(dataframe):
            return cls(headers=[f"Object type {type_name(dataframe)} not supported"], disable_updates=True)
        table = frame_table(dataframe, truncate=truncate)
        return cls(table["data"], table["headers"], disable_updates=True)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Warn: components in a table can be updated, the table itself cannot."""
        self._complain("A Table stays as it is; the components in it can be updated")

    @safely
    def render(self) -> Any:
        """Headers and rows."""
        for one in (one for row in self._data for one in row):
            if isinstance(one, VegaChart):
                one.inside_table = True
        made = TableComponent(headers=self._headers, data=[render_row(row) for row in self._data]).render()
        return {**made, "id": self.component_id}


class Image(UserComponent):
    """A picture from bytes of a PNG, JPEG, GIF or WebP file, from matplotlib, or from Pillow.

    What cannot be shown leaves a message in its place.
    """

    REALTIME_UPDATABLE = True

    def __init__(self, src: Any = None, label: str | None = None, disable_updates: bool = True) -> None:
        if disable_updates:
            self.REALTIME_UPDATABLE = False
        self._label = label
        self._take(src)

    def _take(self, src: Any) -> None:
        self._src: str | None = None
        self._problem = ("", "")
        wanted = "The `Image` `src` argument should be of type `bytes` or valid image base64 string"
        if src is None:
            self._problem = ("`Image` Component `src` cannot be `None`", "")
        elif isinstance(src, str):
            if src.startswith("data:image/"):
                self._src = src
            else:
                self._problem = (wanted, f"String {src[:200]} is invalid base64 string")
        elif isinstance(src, bytes):
            self._src = picture_source(src)
            self._problem = ("Bytes not parsable as image", "")
        else:
            self._problem = (wanted, f"Type of {type(src)} is invalid")

    @classmethod
    def from_pil_image(cls, pilimage: Any, label: str | None = None, disable_updates: bool = False) -> Image:
        """A picture of Pillow."""
        image = cls(None, label, disable_updates)
        image._draw(_from_pillow, pilimage, "PIL Image Not Parsable")
        return image

    @classmethod
    def from_matplotlib(cls, plot: Any, label: str | None = None, disable_updates: bool = False) -> Image:
        """A figure of matplotlib, or axes; the figure is closed."""
        image = cls(None, label, disable_updates)
        image._draw(_from_figure, plot, "Matplotlib plot's image is not parsable")
        return image

    def _draw(self, draw: Any, what: Any, headline: str) -> None:
        try:
            self._take(draw(what))
        except TypeError as error:
            self._src, self._problem = None, (str(error), "")
        except Exception as error:
            self._src, self._problem = None, (headline, f"{type(error).__name__}: {error}")

    def update(self, image: Any, label: str | None = None) -> None:
        """Show another picture."""
        if not self.REALTIME_UPDATABLE:
            self._complain("An Image that is to change must be made with disable_updates=False")
            return
        self._label = self._label if label is None else label
        name = type_name(image)
        if isinstance(image, (bytes, str)):
            self._take(image)
        elif name.startswith("PIL"):
            self._draw(_from_pillow, image, "PIL Image Not Parsable")
        else:
            self._draw(_from_figure, image, "Matplotlib plot's image is not parsable")

    @safely
    def render(self) -> Any:
        """The picture, or why there is none."""
        if self._src is None:
            return ErrorComponent(f"[IMAGE_RENDER FAIL]: {self._problem[0]}", self._problem[1]).render()
        return {**ImageComponent(self._src, self._label).render(), "id": self.component_id}


def _from_pillow(image: Any) -> bytes:
    import io

    if not type_name(image).startswith("PIL") or on_type(image, "save") is None:
        raise TypeError(f"first argument for `Image` should be of type PIL.Image.Image, not {type_name(image)}")
    data = io.BytesIO()
    image.save(data, format="PNG")
    return data.getvalue()


def _from_figure(plot: Any) -> bytes:
    import io

    figure = plot if type_name(plot) == "matplotlib.figure.Figure" else None
    if figure is None:
        if on_type(plot, "get_figure") is None:
            raise TypeError(f"Invalid Type. Object {type(plot)} is not from `matplotlib`")
        figure = plot.get_figure()
    data = io.BytesIO()
    figure.savefig(data, format="PNG")
    import matplotlib.pyplot

    matplotlib.pyplot.close(figure)
    return data.getvalue()
