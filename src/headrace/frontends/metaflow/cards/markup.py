"""Markdown and source code as HTML that holds nothing but what it shows: no scripts, no frames, nothing to fetch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from html import escape
from typing import Any


@functools.cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.add_render_rule("image", _image)
    return parser


def _image(renderer: Any, tokens: Sequence[Any], index: int, options: Any, env: Any) -> str:
    """Pictures inside the text are shown; those elsewhere are links, for a card fetches nothing."""
    token = tokens[index]
    source, text = str(token.attrs.get("src", "")), escape(token.content)
    if source.startswith("data:image/"):
        return f'<img src="{escape(source)}" alt="{text}">'
    return f'<a href="{escape(source)}" rel="noopener noreferrer">{text or escape(source)}</a>'


def markdown(text: str) -> str:
    """Markdown as HTML. HTML in it is shown as text; links to scripts stay text."""
    made: str = _markdown().render(text)
    return made


@functools.cache
def _highlighter(language: str) -> Callable[[str], str]:
    from pygments import highlight
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    formatter, lexer = HtmlFormatter(nowrap=True), get_lexer_by_name(language, stripnl=False)
    return lambda code: str(highlight(code, lexer, formatter))


#: Longer code is shown without colours.
_COLOURED = 100_000


def code(text: str, language: str) -> str:
    """Source code with its words marked; ``language`` is python, json or yaml."""
    return _highlighter(language)(text) if len(text) <= _COLOURED else escape(text)
