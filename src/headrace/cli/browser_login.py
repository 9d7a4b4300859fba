"""Logging in through the browser: a page of the server lets this process in, and leads the browser back to it.

RFC 8252: a listener on 127.0.0.1 that takes one answer, and PKCE, so that a code that somebody else sees is of no use.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import socket
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from headrace.model.errors import UsageError

#: How long the user may take on the page, in seconds.
PATIENCE = 300.0
_DONE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Headrace</title>
<p>The command line is logged in. You may close this window.</p></html>"""


class Answer(NamedTuple):
    """What the browser brought back, and what it must be shown with."""

    code: str
    verifier: str


class BrowserLogin:
    """Waits for the browser. ``address`` is the page of the server at ``url`` to open."""

    def __init__(self, url: str) -> None:
        self._state = secrets.token_urlsafe(24)
        self._verifier = secrets.token_urlsafe(32)
        self._code = ""
        self._listener = _Listener(("127.0.0.1", 0), _Handler)
        self._listener.login = self
        digest = hashlib.sha256(self._verifier.encode()).digest()
        query = {
            "port": self._listener.server_port,
            "state": self._state,
            "challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "machine": socket.gethostname()[:100],
        }
        self.address = f"{url}/login/cli?{urlencode(query)}"

    def take(self, query: str) -> bool:
        """Take what the browser sends; whether it is the answer that is waited for."""
        found = parse_qs(query)
        state, code = found.get("state", [""])[0], found.get("code", [""])[0]
        if not secrets.compare_digest(state.encode(), self._state.encode()) or not code:
            return False
        self._code = code
        return True

    def wait(self, seconds: float = PATIENCE) -> Answer:
        """The answer.

        Raises:
            UsageError: it did not come in time.
        """
        until = time.monotonic() + seconds
        with self._listener:
            while not self._code:
                left = until - time.monotonic()
                if left <= 0:
                    raise UsageError(
                        f"nobody let the command line in within {seconds:.0f} s; run `headrace login` again, or give "
                        "it a token with --with-token"
                    )
                self._listener.timeout = left
                self._listener.handle_request()
        return Answer(self._code, self._verifier)


class _Listener(HTTPServer):
    login: BrowserLogin

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that breaks off is none of the browser's."""


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    timeout = 5  # a connection that says nothing holds up nothing

    def do_GET(self) -> None:
        """Take the answer; everything else is not here."""
        parts = urlsplit(self.path)
        taken = parts.path == "/" and self.server.login.take(parts.query)
        self.send_response(200 if taken else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.end_headers()
        if taken:
            self.wfile.write(_DONE)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class calls it
        """The code is not to be printed."""
