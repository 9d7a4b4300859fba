"""The pages: files that ``ui/`` is built into, and ``index.html`` for every address that a page may have.

Only files that were there when the pages were built are served, so no path leads elsewhere. Nothing of a page comes
from another origin, no script stands in the HTML, and nothing may frame it: the content security policy says so.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headrace.server.dispatch import answer_error

STATIC = Path(__file__).parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; worker-src 'self'; "
    "img-src 'self' data: blob:; frame-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".png": "image/png",
}
_PACKED = (".css", ".html", ".js", ".json", ".svg")
_PAGES = ("p", "admin")
_NOT_BUILT = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Headrace</title>
<h1>The pages are not built</h1>
<p>This checkout has the source of the pages alone. Type <code>make ui</code>, or
<code>python ui/build.py</code>, in it, then start the server again.
The API is at <a href="/api/v1/openapi.json">/api/v1</a>.</p></html>"""


class _File(NamedTuple):
    path: Path
    media: str
    immutable: bool


class Pages:
    """Answers every GET that no route of the API takes.

    Args:
        folder: what the pages were built into; it may be missing.
    """

    def __init__(self, folder: Path = STATIC) -> None:
        self._folder = folder
        self._made = 0
        self._files: dict[str, _File] = {}
        self._read: dict[str, tuple[bytes, bytes, str]] = {}
        self._look()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with a file, or with the page for an address of one."""
        request = Request(scope, receive, send)
        try:
            response = self._respond(request)
        except HTTPException as error:
            response = answer_error(request, error)
        await response(scope, receive, send)

    def _respond(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        path = request.url.path.lstrip("/")
        if path in self._files and path != "index.html":
            return self._answer(request, path)
        if path and path.partition("/")[0] not in _PAGES:
            raise HTTPException(404)
        self._look()
        if "index.html" not in self._files:
            return Response(_NOT_BUILT, 503, {"Cache-Control": "no-store"}, _TYPES[".html"])
        return self._answer(request, "index.html")

    def _look(self) -> None:
        """List the files again where they were built again: old pages would ask for what is gone."""
        try:
            made = (self._folder / "index.html").stat().st_mtime_ns
        except OSError:
            made = 0
        if made != self._made or not self._files:
            self._made, self._files, self._read = made, dict(_files(self._folder)), {}

    def _answer(self, request: Request, name: str) -> Response:
        file = self._files[name]
        content, packed, tag = self._content(name)
        headers = {
            "ETag": f'"{tag}"',
            "Vary": "Accept-Encoding",
            "Cache-Control": "public, max-age=31536000, immutable" if file.immutable else "no-cache",
            "Content-Security-Policy": POLICY,
            "Cross-Origin-Opener-Policy": "same-origin",
        }
        if f'"{tag}"' in request.headers.get("if-none-match", ""):
            return Response(None, 304, headers)
        if packed and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed, 200, {**headers, "Content-Encoding": "gzip"}, file.media)
        return Response(content, 200, headers, file.media)

    def _content(self, name: str) -> tuple[bytes, bytes, str]:
        """Bytes, the same compressed (empty where that does not pay), and their digest; kept once they were read."""
        known = self._read.get(name)
        if known is None:
            path = self._files[name].path
            try:
                content = path.read_bytes()
            except FileNotFoundError:  # the pages were built again meanwhile; this server goes with the old ones
                raise HTTPException(404) from None
            packed = gzip.compress(content, 6, mtime=0) if path.suffix in _PACKED else b""
            known = self._read[name] = (content, packed, blake3(content).hexdigest(16))
        return known


def _files(folder: Path) -> list[tuple[str, _File]]:
    if not folder.is_dir():
        return []
    found = []
    for path in folder.rglob("*"):
        media = _TYPES.get(path.suffix)
        if media is not None and path.is_file():
            name = path.relative_to(folder).as_posix()
            found.append((name, _File(path, media, name.startswith("assets/"))))
    return found
