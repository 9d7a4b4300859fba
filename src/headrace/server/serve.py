"""Runs the application in this process: listens, answers, and stops when it is told to."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from types import FrameType

import msgspec
import uvicorn

from headrace.model.errors import UsageError
from headrace.server.app import build_app
from headrace.server.config import ServerConfig
from headrace.wiring import Workspace


def serve(config: ServerConfig, workspace: Workspace, project: str, ready: Callable[[ServerConfig], None]) -> None:
    """Serve until SIGINT or SIGTERM; requests that are under way get ``limits.stop_seconds`` to end.

    Args:
        config: where to listen; it was checked.
        workspace: what to show.
        project: what pages begin with.
        ready: called with ``config``, and the port that was taken, once connections are accepted.

    Raises:
        UsageError: the address cannot be listened on.
    """
    listener = _listen(config)
    config = msgspec.structs.replace(config, port=listener.getsockname()[1])
    app = build_app(config, workspace, project)
    options = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
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
    ready(config)
    uvicorn.Server(options).run(sockets=[listener])


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
