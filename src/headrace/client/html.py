"""Tables and facts as text for a prompt and as HTML for a notebook. Everything that came from outside is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from headrace.model.values import Preview

_CELL = 60
_STATE_COLOURS = {
    "succeeded": "#1a7f37",
    "failed": "#cf222e",
    "crashed": "#cf222e",
    "lost": "#cf222e",
    "running": "#0969da",
    "cancelled": "#9a6700",
    "interrupted": "#9a6700",
}


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to equal width."""
    table = [list(header), *[[_short(cell) for cell in row] for row in rows]]
    widths = [max(len(row[place]) for row in table) for place in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join(lines)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _CELL else line[: _CELL - 3] + "..."


def html_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> str:
    """A table with a title above and a note below it."""
    head = "".join(f"<th style='text-align:left'>{escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    foot = f"<div><small>{escape(note)}</small></div>" if note else ""
    return f"<div><b>{escape(title)}</b><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{foot}</div>"


def _cell(text: str) -> str:
    colour = _STATE_COLOURS.get(text)
    return f"<span style='color:{colour}'>{escape(text)}</span>" if colour else escape(_short(text))


def html_facts(title: str, facts: Iterable[tuple[str, str]], more: str = "", page: str = "") -> str:
    """Labels and values, those without a value left out; ``more`` is HTML to put below, ``page`` a link."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(label)}</th><td style='text-align:left'>{_cell(value)}</td></tr>"
        for label, value in facts
        if value
    )
    head = f"<a href='{escape(page)}' target='_blank' rel='noopener'>{escape(title)}</a>" if page else escape(title)
    return f"<div><b>{head}</b><table>{rows}</table>{more}</div>"


def html_text(text: str) -> str:
    """Text as it is, line by line."""
    return f"<pre>{escape(text)}</pre>" if text else ""


def html_preview(preview: Preview) -> str:
    """A picture, the head of a table, or text."""
    if preview.png:
        return f"<img src='data:image/png;base64,{base64.b64encode(preview.png).decode()}'/>"
    if preview.table:
        return html_table("", preview.table[0], preview.table[1:])
    return html_text(preview.text)
