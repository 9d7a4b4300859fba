"""The cookies of the server: out of reach of scripts, for this host alone, and over TLS alone where there is TLS."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.responses import Response

from headrace.server.config import ServerConfig


class Cookies:
    """Sets and reads cookies.

    With TLS their names begin with ``__Host-``: browsers then take them from this very host alone, so that no other
    site of the domain can plant one.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._secure = config.url.startswith("https://")

    def name(self, kind: str) -> str:
        """The name of the cookie for ``kind``: ``session`` or ``login``."""
        return f"__Host-headrace_{kind}" if self._secure else f"headrace_{kind}"

    def session_of(self, request: HTTPConnection) -> str:
        """What the session's cookie says; empty without one."""
        return self.read(request, "session")

    def read(self, request: HTTPConnection, kind: str) -> str:
        """What a cookie says; empty without one."""
        text = request.cookies.get(self.name(kind), "")
        return text if len(text) <= 200 else ""

    def set(self, response: Response, kind: str, text: str, seconds: float, *, strict: bool = False) -> None:
        """Let the browser keep ``text`` for ``seconds``; ``strict``: it does not come with links of other sites."""
        response.set_cookie(
            self.name(kind),
            text,
            max_age=int(seconds),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="strict" if strict else "lax",
        )

    def drop(self, response: Response, kind: str) -> None:
        """Let the browser forget a cookie."""
        response.delete_cookie(self.name(kind), path="/", secure=self._secure, httponly=True, samesite="lax")
