"""From the dictionaries that components render to, to one page of HTML.

The page holds everything it shows and nothing that acts: its own policy forbids scripts and every request, and all
values are escaped. It is as light or dark as the reader's system.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from headrace.frontends.metaflow.cards import draw, markup, vega

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-src 'self'"
_HEIGHT = re.compile(r"^\d+(\.\d+)?(px|em|rem|vh)$")
_WORD = re.compile(r"^[a-zA-Z][a-zA-Z0-9_-]*$")
_SOURCE = re.compile(r"^data:image/[a-z+.-]+[;,]")


@functools.cache
def _style() -> str:
    return Path(__file__).with_name("page.css").read_text("utf-8").replace("\n", "")


def page(title: str, contents: Iterable[Any], *, heading: str = "", note: str = "") -> str:
    """A whole page of rendered components under a heading."""
    top = f"<header><h1>{escape(heading)}</h1>{f'<p>{escape(note)}</p>' if note else ''}</header>" if heading else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{_style()}</style></head>'
        f"<body><main>{top}{_sections(contents)}</main></body></html>\n"
    )


def _sections(contents: Iterable[Any]) -> str:
    """Parts that stand by themselves are put into sections; pages and sections are ones already."""
    made: list[str] = []
    loose: list[Any] = []
    for one in [*contents, None]:
        own = isinstance(one, dict) and one.get("type") in ("section", "page")
        if one is not None and not own:
            loose.append(one)
            continue
        if loose:
            made.append(f"<section>{parts(loose)}</section>")
            loose = []
        if one is not None:
            made.append(part(one))
    return "".join(made)


def parts(contents: Iterable[Any]) -> str:
    """Components one below the other; boxes of values side by side."""
    made: list[str] = []
    boxes: list[str] = []
    for one in [*contents, None]:
        if isinstance(one, dict) and one.get("type") == "valueBox":
            boxes.append(part(one))
            continue
        if boxes:
            made.append(f'<div class="part boxes">{"".join(boxes)}</div>')
            boxes = []
        if one is not None:
            made.append(f'<div class="part">{part(one)}</div>')
    return "".join(made)


def part(one: Any) -> str:
    """One component as HTML. What is of no known form is shown as what it is."""
    if isinstance(one, str):
        return f"<div>{escape(one)}</div>"
    known = _KINDS.get(str(one.get("type"))) if isinstance(one, dict) else None
    if known is None:
        return f"<pre>{escape(json.dumps(one, indent=2, default=str))}</pre>"
    try:
        return known(one)
    except Exception as error:  # a user's component may say it is a table and hold none
        text = f"{type(error).__name__}: {error}\n{json.dumps(one, indent=2, default=str)[:5000]}"
        return f'<pre class="log">This part cannot be shown: {escape(text)}</pre>'


def _heads(one: dict[str, Any], level: int = 2) -> str:
    title, sub = one.get("title"), one.get("subtitle")
    return (f"<h{level}>{escape(str(title))}</h{level}>" if title else "") + (
        f'<p class="sub">{escape(str(sub))}</p>' if sub else ""
    )


# --- the kinds ----------------------------------------------------------------------------------------------------


def _page(one: dict[str, Any]) -> str:
    title = f"<h1>{escape(str(one['title']))}</h1>" if one.get("title") else ""
    return title + _sections(one.get("contents", ()))


def _section(one: dict[str, Any]) -> str:
    contents = [_inner(each) for each in one.get("contents", ())]
    columns = one.get("columns")
    inside = f'<div class="cols">{parts(contents)}</div>' if columns and columns > 1 else parts(contents)
    return f"<section>{_heads(one)}{inside}</section>"


def _inner(one: Any) -> Any:
    """A section inside another has a smaller heading."""
    return {**one, "type": "subsection"} if isinstance(one, dict) and one.get("type") == "section" else one


def _subsection(one: dict[str, Any]) -> str:
    return f"<section>{_heads(one, 3)}{parts(map(_inner, one.get('contents', ())))}</section>"


def _table(one: dict[str, Any]) -> str:
    headers, rows = one.get("columns") or [], one.get("data") or []
    if one.get("vertical"):
        values = rows[0] if rows else []
        body = "".join(
            f'<tr><th scope="row">{escape(str(name))}</th>{_cell(value)}</tr>'
            for name, value in zip(headers, values, strict=False)
        )
        return f'{_heads(one, 3)}<div class="scroll"><table class="facts"><tbody>{body}</tbody></table></div>'
    head = "".join(f"<th>{escape(str(name))}</th>" for name in headers)
    top = f"<thead><tr>{head}</tr></thead>" if headers else ""
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows if row)
    return f'{_heads(one, 3)}<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, dict) and value.get("type") in _KINDS:
        return f"<td>{part(value)}</td>"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f'<td class="num">{escape(f"{value:.10g}" if isinstance(value, float) else str(value))}</td>'
    if value is None:
        return "<td></td>"
    return f"<td>{escape(value if isinstance(value, str) else json.dumps(value, default=str))}</td>"


def _artifacts(one: dict[str, Any]) -> str:
    data = one.get("data") or []
    rows = []
    for entry in data.values() if isinstance(data, dict) else data:
        text = entry.get("data")
        shown = text if isinstance(text, str) else json.dumps(text, indent=2, default=str)
        name = f"<td>{escape(str(entry['name']))}</td>" if entry.get("name") else ""
        kind = f'<td class="kind">{escape(str(entry.get("type")))}</td>'
        rows.append(f"<tr>{name}{kind}<td><pre>{escape(shown)}</pre></td></tr>")
    return f'{_heads(one, 3)}<table class="artifacts"><tbody>{"".join(rows)}</tbody></table>'


def _image(one: dict[str, Any]) -> str:
    source, label = str(one.get("src") or ""), escape(str(one.get("label") or ""))
    if not _SOURCE.match(source):  # a page fetches nothing
        return f'<p class="note">No picture: {escape(source[:200])}</p>'
    caption = f"<figcaption>{label}</figcaption>" if label else ""
    return f'<figure><img alt="{label}" src="{escape(source)}">{caption}</figure>'


def _code(language: str, field: str) -> Callable[[dict[str, Any]], str]:
    def render(one: dict[str, Any]) -> str:
        text = str(one.get(field) or "")
        height = str(one.get("max_height") or "")
        style = f' style="max-height:{height}"' if _HEIGHT.match(height) else ""
        block = f"<pre{style}><code>{markup.code(text, language)}</code></pre>"
        title = escape(str(one.get("title") or ""))
        if not one.get("collapsible"):
            return (f"<h3>{title}</h3>" if title else "") + block
        return f"<details open><summary>{title}</summary>{block}</details>"

    return render


def _html(one: dict[str, Any]) -> str:
    return f'<iframe class="html" sandbox="" srcdoc="{escape(str(one.get("data") or ""))}"></iframe>'


def _markdown(one: dict[str, Any]) -> str:
    return f'<div class="md">{markup.markdown(str(one.get("source") or ""))}</div>'


def _progress(one: dict[str, Any]) -> str:
    top, value = one["max"], one["value"]
    share = f" ({value / top:.0%})" if top else ""
    unit = f" {one['unit']}" if one.get("unit") else ""
    details = f"<small>{escape(str(one['details']))}</small>" if one.get("details") else ""
    return (
        f'<div class="progress"><span>{escape(str(one.get("label") or ""))}</span>'
        f"<span>{escape(f'{value} / {top}{unit}{share}')}</span>"
        f'<progress max="{escape(str(top))}" value="{escape(str(value))}"></progress>{details}</div>'
    )


def _box(one: dict[str, Any]) -> str:
    value = one.get("value")
    shown = f"{value:.6g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
    below = "".join(f"<small>{escape(str(one[key]))}</small>" for key in ("subtitle", "change_indicator") if key in one)
    title = f"<span>{escape(str(one['title']))}</span>" if one.get("title") else ""
    return f'<div class="box {_class(one.get("theme"))}">{title}<b>{escape(shown)}</b>{below}</div>'


def _class(name: Any) -> str:
    return str(name) if isinstance(name, str) and _WORD.match(name) else ""


def _events(one: dict[str, Any]) -> str:
    stats = one.get("stats") or {}
    total, here = stats.get("total_events", 0), stats.get("displayed_events", 0)
    words = [f"{total} event{'s' if total != 1 else ''}" + (f", the last {here} shown" if here < total else "")]
    words += ["finished"] if stats.get("finished") else []
    note = f'<p class="note">{escape(", ".join(words))}</p>'
    items = "".join(_event(event) for event in one.get("events", ()))
    return f'{_heads(one, 3)}{note}<ol class="events">{items}</ol>'


def _event(event: dict[str, Any]) -> str:
    facts = dict(event.get("metadata") or {})
    when = facts.pop("timestamp", event.get("received_at"))
    if isinstance(when, (int, float)):
        when = datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M:%S")
    pairs = "".join(f"<div><dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd></div>" for k, v in facts.items())
    more = "".join(
        f"<details><summary>{escape(str(name))}</summary>{part(payload)}</details>"
        for name, payload in (event.get("payloads") or {}).items()
    )
    classes = f"{_class(event.get('style_theme'))} {_class(event.get('priority'))}"
    return f'<li class="{classes}"><time>{escape(str(when))}</time><dl>{pairs}</dl>{more}</li>'


def _dag(one: dict[str, Any]) -> str:
    data = one.get("data") or {}
    steps = data.get("steps", data)
    drawing = draw.graph(steps, str(data.get("start_step") or "start"), str(data.get("here") or "")) if steps else ""
    return _heads(one, 3) + drawing


def _heading(level: int) -> Callable[[dict[str, Any]], str]:
    return lambda one: f"<h{level}>{escape(str(one.get('text', '')))}</h{level}>"


_KINDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "page": _page,
    "section": _section,
    "subsection": _subsection,
    "title": _heading(2),
    "subtitle": _heading(3),
    "text": lambda one: f"<p>{escape(str(one.get('text') or ''))}</p>",
    "log": lambda one: f'<pre class="log">{escape(str(one.get("data") or ""))}</pre>',
    "table": _table,
    "artifacts": _artifacts,
    "image": _image,
    "pythonCode": _code("python", "data"),
    "jsonViewer": _code("json", "json_string"),
    "yamlViewer": _code("yaml", "yaml_string"),
    "html": _html,
    "markdown": _markdown,
    "progressBar": _progress,
    "valueBox": _box,
    "vegaChart": lambda one: vega.chart(one["spec"]),
    "eventsTimeline": _events,
    "dag": _dag,
}
