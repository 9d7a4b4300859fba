"""The API of one's own session, password and tokens."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from headrace.model.accounts import ALL_PROJECTS, Role, Token
from headrace.server.accounts.authenticator import AccountsAuthenticator
from headrace.server.accounts.login_pages import Grant, challenge_of
from headrace.server.call import Call, Params
from headrace.server.problems import Problem
from headrace.server.routes import API, Page, Route
from headrace.services.accounts import passwords
from headrace.services.accounts.login import LockedOutError, LoginError, Logins
from headrace.services.accounts.secret_texts import equal
from headrace.services.accounts.users import TOKEN_SECONDS, NewToken

Text = Annotated[str, msgspec.Meta(max_length=200)]
RoleName = Annotated[str, msgspec.Meta(pattern="^(viewer|editor|admin)$")]


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and what they may.

    ``roles``: the role in each project, ``*`` for all. ``csrf``: to be sent as ``X-CSRF-Token`` with every change,
    where a browser's session asks. ``auth``: ``none``, ``users``, ``oidc`` or ``proxy``. ``token``: id of the
    token that was sent, ``project`` and ``scope`` what it leaves.
    """

    user: str
    admin: bool
    roles: dict[str, str]
    auth: str
    csrf: str
    token: int | None
    project: str
    scope: str


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """A token; ``state`` is ``valid``, ``expired`` or ``revoked``. Its text is not stored."""

    id: int
    user: str
    name: str
    role: str
    project: str
    run: int | None
    created: float
    expires: float | None
    last_used: float | None
    state: str


class MadeToken(msgspec.Struct, frozen=True, kw_only=True):
    """A new token with its text, which is shown this once."""

    id: int
    user: str
    token: str
    expires: float | None


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token that is asked for; ``seconds``: how long it is valid, null for ever."""

    name: Text
    role: RoleName = "editor"
    project: Text = ALL_PROJECTS
    seconds: float | None = TOKEN_SECONDS


class CodeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the command line shows after it was let in: the code, and what its challenge was made of (RFC 7636)."""

    code: Text
    verifier: Text


class PasswordRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One's own password, and the one that takes its place."""

    old: Annotated[str, msgspec.Meta(max_length=passwords.LONGEST)]
    new: Annotated[str, msgspec.Meta(max_length=passwords.LONGEST)]


class TokenPath(Params, frozen=True, kw_only=True):
    """The id of a token."""

    token: Annotated[int, msgspec.Meta(ge=1, le=2**53)]


class TokensOf(Params, frozen=True, kw_only=True):
    """Whose tokens: one's own; for admins those of ``user``, or of all (``*``)."""

    user: Text = ""


def token_view(token: Token, now: float) -> TokenView:
    """A token as the API shows it."""
    return TokenView(
        id=token.id,
        user=token.user,
        name=token.name,
        role=token.scope.label,
        project=token.project,
        run=token.run,
        created=token.created,
        expires=token.expires,
        last_used=token.last_used,
        state="revoked" if token.revoked is not None else "valid" if token.is_valid(now) else "expired",
    )


def _me(call: Call[Any, None]) -> SessionView:
    principal = call.principal
    roles = {project: role.label for project, role in principal.roles.items()}
    return SessionView(
        user=principal.name,
        admin=principal.may_administer(),
        roles=roles or ({ALL_PROJECTS: Role.ADMIN.label} if principal.admin else {}),
        auth=call.server.config.auth,
        csrf=principal.csrf,
        token=principal.token,
        project=principal.project,
        scope="" if principal.most is None else principal.most.label,
    )


def _end(call: Call[Any, None]) -> Response:
    """End the session of the cookie, or revoke the token that was sent."""
    principal, accounts = call.principal, call.server.accounts
    response = Response(None, 204)
    if principal.token is not None:
        accounts.revoke_token(call.source, principal.token)
    authenticator = call.server.authenticator
    if principal.csrf and isinstance(authenticator, AccountsAuthenticator):
        cookies = authenticator.cookies
        Logins(accounts).close_session(call.source, cookies.session_of(call.request))
        cookies.drop(response, "session")
    authenticator.forget()
    return response


def _exchange(call: Call[Any, CodeRequest]) -> MadeToken:
    accounts = call.server.accounts
    kept = Logins(accounts).finish("cli", call.body.code)
    grant = None if kept is None else msgspec.msgpack.decode(kept, type=Grant)
    if grant is None or not equal(grant.challenge, challenge_of(call.body.verifier)):
        raise Problem(403, "login", "this code is not valid, or not any more; run `headrace login` again")
    source = msgspec.structs.replace(call.source, actor=grant.user)
    token, text = accounts.add_token(source, NewToken(user=grant.user, name=f"headrace login on {grant.machine}"))
    return MadeToken(id=token.id, user=token.user, token=text, expires=token.expires)


def _change_password(call: Call[Any, PasswordRequest]) -> None:
    principal = call.principal
    if not principal.csrf:
        raise Problem(403, "forbidden", "a password is changed in a browser's session, not with a token")
    accounts = call.server.accounts
    try:
        Logins(accounts).check_password(call.source, principal.name, call.body.old)
    except LockedOutError as error:
        raise Problem(429, "locked-out", str(error), headers={"Retry-After": f"{error.seconds + 1:.0f}"}) from None
    except LoginError:
        raise Problem(403, "login", "the old password is not right") from None
    accounts.set_password(call.source, principal.name, call.body.new)
    call.server.authenticator.forget()


def _tokens(call: Call[TokensOf, None]) -> Page[TokenView]:
    principal, user = call.principal, call.params.user or call.principal.name
    if user != principal.name and not principal.may_administer():
        raise Problem(403, "forbidden", "only admins of the server see tokens of others")
    accounts = call.server.accounts
    now = accounts.clock()
    found = accounts.store.tokens(None if user == ALL_PROJECTS else user)
    return Page(items=[token_view(one, now) for one in found])


def _add_token(call: Call[Any, TokenRequest]) -> MadeToken:
    """A token for oneself. A token makes no stronger one, none for another project, and none that outlives it."""
    principal, body = call.principal, call.body
    scope = Role.of(body.role)
    if principal.run is not None:
        raise Problem(403, "forbidden", "the token of a driver makes no tokens")
    if principal.most is not None and scope > principal.most:
        raise Problem(403, "forbidden", f"this token has the role {principal.most.label}; a new one can have no more")
    if principal.project and body.project != principal.project:
        raise Problem(403, "forbidden", f"this token is for project {principal.project!r}, and so is what it makes")
    accounts = call.server.accounts
    seconds = body.seconds
    if principal.token is not None:
        ends = next(one.expires for one in accounts.store.tokens(principal.name) if one.id == principal.token)
        if ends is not None:
            seconds = min(ends - accounts.clock(), seconds or ends)
    new = NewToken(user=principal.name, name=body.name, scope=scope, project=body.project, seconds=seconds)
    token, text = accounts.add_token(call.source, new)
    return MadeToken(id=token.id, user=token.user, token=text, expires=token.expires)


def _revoke(call: Call[TokenPath, None]) -> None:
    principal = call.principal
    if principal.run is not None:
        raise Problem(403, "forbidden", "the token of a driver revokes no tokens")
    call.server.accounts.revoke_token(
        call.source, call.params.token, None if principal.may_administer() else principal.name
    )
    call.server.authenticator.forget()


_SESSION = API + "/session"
ROUTES = (
    Route(
        method="GET",
        path=_SESSION,
        handler=_me,
        summary="Who asks, and what they may",
        result=SessionView,
        tag="accounts",
    ),
    Route(
        method="DELETE",
        path=_SESSION,
        handler=_end,
        summary="Log out: end the session, or revoke the token that is sent",
        tag="accounts",
        action="logout",
        audits_itself=True,
    ),
    Route(
        method="POST",
        path=_SESSION + "/token",
        handler=_exchange,
        summary="The token of a command line that was let in on a page",
        open=True,
        body=CodeRequest,
        result=MadeToken,
        status=201,
        problems=(403,),
        tag="accounts",
        action="token.add",
        audits_itself=True,
    ),
    Route(
        method="PUT",
        path=_SESSION + "/password",
        handler=_change_password,
        summary="Change one's own password; all sessions end",
        body=PasswordRequest,
        problems=(403, 429),
        tag="accounts",
        action="user.passwd",
        audits_itself=True,
    ),
    Route(
        method="GET",
        path=API + "/tokens",
        handler=_tokens,
        summary="Tokens of oneself, or for admins of others",
        params=TokensOf,
        result=Page[TokenView],
        problems=(403,),
        tag="accounts",
    ),
    Route(
        method="POST",
        path=API + "/tokens",
        handler=_add_token,
        summary="Make a token for oneself; its text is answered this once",
        body=TokenRequest,
        result=MadeToken,
        status=201,
        problems=(403, 404),
        tag="accounts",
        action="token.add",
        audits_itself=True,
    ),
    Route(
        method="DELETE",
        path=API + "/tokens/{token}",
        handler=_revoke,
        summary="Revoke a token",
        params=TokenPath,
        problems=(403, 404),
        tag="accounts",
        action="token.revoke",
        audits_itself=True,
    ),
)
