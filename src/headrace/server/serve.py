"""Runs the application in this process: listens, answers, and stops when it is told to."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import msgspec
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headrace.model.errors import UsageError
from headrace.server.actions.drivers import start_waiting
from headrace.server.app import build_app
from headrace.server.config import ServerConfig
from headrace.server.direct_socket import PROTOCOL
from headrace.server.purging import purging
from headrace.wiring import Scope

#: How long a thread that computes an answer may keep the interpreter from the loop, which all others wait for.
_SWITCH_SECONDS = 0.002


def serve(config: ServerConfig, scope: Scope, ready: Callable[[ServerConfig], None]) -> None:
    """Serve until SIGINT or SIGTERM; requests that are under way get ``limits.stop_seconds`` to end.

    Args:
        config: where to listen; it was checked.
        scope: the workspace to show, the project that pages begin with, and whose server it is.
        ready: called with ``config``, and the port that was taken, once connections are accepted.

    Raises:
        UsageError: the address cannot be listened on.
    """
    listener = _listen(config)
    config = msgspec.structs.replace(config, port=listener.getsockname()[1])
    app = build_app(config, scope)
    options = uvicorn.Config(
        app,
        loop="uvloop",
        http=patient_protocol(config.limits.head_seconds),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the application knows whom it believes: see ``forwarded``
        ssl_certfile=config.tls_cert or None,
        ssl_keyfile=config.tls_key or None,
        timeout_keep_alive=int(config.limits.head_seconds),
        timeout_graceful_shutdown=int(config.limits.stop_seconds),
        backlog=2_048,
    )
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again once it has stopped, as it was asked to
        signal.signal(number, _already_stopped)
    sys.setswitchinterval(_SWITCH_SECONDS)
    ready(config)
    start_waiting(scope.workspace)
    with purging(scope.workspace):
        _Stoppable(options, app).run(sockets=[listener])


def patient_protocol(seconds: float) -> type[HttpToolsProtocol]:
    """The protocol of a connection, which is closed where the head of a request takes longer than ``seconds``.

    uvicorn itself waits for ever for the first one: a reader that sends a byte now and then would hold its place.
    """

    class Patient(HttpToolsProtocol):
        _waiting: asyncio.TimerHandle | None = None
        requests, commits_at = 0, -1  # requests so far, and which of them the last commit was: see ``commit_lane``

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._wait()

        def on_headers_complete(self) -> None:
            self._stop_waiting()
            self.requests += 1
            super().on_headers_complete()
            self.scope[PROTOCOL] = self, self.cycle  # type: ignore[literal-required]

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def _wait(self) -> None:
            if self._waiting is None:
                self._waiting = self.loop.call_later(seconds, self.transport.close)

        def _stop_waiting(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

    return Patient


class _Stoppable(uvicorn.Server):
    """Ends the streams of events first, which would keep it from stopping."""

    def __init__(self, options: uvicorn.Config, app: Starlette) -> None:
        super().__init__(options)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, end what is under way, leave."""
        server = self._app.state.server
        server.stopped.set()
        server.events.stop()
        await super().shutdown(sockets)


def _already_stopped(number: int, frame: FrameType | None) -> None:
    """Do nothing more."""


def _listen(config: ServerConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
        listener.listen(2_048)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"server: cannot listen on {config.host} port {config.port}: {error.strerror or error}; choose another "
            "with --port, or 0 for any that is free"
        ) from None
    return listener
