"""Pages on which one logs in and out, and lets the command line in. Plain HTML: they work without scripts."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute
from starlette.routing import Route as Served

from headrace.model.accounts import User
from headrace.model.errors import UsageError
from headrace.server.accounts.authenticator import AccountsAuthenticator
from headrace.server.accounts.forms import hidden, local_path, page, read_form, shown
from headrace.server.audit_log import source_of
from headrace.server.call import Server
from headrace.server.dispatch import answer_error
from headrace.server.principals import Principal
from headrace.server.problems import Problem, problem_of
from headrace.services.accounts.login import SESSION_SECONDS, LockedOutError, LoginError, Opened
from headrace.services.accounts.secret_texts import equal, new_secret
from headrace.services.accounts.users import Source

if TYPE_CHECKING:
    from headrace.server.accounts.oidc import Oidc

#: How long the command line may take to fetch its token after it was let in.
GRANT_SECONDS = 120.0
#: Logins with a password that wait or are checked at the same time; more are sent away.
MOST_LOGINS = 8
#: Logins at a provider that may begin in a minute: each leaves a row until it ends or expires.
BEGUN_PER_MINUTE = 200
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_STATE = re.compile(r"[A-Za-z0-9_-]{16,128}")
_WRONG = "Name and password do not fit together."


class Grant(msgspec.Struct, frozen=True):
    """What a user let the command line of ``machine`` have; ``challenge`` is the hash of what it must show."""

    user: str
    machine: str
    challenge: str


def challenge_of(verifier: str) -> str:
    """What is shown first of ``verifier`` (RFC 7636, S256)."""
    digest = hashlib.sha256(verifier.encode("ascii", "replace")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def login_routes(server: Server) -> list[BaseRoute]:
    """The routes of these pages; where there are no accounts, nobody has to log in."""
    if not isinstance(server.authenticator, AccountsAuthenticator):
        return [Served("/login", _to_the_pages, methods=["GET"])]
    pages = LoginPages(server, server.authenticator)
    routes = [
        Served("/login", pages.guarded(pages.show_login), methods=["GET"]),
        Served("/login", pages.guarded(pages.log_in), methods=["POST"]),
        Served("/logout", pages.guarded(pages.log_out), methods=["POST"]),
        Served("/login/cli", pages.guarded(pages.ask_for_cli), methods=["GET"]),
        Served("/login/cli", pages.guarded(pages.let_cli_in), methods=["POST"]),
    ]
    if server.config.oidc is not None:
        try:
            from headrace.server.accounts.oidc import Oidc
        except ImportError as error:
            raise UsageError(
                f"--auth oidc needs more packages: pip install 'headrace[server-oidc]' ({error})"
            ) from None

        pages.oidc = Oidc(server.config, server.config.oidc)
        routes += [
            Served("/login/oidc", pages.guarded(pages.leave_for_provider), methods=["GET"]),
            Served("/login/callback", pages.guarded(pages.come_from_provider), methods=["GET"]),
        ]
    return list(routes)


async def _to_the_pages(_: Request) -> Response:
    return RedirectResponse("/", 303)


class LoginPages:
    """The handlers.

    Args:
        server: what requests share.
        authenticator: knows cookies and users.
    """

    def __init__(self, server: Server, authenticator: AccountsAuthenticator) -> None:
        self._server = server
        self._authenticator = authenticator
        self._cookies = authenticator.cookies
        self.oidc: Oidc | None = None
        #: Passwords are checked apart, because each takes long: a flood of logins holds up no other request.
        self._checkers = concurrent.futures.ThreadPoolExecutor(2, "headrace-password")
        self._waiting = 0
        self._begun: list[float] = []

    def guarded(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """``handler``, whose problems are pages too."""

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:
                problem = problem_of(error)
                if problem is None:
                    return answer_error(request, error)
                text = f'<p class="problem" role="alert">{shown(problem.args[0])}</p>'
                again = '<a class="button second" href="/login">Log in</a>'
                return page("That did not work", text + again, problem.status, headers=problem.headers)

        return handle

    async def _threaded(self, call: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._authenticator.threads, call, *given)

    async def _principal(self, request: Request) -> Principal | None:
        """Whose session it is; forms show the CSRF token in a field instead of the header."""
        cookie = self._cookies.session_of(request)
        found = await self._threaded(self._authenticator.logins.session_of, cookie) if cookie else None
        return None if found is None else self._authenticator.principal(found[1], csrf=found[0].csrf)

    # --- passwords ---

    async def show_login(self, request: Request) -> Response:
        """The page with the form."""
        return self._form(local_path(request.query_params.get("next", "/")))

    def _form(self, target: str, problem: str = "", status: int = 200, retry: float = 0.0) -> Response:
        guard = new_secret()
        content = f'<p class="problem" role="alert">{shown(problem)}</p>' if problem else ""
        if self.oidc is not None:
            content += f'<a class="button" href="/login/oidc?next={shown(quote(target))}">Log in by single sign-on</a>'
        second = ' class="second"' if self.oidc is not None else ""
        content += (
            f'<form method="post" action="/login">{hidden("guard", guard)}{hidden("next", target)}'
            '<label for="name">Name</label><input id="name" name="name" autocomplete="username" required autofocus '
            'maxlength="100"><label for="password">Password</label><input id="password" name="password" '
            'type="password" autocomplete="current-password" required maxlength="256">'
            f"<button{second}>Log in</button></form>"
        )
        headers = {"Retry-After": f"{retry:.0f}"} if retry else {}
        response = page("Log in", content, status, headers=headers)
        self._cookies.set(response, "login", guard, 3600.0, strict=True)
        return response

    async def log_in(self, request: Request) -> Response:
        """What the form sends: a session under a new cookie, or the form again."""
        form = await read_form(request, self._server)
        target = local_path(form.get("next", "/"))
        guard = self._cookies.read(request, "login")
        if not guard or not equal(guard, form.get("guard", "")):
            return self._form(target, "The page was open for too long. Please try again.", 403)
        source = source_of(request, None)
        try:
            user = await self._checked(source, form.get("name", ""), form.get("password", ""))
        except LockedOutError as error:
            text = f"Too many failed logins. Try again in {error.seconds:.0f} s."
            return self._form(target, text, 429, error.seconds + 1)
        except LoginError:
            return self._form(target, _WRONG, 401)
        logins = self._authenticator.logins
        opened = await self._threaded(logins.open_session, source, user, "password")
        return await self._admit(request, opened, target)

    async def _checked(self, source: Source, name: str, password: str) -> User:
        if self._waiting >= MOST_LOGINS:
            raise Problem(503, "busy", "too many people log in at this moment; try again", headers={"Retry-After": "2"})
        self._waiting += 1
        try:
            check = self._authenticator.logins.check_password
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._checkers, check, source, name, password)
        finally:
            self._waiting -= 1

    async def _admit(self, request: Request, opened: Opened, target: str) -> Response:
        """Begin a session, and end the one that the browser had before."""
        before = self._cookies.session_of(request)
        if before:
            await self._threaded(self._authenticator.logins.close_session, source_of(request, None), before)
        self._authenticator.forget()
        response = RedirectResponse(target, 303, {"Cache-Control": "no-store"})
        self._cookies.set(response, "session", opened.cookie, SESSION_SECONDS)
        self._cookies.drop(response, "login")
        return response

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        form = await read_form(request, self._server)
        principal = await self._principal(request)
        if principal is not None:
            self._check(principal, form)
            logins, source = self._authenticator.logins, source_of(request, principal)
            await self._threaded(logins.close_session, source, self._cookies.session_of(request))
            self._authenticator.forget()
        response = RedirectResponse("/login", 303, {"Cache-Control": "no-store"})
        self._cookies.drop(response, "session")
        return response

    def _check(self, principal: Principal, form: dict[str, str]) -> None:
        if not equal(principal.csrf, form.get("csrf", "")):
            raise Problem(403, "csrf", "the page was open for too long, or another site sent this. Please try again")

    # --- the command line ---

    async def ask_for_cli(self, request: Request) -> Response:
        """Ask whether the command line that opened this page may act for the user."""
        asked = _CliRequest.read(dict(request.query_params))
        principal = await self._principal(request)
        if principal is None:
            back = quote(f"{request.url.path}?{request.url.query}")
            return RedirectResponse(f"/login?next={back}", 303, {"Cache-Control": "no-store"})
        content = (
            f"<p>The command line on <strong>{shown(asked.machine)}</strong> asks to act as "
            f"<strong>{shown(principal.name)}</strong>.</p><p>Allow it if you have just typed "
            "<code>headrace login</code> there. It can start and change runs where you can, for 90 days, or until "
            "<code>headrace logout</code>.</p>"
            f'<form method="post" action="/login/cli">{hidden("csrf", principal.csrf)}{hidden("port", str(asked.port))}'
            f"{hidden('state', asked.state)}{hidden('challenge', asked.challenge)}{hidden('machine', asked.machine)}"
            "<button>Allow</button></form>"
        )
        return page("Let the command line in", content, targets=f"http://127.0.0.1:{asked.port}")

    async def let_cli_in(self, request: Request) -> Response:
        """The user allows it: lead the browser to the command line with a code, which fetches the token."""
        form = await read_form(request, self._server)
        principal = await self._principal(request)
        if principal is None:
            raise Problem(401, "unauthenticated", "log in first")
        self._check(principal, form)
        asked = _CliRequest.read(form)
        grant = msgspec.msgpack.encode(Grant(principal.name, asked.machine, asked.challenge))
        code = await self._threaded(self._authenticator.logins.begin, "cli", grant, GRANT_SECONDS)
        answer = urlencode({"code": code, "state": asked.state})
        return RedirectResponse(f"http://127.0.0.1:{asked.port}/?{answer}", 303, {"Cache-Control": "no-store"})

    # --- a provider of identities ---

    async def leave_for_provider(self, request: Request) -> Response:
        """Send the browser to the provider."""
        assert self.oidc is not None
        self._begun = [at for at in self._begun if at > time.monotonic() - 60.0]
        if len(self._begun) >= BEGUN_PER_MINUTE:
            raise Problem(
                503, "busy", "too many people log in at this moment; try again", headers={"Retry-After": "30"}
            )
        self._begun.append(time.monotonic())
        guard = new_secret()
        started = await self.oidc.start(local_path(request.query_params.get("next", "/")), guard)
        url = await self._threaded(started.keep, self._authenticator.logins)
        response = RedirectResponse(url, 303, {"Cache-Control": "no-store"})
        self._cookies.set(response, "login", guard, 600.0)
        return response

    async def come_from_provider(self, request: Request) -> Response:
        """The provider sent the browser back: begin a session for whom it names."""
        assert self.oidc is not None
        query = request.query_params
        logins, source = self._authenticator.logins, source_of(request, None)
        guard = self._cookies.read(request, "login")
        if "error" in query:
            raise Problem(403, "provider", f"the provider of identities refused: {query['error'][:200]}")
        kept = await self._threaded(logins.finish, "oidc", query.get("state", "")[:200])
        identity, target = await self.oidc.finish(kept, guard, query.get("code", "")[:4_000])
        user = await self._threaded(self.oidc.user_of, self._authenticator.accounts, source, identity)
        opened = await self._threaded(logins.open_session, source, user, "oidc")
        return await self._admit(request, opened, target)


class _CliRequest(msgspec.Struct, frozen=True):
    """What the command line asks with."""

    port: int
    state: str
    challenge: str
    machine: str

    @classmethod
    def read(cls, given: dict[str, str]) -> _CliRequest:
        """Raises Problem (400) where something is missing or odd."""
        port, state = given.get("port", ""), given.get("state", "")
        challenge, machine = given.get("challenge", ""), given.get("machine", "")[:100]
        fits = port.isascii() and port.isdigit() and len(port) <= 5 and 1_024 <= int(port) <= 65_535
        if not fits or not _STATE.fullmatch(state) or not _CHALLENGE.fullmatch(challenge) or not machine.isprintable():
            raise Problem(400, "bad-query", "this address was not made by `headrace login`; run that again")
        return cls(int(port), state, challenge, machine.strip() or "an unnamed machine")
