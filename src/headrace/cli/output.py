"""How commands print: aligned tables that fit the terminal, JSON, colours on a terminal.

Piped output is aligned text at full width: nothing is cut off, no tabs, no colours.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click

from headrace._base.texts import shorten

_GAP = "  "
_NARROWEST = 8
#: Characters of one line of a traceback on a terminal.
_LONGEST = 2_000
_STATE_COLOURS = {
    "succeeded": "green",
    "reused": "green",
    "running": "cyan",
    "ready": "cyan",
    "waiting": "cyan",
    "delayed": "yellow",
    "failed": "red",
    "lost": "red",
    "cancelled": "yellow",
    "interrupted": "yellow",
    "crashed": "red",
    "stale": "bright_black",
}


class Column(NamedTuple):
    """A column of a table: ``flex`` ones give way when the terminal is narrow."""

    header: str
    right: bool = False
    flex: bool = False
    state: bool = False


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def colours() -> bool:
    """Whether to use colours."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style(text: str, **how: Any) -> str:
    """``text`` in a style, where styles are seen."""
    return click.style(text, **how) if colours() else text


def state_style(text: str) -> str:
    """A state in its colour; ``text`` may go on after its first word."""
    colour = _STATE_COLOURS.get(text.split(" ")[0])
    if text.endswith("gone)"):
        colour = "red"
    return style(text, fg=colour) if colour else text


def heading(text: str) -> None:
    """A line above a part of the output."""
    click.echo(style(text, bold=True))


def print_json(value: object) -> None:
    """One JSON document on stdout, indented."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=_hook), indent=2)
    click.echo(text.decode())


def _hook(value: object) -> object:
    return str(value)


def clean(text: str) -> str:
    """``text`` on one line, with control characters shown instead of obeyed."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return {"\n": " ", "\t": " ", "\r": ""}.get(char, char.encode("unicode_escape").decode())


def clean_lines(text: str) -> str:
    """``text`` with its lines kept, and other control characters shown instead of obeyed."""
    return "\n".join(clean(line.expandtabs()) for line in text.splitlines())


def print_traceback(text: str, name: str, *, err: bool = False) -> None:
    """Print the traceback of ``name`` and an empty line: whole for a pipe, with long lines shortened on a terminal."""
    lines = clean_lines(text).splitlines()
    shown = [shorten(line, _LONGEST) for line in lines] if is_terminal() else lines
    click.echo("\n".join(shown) + "\n", err=err)
    if shown != lines:
        click.echo(f"Lines were cut; to read all of it: headrace show {name} | less\n", err=err)


def width_of(text: str) -> int:
    """Columns of the terminal that ``text`` takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def cut(text: str, width: int) -> str:
    """``text`` in at most ``width`` columns."""
    if width_of(text) <= width:
        return text
    kept, used = [], 0
    for char in text:
        used += width_of(char)
        if used > width - 1:
            break
        kept.append(char)
    return "".join(kept) + "…"


def brief(value: object, most: int = 200) -> str:
    """How ``value`` begins, on one line, where it is too long to be shown: an included file may be a parameter."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= most else clean(shorten(text, most))


def paragraph(text: str) -> str:
    """``text`` broken into lines on a terminal, one line elsewhere."""
    width = terminal_width()
    if not width:
        return text
    import textwrap

    return textwrap.fill(text, max(20, width), break_on_hyphens=False)


def terminal_width() -> int:
    """Columns there are; 0: as many as needed, because stdout is not a terminal."""
    if not is_terminal():
        return 0
    import shutil  # which imports all kinds of compression

    return shutil.get_terminal_size((100, 30)).columns


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], indent: str = "") -> None:
    """Print rows under their headers; columns without any text are left out."""
    used = [index for index in range(len(columns)) if any(row[index] for row in rows)]
    shown = [columns[index] for index in used]
    cells = [[clean(row[index]) for index in used] for row in rows]
    widths = [
        max(width_of(column.header), *(width_of(row[place]) for row in cells)) for place, column in enumerate(shown)
    ]
    limit = terminal_width()
    if limit:
        widths = _fit(widths, shown, limit - len(indent))
    if any(column.header for column in shown):
        line = _line([column.header for column in shown], shown, widths)
        click.echo(indent + style(line, dim=True))
    for row in cells:
        click.echo(indent + _line(row, shown, widths, body=True))


def _fit(widths: list[int], columns: Sequence[Column], limit: int) -> list[int]:
    """Narrow the flexible columns, the widest first, until the table fits or they are as narrow as can be."""
    widths = list(widths)
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - limit
    while excess > 0:
        wide = [i for i, c in enumerate(columns) if c.flex and widths[i] > max(_NARROWEST, len(c.header))]
        if not wide:
            break
        widest = max(wide, key=lambda i: widths[i])
        widths[widest] -= 1
        excess -= 1
    return widths


def _line(row: Sequence[str], columns: Sequence[Column], widths: Sequence[int], *, body: bool = False) -> str:
    parts = []
    for place, (text, column, width) in enumerate(zip(row, columns, widths, strict=True)):
        short = cut(text, width)
        pad = " " * (width - width_of(short))
        if body and column.state:
            short = state_style(short)
        last = place == len(columns) - 1
        parts.append(pad + short if column.right else short if last else short + pad)
    return _GAP.join(parts).rstrip()


def print_facts(facts: Sequence[tuple[str, str]], indent: str = "") -> None:
    """Label and value, line by line; empty values are left out."""
    facts = [(label, text) for label, text in facts if text]
    wide = max((len(label) for label, _ in facts), default=0)
    limit = terminal_width()
    for label, text in facts:
        line = clean(text)
        if limit:
            line = cut(line, max(20, limit - wide - len(_GAP) - len(indent)))
        shown = state_style(line) if label == "state" else line
        click.echo(f"{indent}{style(label.ljust(wide), dim=True)}{_GAP}{shown}")


def moment(seconds: float | None) -> str:
    """A time for people, in this machine's time zone."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def number(value: float) -> str:
    """A metric for people."""
    return f"{value:.6g}"


def bar(done: int, total: int, width: int = 20) -> str:
    """How much of ``total`` is done, as ``width`` characters."""
    filled = width if total <= 0 else min(width, done * width // total)
    try:
        "█".encode(sys.stdout.encoding or "ascii")
        full, empty = "█", "░"
    except (UnicodeEncodeError, LookupError):
        full, empty = "#", "."
    return full * filled + empty * (width - filled)


def tags_apart(tags: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The tags that people gave a run, and those that every run of a dialect gets by itself."""
    if "metaflow_version" not in tags:
        return dict(tags), {}
    from headrace.frontends.metaflow.client.tags import IMPORTED, SYSTEM

    system = {name: value for name, value in tags.items() if value and (name in SYSTEM or name == IMPORTED)}
    return {name: value for name, value in tags.items() if name not in system}, system


def tags_text(tags: Mapping[str, str]) -> str:
    """Tags on one line, as options take them."""
    return " ".join(f"{name}={value}" if value else name for name, value in tags.items())


def waiting_text(waits_for: str, seen: float | None) -> str:
    """Why the driver of a run has not begun, and when somebody has last seen that."""
    when = "" if seen is None else f" (seen {moment(seen)})"
    return f"waiting to begin in the cluster{f': {clean_lines(waits_for)}' if waits_for else ''}{when}"
