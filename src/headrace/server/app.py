"""The application: request ids and access log -> the door (host, origin) -> the routes of the table."""

from __future__ import annotations

import os
import random
import time

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Served
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace._base.logs import Log
from headrace.server.accounts.authenticator import AccountsAuthenticator
from headrace.server.accounts.login_pages import login_routes
from headrace.server.call import Server
from headrace.server.config import ServerConfig, is_loopback
from headrace.server.direct_socket import SENT
from headrace.server.dispatch import PathEndpoint, answer_error
from headrace.server.forwarded import Forwarded
from headrace.server.kfp.mount import kfp_routes
from headrace.server.observing import Counts, log_request
from headrace.server.pages import Pages
from headrace.server.principals import Authenticator, EverybodyIsUser
from headrace.server.problems import Problem
from headrace.server.routes import COMMON_HEADERS, Route
from headrace.server.stores.mount import StoresFirst
from headrace.server.table import routes
from headrace.services.accounts.users import Accounts
from headrace.wiring import Scope as WorkspaceScope

_log = Log("server")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def build_app(config: ServerConfig, scope: WorkspaceScope, more: tuple[Route, ...] = ()) -> Starlette:
    """The application that serves the workspace of ``scope``.

    Args:
        config: how it is reached, and its limits.
        scope: the workspace, opened by the first request that needs it; the project that pages begin with; who asks
            where there are no accounts.
        more: routes beyond those of the table.
    """
    server = Server(config, scope.workspace, scope.project, _authenticator(config, scope))
    by_path: dict[str, list[Route]] = {}
    for route in (*routes(), *more):
        by_path.setdefault(route.path, []).append(route)
    served = [Served(path, PathEndpoint(server, some)) for path, some in by_path.items()]
    pages = Served("/{path:path}", Pages())
    app = Starlette(
        routes=[*kfp_routes(server), *login_routes(server), *served, pages],
        middleware=[
            Middleware(Forwarded, proxies=config.trusted_proxies),
            Middleware(RequestLog, counts=server.counts),
            Middleware(Door, config=config),
            Middleware(StoresFirst, server=server),
        ],
        exception_handlers={HTTPException: _on_error, Exception: _on_error},
    )
    app.router.redirect_slashes = False
    app.state.server = server
    return app


def _authenticator(config: ServerConfig, scope: WorkspaceScope) -> Authenticator:
    if config.auth == "none":
        return EverybodyIsUser(scope.actor)
    return AccountsAuthenticator(config, lambda: Accounts(scope.workspace.accounts.hasty()))


async def _on_error(request: Request, error: Exception) -> Response:
    return answer_error(request, error)


class RequestLog:
    """Gives each request an id, answers with it, and writes one line of the log for it when it is over."""

    def __init__(self, app: ASGIApp, counts: Counts) -> None:
        self._app = app
        self._counts = counts
        # A call of the system for each request would hand the interpreter to other threads, for milliseconds.
        self._new_id = random.Random(os.urandom(16)).randbytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(Headers(scope=scope)) or self._new_id(8).hex()
        scope["request_id"] = request_id
        began = time.perf_counter()
        status, size = 499, 0

        async def answer(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message["headers"] = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                given.append((b"x-request-id", request_id.encode("latin-1")))
                given += [one for one in COMMON_HEADERS if one[0] not in names]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except TimeoutError:
            _log.warning("request.cut", "a reader took nothing for too long", request_id=request_id)
            raise
        finally:
            seconds, method = time.perf_counter() - began, scope["method"]
            size += scope.get(SENT, 0)
            self._counts.request(
                method if method in _METHODS else "other", scope.get("template", ""), status, seconds, size
            )
            log_request(scope, status, size, seconds, request_id, scope.get("user_name", ""))


def _given_id(headers: Headers) -> str:
    """The id that a proxy gave the request, where it is one."""
    text = headers.get("x-request-id", "")
    return text if 8 <= len(text) <= 64 and text.isascii() and text.replace("-", "").isalnum() else ""


class Door:
    """Turns away what a browser was tricked to send: to another host's name, or a change from another site's page.

    Without accounts the host must be one of this machine: else a page whose name is made to lead here (DNS rebinding)
    would read everything.
    """

    def __init__(self, app: ASGIApp, config: ServerConfig) -> None:
        self._app = app
        self._config = config
        self._last: str | None = None  # the last name that was found to be ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            problem = self._problem(scope)
            if problem is not None:
                await problem.response(scope.get("request_id", ""))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _problem(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._config.auth == "none" and not self._is_ours(host):
            return Problem(
                421,
                "host",
                f"this server is not {host[:100]!r}; it is {self._config.url}, and --base-url says otherwise",
            )
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host and origin != self._config.url:
            return Problem(403, "origin", "a page of another site may change nothing here")
        return None

    def _is_ours(self, host: str) -> bool:
        if host != self._last:
            if not self._is_name_of_ours(host):
                return False
            self._last = host
        return True

    def _is_name_of_ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        ours = self._config.url.partition("://")[2]
        return is_loopback(name.strip("[]")) or host == ours or name == ours
