"""Forms and pages without scripts: reading what a form says, and writing HTML in which values cannot be markup."""

from __future__ import annotations

import html
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from headrace.server.call import Server
from headrace.server.dispatch import read_body
from headrace.server.problems import Problem

_LONGEST_BODY = 16_384
#: Nothing but the page's own style sheet, whose digest is named: no script, no picture, no frame.
_POLICY = (
    "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'{targets}; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_STYLE = """
:root { color-scheme: light dark; --ink: #17202a; --paper: #f6f7f9; --card: #fff; --line: #c9ced6; --accent: #0b6e6e;
  --bad: #a3211b; font: 16px/1.5 system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebef; --paper: #12161b; --card: #1b2128; --line: #46505c;
  --accent: #5cc8c0; --bad: #ff8a80; } }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink); }
main { box-sizing: border-box; width: min(24rem, 100vw - 2rem); margin: 2rem 1rem; padding: 2rem;
  background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
h1 { margin: 0 0 1.25rem; font-size: 1.375rem; line-height: 1.3; }
label { display: block; margin: 1rem 0 .25rem; font-weight: 600; }
input { box-sizing: border-box; width: 100%; padding: .5rem .625rem; font: inherit; color: inherit;
  background: var(--paper); border: 1px solid var(--line); border-radius: 4px; }
button, .button { box-sizing: border-box; display: block; width: 100%; margin-top: 1.5rem; padding: .625rem;
  font: inherit; font-weight: 600; text-align: center; text-decoration: none; color: var(--card);
  background: var(--accent); border: 1px solid var(--accent); border-radius: 4px; cursor: pointer; }
.second { color: var(--accent); background: none; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.problem { margin: 0 0 1rem; color: var(--bad); }
p { margin: .75rem 0; overflow-wrap: anywhere; }
"""


def _digest(text: str) -> str:
    import base64
    import hashlib

    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


_STYLE_DIGEST = _digest(_STYLE)


def page(title: str, content: str, status: int = 200, targets: str = "", headers: Mapping[str, str] = {}) -> Response:
    """A page of plain HTML.

    Args:
        title: for people; it is escaped.
        content: HTML in which all values are escaped: see ``shown``.
        status: of HTTP.
        targets: addresses beyond this server that a form's answer may lead to.
        headers: more headers.
    """
    policy = _POLICY.format(style=_STYLE_DIGEST, targets=f" {targets}" if targets else "")
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{shown(title)} - Headrace</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{shown(title)}</h1>{content}</main></body></html>"
    )
    more = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return Response(text, status, {**more, **headers}, "text/html; charset=utf-8")


def shown(text: str) -> str:
    """``text`` as HTML, also within an attribute."""
    return html.escape("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text))


def hidden(name: str, value: str) -> str:
    """A field of a form that is not shown."""
    return f'<input type="hidden" name="{shown(name)}" value="{shown(value)}">'


async def read_form(request: Request, server: Server) -> dict[str, str]:
    """The fields of a form.

    Raises:
        Problem: it is too long, is not a form, or names a field twice.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Problem(415, "media-type", "this is to be sent by its form")
    data = await read_body(request, _LONGEST_BODY, server)
    try:
        pairs = parse_qsl(data.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
    except (UnicodeDecodeError, ValueError):
        raise Problem(400, "bad-body", "this is not what the form sends") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Problem(400, "bad-body", "the form names a field twice")
    return fields


def local_path(text: str) -> str:
    """``text`` where it is a path on this server that a login may lead to; else the first page."""
    fits = text.startswith("/") and text[1:2] not in ("/", "\\") and text.isascii() and text.isprintable()
    return text if fits and "\\" not in text and len(text) <= 2_000 else "/"
