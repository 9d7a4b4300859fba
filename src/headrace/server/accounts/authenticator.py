"""Finds out who sends a request: by a token, by the cookie of a session, or by the header of a trusted proxy."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable

from starlette.requests import HTTPConnection

from headrace.model.accounts import ALL_PROJECTS, Role, Token, User
from headrace.model.actors import Actor
from headrace.model.errors import StoreAwayError, UsageError
from headrace.server.accounts.cookies import Cookies
from headrace.server.call import CHALLENGE
from headrace.server.config import ServerConfig
from headrace.server.principals import Principal
from headrace.server.problems import Problem
from headrace.services.accounts.login import Logins
from headrace.services.accounts.secret_texts import equal, is_token
from headrace.services.accounts.users import Accounts, Source, check_user_name

#: Seconds for which a principal that was looked up is believed: as long a change that another process made may take.
_FRESH = 1.0
#: Seconds for which a principal is believed beyond that while the database does not answer.
_OUTAGE = 120.0
#: Principals that are remembered.
_REMEMBERED = 10_000
#: Methods that change nothing.
SAFE = ("GET", "HEAD", "OPTIONS")
CSRF_HEADER = "x-csrf-token"


class AccountsAuthenticator:
    """The modes ``users``, ``oidc`` and ``proxy``.

    Args:
        config: which mode, and how the server is reached.
        accounts: opens the users; called by the first request.
    """

    def __init__(self, config: ServerConfig, accounts: Callable[[], Accounts]) -> None:
        self._config = config
        self._accounts = accounts
        self.cookies = Cookies(config)
        self.threads = concurrent.futures.ThreadPoolExecutor(4, "headrace-login")
        self._known: dict[tuple[str, str], tuple[float, Principal]] = {}
        self.forgotten = 0

    @property
    def accounts(self) -> Accounts:
        """The users."""
        return self._accounts()

    @property
    def logins(self) -> Logins:
        """Lets users in."""
        return Logins(self._accounts())

    def forget(self) -> None:
        """Look everybody up again: users, roles or tokens have changed."""
        self.forgotten += 1
        self._known.clear()

    async def authenticate(self, request: HTTPConnection) -> Principal | None:
        """See ``Authenticator``. A change that a session asks for must show the session's CSRF token (403)."""
        given = request.headers.get("authorization")
        if given is not None:
            scheme, _, text = given.partition(" ")
            text = text.strip()
            if scheme.lower() != "bearer" or not is_token(text):
                raise Problem(401, "unauthenticated", "the Authorization is to be 'Bearer TOKEN'", headers=CHALLENGE)
            principal = await self._find("token", text)
            if principal is None:
                detail = "this token is not valid, or not any more; make another one, or log in again"
                raise Problem(401, "unauthenticated", detail, headers=CHALLENGE)
            return principal
        cookie = self.cookies.session_of(request)
        if cookie:
            principal = await self._find("session", cookie)
            if principal is not None:
                self._check_csrf(request, principal)
                return principal
        if self._config.auth == "proxy" and request.scope.get("proxy"):
            name = request.headers.get(self._config.user_header, "")
            if name:
                return await self._find("header", name)
        return None

    def _check_csrf(self, request: HTTPConnection, principal: Principal) -> None:
        shown = request.headers.get(CSRF_HEADER, "")
        if request.scope["method"] not in SAFE and not equal(shown, principal.csrf):
            raise Problem(
                403, "csrf", "a change that is asked for with a session's cookie must have the header X-CSRF-Token"
            )

    async def _find(self, kind: str, text: str) -> Principal | None:
        now = time.monotonic()
        known = self._known.get((kind, text))
        if known is not None and now < known[0]:
            return known[1]
        look = {"token": self._of_token, "session": self._of_session, "header": self._of_header}[kind]
        try:
            found = await asyncio.get_running_loop().run_in_executor(self.threads, look, text)
        except StoreAwayError:
            if known is not None and now < known[0] + _OUTAGE:
                return known[1]  # no other process can have changed it meanwhile
            raise
        if found is None:
            self._known.pop((kind, text), None)
            return None
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[kind, text] = (now + _FRESH, found)
        return found

    def _of_token(self, text: str) -> Principal | None:
        found = self.logins.token_of(text)
        return None if found is None else self.principal(found[1], token=found[0])

    def _of_session(self, cookie: str) -> Principal | None:
        found = self.logins.session_of(cookie)
        return None if found is None else self.principal(found[1], csrf=found[0].csrf)

    def _of_header(self, name: str) -> Principal | None:
        """The user whom the proxy names; one who is new gets an account without roles."""
        try:
            check_user_name(name)
        except UsageError as error:
            raise Problem(401, "unauthenticated", f"the header {self._config.user_header}: {error}") from None
        user = self.accounts.store.user(name)
        if user is None:
            user = self.accounts.add(Source(actor=name, address="proxy"), name)
        if user.disabled:
            raise Problem(401, "unauthenticated", f"{name} is disabled")
        return self.principal(user)

    def principal(self, user: User, token: Token | None = None, csrf: str = "") -> Principal:
        """A user, as far as a token bounds what the user may."""
        roles = self.accounts.roles_of(user.name)
        return Principal(
            name=user.name,
            actor=Actor(user.name),
            admin=roles.get(ALL_PROJECTS) is Role.ADMIN,
            roles=roles,
            most=None if token is None else token.scope,
            project="" if token is None or token.project == ALL_PROJECTS else token.project,
            run=None if token is None else token.run,
            token=None if token is None else token.id,
            csrf=csrf,
        )
