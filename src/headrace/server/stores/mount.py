"""The stores over HTTP as one application: ``/api/v1/store/...`` and ``/api/v1/blobs/...``.

Mounted in the server's application, and usable alone in tests.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import HTTPConnection

from headrace.server.audit_log import source_of
from headrace.server.call import CHALLENGE, Server
from headrace.server.hand_over import Threads
from headrace.server.principals import Principal
from headrace.server.problems import Problem, not_found
from headrace.server.routes import API
from headrace.server.stores.access import HASTY, Access, OpenStores
from headrace.server.stores.blobs import BlobsApi
from headrace.server.stores.exchange import Exchange, problem_for
from headrace.server.stores.metadata import MetadataApi

#: Calls of stores that run at once; beside the threads of other requests, so that pages do not hold up drivers.
_THREADS = 16
_PATHS = (f"{API}/store/", f"{API}/blobs/")


class StoresApp:
    """An ASGI application.

    Args:
        server: what requests share.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        stores = OpenStores(server)
        # Calls of clients that wait for a database which does not answer hold their threads: drivers, which do not
        # wait, have threads of their own.
        self._threads, hasty = (Threads(_THREADS, f"headrace-{name}") for name in ("stores", "drivers"))
        self._apis: dict[tuple[str, bool], MetadataApi | BlobsApi] = {
            (kind, is_hasty): api(stores, threads)
            for kind, api in (("store", MetadataApi), ("blobs", BlobsApi))
            for is_hasty, threads in ((False, self._threads), (True, hasty))
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        exchange = Exchange(scope, receive, send, self._server.config.limits)
        kind, _, name = scope["path"].partition(f"{API}/")[2].partition("/")
        principal = None
        try:
            api = self._apis.get((kind, HASTY in exchange.headers))
            if api is None:
                raise not_found("there is no such path")
            exchange.check_client()
            principal = await self._server.authenticator.authenticate(HTTPConnection(scope))
            if principal is None:
                raise Problem(401, "unauthenticated", "say who you are: send a token", headers=CHALLENGE)
            scope["user_name"] = principal.name
            source = source_of(HTTPConnection(scope), principal)
            access = Access(principal, exchange.headers, source, named=self._server.config.auth == "none")
            await api.serve(name, exchange, access)
        except ConnectionError:
            return  # the client left; nobody waits for an answer
        except Exception as error:
            await self._audit(exchange, principal, f"{kind} {name}"[:100], error)
            await exchange.refuse(error)

    async def _audit(self, exchange: Exchange, principal: Principal | None, action: str, error: Exception) -> None:
        """Write down who was refused; what cannot be as things stand (409) drivers meet in their work."""
        problem = problem_for(error)
        if problem is None or problem.status not in (401, 403) or exchange.method in ("GET", "HEAD"):
            return
        source = source_of(HTTPConnection(exchange.scope), principal)
        project = Access.project_of(exchange.headers)
        await self._threads.run(self._server.audit.ended, source, action, "", project, problem.status, problem.kind)


class StoresFirst:
    """Leads requests for the stores to their application, and all others on: a commit looks through no routes."""

    def __init__(self, app: Any, server: Server) -> None:
        self._app = app
        self._stores = StoresApp(server)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and scope["path"].startswith(_PATHS):
            await self._stores(scope, receive, send)
        else:
            await self._app(scope, receive, send)
