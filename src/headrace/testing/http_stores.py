"""Stores behind a real HTTP server on a socket of this machine, for tests of the stores over HTTP."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.responses import Response

from headrace.model.actors import Actor
from headrace.server.call import Server
from headrace.server.config import Limits, ServerConfig
from headrace.server.principals import Authenticator, EverybodyIsUser
from headrace.server.serve import patient_protocol
from headrace.server.stores.mount import StoresApp
from headrace.wiring import Workspace


class StoreServer:
    """One server process' worth of stores: each workspace that is added is reached by a URL of its own."""

    def __init__(self, port: int) -> None:
        self._apps: dict[str, StoresApp] = {}
        self._servers: list[Server] = []
        self._numbers = itertools.count(1)
        self.url = f"http://127.0.0.1:{port}"

    def add(
        self, workspace: Workspace, authenticator: Authenticator | None = None, limits: Limits | None = None
    ) -> str:
        """Serve the stores of ``workspace``, to everybody or to whom ``authenticator`` knows; returns the URL."""
        config = ServerConfig(auth="none" if authenticator is None else "users", limits=limits or Limits())
        everybody = EverybodyIsUser(Actor("tester", "here"))
        server = Server(config, workspace, "default", authenticator or everybody)
        name = f"s{next(self._numbers)}"
        self._servers.append(server)
        self._apps[name] = StoresApp(server)
        return f"{self.url}/{name}"

    def close(self) -> None:
        """Close the stores."""
        for server in self._servers:
            server.workspace.close()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request: the first part of its path says which workspace it is for."""
        if scope["type"] != "http":
            return
        name, _, rest = scope["path"].removeprefix("/").partition("/")
        if name == "stop":  # what a server does that is told to stop
            for server in self._servers:
                server.stopped.set()
        app = self._apps.get(name)
        if app is None:
            await Response(status_code=404)(scope, receive, send)
            return
        await app({**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}, receive, send)


@contextlib.contextmanager
def store_server() -> Iterator[StoreServer]:
    """A running server, gone with the ``with`` block."""
    listening = socket.create_server(("127.0.0.1", 0))
    stores = StoreServer(listening.getsockname()[1])
    protocol = patient_protocol(30.0)
    config = uvicorn.Config(
        stores, http=protocol, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=30
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="store-server", daemon=True)
    thread.start()
    try:
        yield stores
    finally:
        server.should_exit = True
        thread.join(30)
        stores.close()
        listening.close()
