"""One request, as its handler sees it."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
from starlette.requests import Request

from headrace.client.names import check_project
from headrace.model.accounts import Role
from headrace.model.errors import UsageError
from headrace.server.audit_log import AuditLog, source_of
from headrace.server.config import ServerConfig
from headrace.server.events import EventHub
from headrace.server.observing import Counts
from headrace.server.principals import Authenticator, Principal
from headrace.server.problems import Problem, not_found
from headrace.server.shared_reads import SharedReads
from headrace.services.accounts.users import Accounts, Source
from headrace.stores.metadata.protocol import MetadataStore
from headrace.wiring import Scope, Workspace

P = TypeVar("P")
B = TypeVar("B")
R = TypeVar("R")


#: Searches that run at once.
_SLOW_THREADS = 2


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the path and the query of a request say: fields that the path names come from there.

    A field of a tuple type may be given several times.
    """


class Server:
    """What requests of one server process share: nothing that another process would miss.

    Args:
        config: how it was started.
        workspace: what it shows.
        project: the project that pages begin with.
        authenticator: finds out who asks.
    """

    def __init__(self, config: ServerConfig, workspace: Workspace, project: str, authenticator: Authenticator) -> None:
        self.config = config
        self.workspace = workspace
        self.project = project
        self.authenticator = authenticator
        self.audit = AuditLog(lambda: self.accounts)
        self.threads = concurrent.futures.ThreadPoolExecutor(config.limits.threads, "headrace-request")
        self.slow_threads = concurrent.futures.ThreadPoolExecutor(_SLOW_THREADS, "headrace-search")
        self.reads: SharedReads[Any] = SharedReads()
        self.counts = Counts()
        #: Set when the server stops: requests that wait for something to happen end.
        self.stopped = asyncio.Event()
        self.events = EventHub(self.threads, config.limits.listeners)

    @property
    def accounts(self) -> Accounts:
        """The users, of all projects."""
        return Accounts(self.workspace.accounts.hasty())


class Call(Generic[P, B]):
    """A request that was let in: its parameters and body are decoded, its role is checked.

    Args:
        server: what all requests share.
        request: as it came; for handlers that stream.
        principal: who asks.
        needs: the role that the route asks for.

    ``params`` is what path and query say, ``body`` the decoded body; None where the route has none.
    """

    #: Set once the principal was let in.
    params: P
    body: B

    def __init__(self, server: Server, request: Request, principal: Principal | None, needs: Role | None) -> None:
        self.server = server
        self.request = request
        self._principal = principal
        self._needs = needs
        self._is_hidden = False

    @property
    def request_id(self) -> str:
        """Finds the request in the log."""
        return str(self.request.scope["request_id"])

    @property
    def source(self) -> Source:
        """Where the request comes from, for the audit log."""
        return source_of(self.request, self.principal if self._is_hidden else self._principal)

    def hide_principal(self) -> None:
        """Make ``principal`` and ``source`` fail for the handler, because its answer goes to others too."""
        self._is_hidden = True

    @property
    def workspace(self) -> Workspace:
        """The stores, of all projects."""
        return self.server.workspace

    @property
    def metadata(self) -> MetadataStore:
        """The runs of all projects; it says soon that it does not answer, since requests wait for a thread."""
        return self.workspace.metadata.hasty()

    @property
    def principal(self) -> Principal:
        """Who asks; raises Problem (401) where nobody says so, which open routes alone meet."""
        assert not self._is_hidden, "an answer that is shared depends on who asks"
        return self._let_in()

    def _let_in(self) -> Principal:
        if self._principal is None:
            raise Problem(401, "unauthenticated", "say who you are: log in, or send a token", headers=CHALLENGE)
        return self._principal

    async def in_thread(self, function: Callable[[], R]) -> R:
        """What ``function`` returns, which may use the stores."""
        return await asyncio.get_running_loop().run_in_executor(self.server.threads, function)

    async def still_allowed(self) -> None:
        """Look again who asks and what they may, for streams that last; raises Problem where they may not go on."""
        self._principal = await self.server.authenticator.authenticate(self.request)
        project = getattr(self.params, "project", None)
        if project is not None:
            self.scope(project)

    def scope(self, project: str, role: Role | None = None) -> Scope:
        """The project, for its principal.

        Args:
            project: its name.
            role: what is needed there; without it what the route says, or to see it.

        Raises:
            Problem: 404 where they may not see it, 403 where they may see it and no more.
        """
        try:
            check_project(project)
        except UsageError as error:
            raise not_found(str(error)) from None
        role = role or self._needs or Role.VIEWER
        principal = self._let_in()
        has = principal.role_in(project)
        if has is None:
            raise not_found(f"there is no project {project!r} for {principal.name}")
        if principal.run is not None and role > Role.VIEWER:
            raise Problem(403, "forbidden", "the token of a driver writes its run through the store alone")
        if has < role:
            raise Problem(
                403,
                "forbidden",
                f"{principal.name} is {has.label} of project {project!r}; this needs the role {role.label}. "
                "An admin of the project gives it",
            )
        return Scope(self.workspace, project, principal.actor, named=True, hasty=True)


CHALLENGE = {"WWW-Authenticate": 'Bearer realm="headrace"'}
