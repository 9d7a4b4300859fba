"""The stores over HTTP as one application: ``/api/v1/store/...`` and ``/api/v1/blobs/...``.

Mounted in the server's application, and usable alone in tests.
"""

from __future__ import annotations

import concurrent.futures
from typing import Any

from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Mount

from headrace.server.call import CHALLENGE, Server
from headrace.server.problems import Problem, not_found
from headrace.server.routes import API
from headrace.server.stores.access import Access, OpenStores
from headrace.server.stores.blobs import BlobsApi
from headrace.server.stores.exchange import Exchange
from headrace.server.stores.metadata import MetadataApi

#: Calls of stores that run at once; beside the threads of other requests, so that pages do not hold up drivers.
_THREADS = 16


class StoresApp:
    """An ASGI application.

    Args:
        server: what requests share.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        threads = concurrent.futures.ThreadPoolExecutor(_THREADS, "headrace-stores")
        stores = OpenStores(server)
        self._apis: dict[str, MetadataApi | BlobsApi] = {
            "store": MetadataApi(stores, threads),
            "blobs": BlobsApi(stores, threads),
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        exchange = Exchange(scope, receive, send, self._server.config.limits)
        try:
            kind, _, name = scope["path"].partition(f"{API}/")[2].partition("/")
            api = self._apis.get(kind)
            if api is None:
                raise not_found("there is no such path")
            exchange.check_client()
            principal = await self._server.authenticator.authenticate(HTTPConnection(scope))
            if principal is None:
                raise Problem(401, "unauthenticated", "say who you are: send a token", headers=CHALLENGE)
            scope["user_name"] = principal.name
            access = Access(principal, exchange.headers, named=self._server.config.auth == "none")
            await api.serve(name, exchange, access)
        except ConnectionError:
            return  # the client left; nobody waits for an answer
        except Exception as error:
            await exchange.refuse(error)


def store_routes(server: Server) -> list[BaseRoute]:
    """What is added to the routes of the server."""
    app = StoresApp(server)
    return [Mount(f"{API}/{name}", app=app) for name in ("store", "blobs")]
