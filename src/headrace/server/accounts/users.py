"""The API of users, their roles, and the audit log, for admins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from starlette.responses import Response, StreamingResponse

from headrace.model.accounts import ALL_PROJECTS, AuditEntry, AuditFilter, Role, User
from headrace.server.accounts.session import RoleName, Text
from headrace.server.call import Call, Params
from headrace.server.cursors import read_cursor, write_cursor
from headrace.server.problems import Problem
from headrace.server.read.paths import PROJECT, ProjectPath
from headrace.server.routes import Media, Page, change, get
from headrace.services.accounts import passwords
from headrace.services.accounts.users import Accounts
from headrace.stores.accounts.protocol import AccountStore

#: Rows of the audit log that are read at once for an export.
_BATCH = 1_000
_Password = Annotated[str, msgspec.Meta(max_length=passwords.LONGEST)]
_Lines = Media(types=("application/x-ndjson",), about="one JSON object in each line, newest first")


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    """A user; ``login`` is ``password`` or ``sso``, ``roles`` the role in each project (``*``: in all)."""

    name: str
    display: str
    login: str
    disabled: bool
    created: float
    roles: dict[str, str]


class RoleView(msgspec.Struct, frozen=True, kw_only=True):
    """What a user may do in a project; ``everywhere``: the role is one for all projects."""

    user: str
    role: str
    everywhere: bool


class NewUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user to add; without a password, one who logs in by single sign-on."""

    name: Text
    display: Text = ""
    password: _Password = ""


class UserChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed of a user: those fields that are given."""

    disabled: bool | None = None
    password: _Password | None = None


class RoleRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The role that a user is to have."""

    role: RoleName


class UserPath(Params, frozen=True, kw_only=True):
    """A user, by name."""

    user: Text


class MemberPath(ProjectPath, frozen=True, kw_only=True):
    """A user in a project."""

    user: Text


class AuditQuery(Params, frozen=True, kw_only=True):
    """Which entries: those that fit all that is given. ``outcome``: ``done``, ``refused`` or ``failed``."""

    actor: Text | None = None
    action: Text | None = None
    outcome: Text | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100
    cursor: str | None = None


class WholeAuditQuery(AuditQuery, frozen=True, kw_only=True):
    """The same, of all projects or of one."""

    project: Text | None = None


class ProjectAuditQuery(ProjectPath, frozen=True, kw_only=True):
    """Which entries of a project."""

    actor: Text | None = None
    action: Text | None = None
    outcome: Text | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100
    cursor: str | None = None


def _user_view(store: AccountStore, user: User) -> UserView:
    return UserView(
        name=user.name,
        display=user.display,
        login="password" if user.password else "sso",
        disabled=user.disabled,
        created=user.created,
        roles={one.project: one.role.label for one in store.roles(user.name)},
    )


def _users(call: Call[Any, None]) -> Page[UserView]:
    store = call.server.accounts.store
    return Page(items=[_user_view(store, user) for user in store.users()])


def _user(call: Call[UserPath, None]) -> UserView:
    accounts = call.server.accounts
    return _user_view(accounts.store, accounts.find(call.params.user))


def _add_user(call: Call[Any, NewUser]) -> UserView:
    accounts, new = call.server.accounts, call.body
    user = accounts.add(call.source, new.name, display=new.display, password=new.password)
    return _user_view(accounts.store, user)


def _change_user(call: Call[UserPath, UserChange]) -> UserView:
    accounts, name, wanted = call.server.accounts, call.params.user, call.body
    accounts.find(name)
    if wanted.disabled and name == call.principal.name:
        raise Problem(409, "oneself", "you would lock yourself out; another admin can do it")
    if wanted.password is not None:
        accounts.set_password(call.source, name, wanted.password)
    if wanted.disabled is not None:
        accounts.set_disabled(call.source, name, wanted.disabled)
    call.server.authenticator.forget()
    return _user_view(accounts.store, accounts.find(name))


def _set_role(accounts: Accounts, call: Call[Any, Any], user: str, project: str, role: Role | None) -> None:
    if user == call.principal.name:
        raise Problem(409, "oneself", "nobody changes roles of their own; another admin can do it")
    accounts.set_role(call.source, user, project, role)
    call.server.authenticator.forget()


def _give_everywhere(call: Call[UserPath, RoleRequest]) -> None:
    _set_role(call.server.accounts, call, call.params.user, ALL_PROJECTS, Role.of(call.body.role))


def _take_everywhere(call: Call[UserPath, None]) -> None:
    _set_role(call.server.accounts, call, call.params.user, ALL_PROJECTS, None)


def _members(call: Call[ProjectPath, None]) -> Page[RoleView]:
    grants = call.server.accounts.store.roles()
    return Page(
        items=[
            RoleView(user=one.user, role=one.role.label, everywhere=one.project == ALL_PROJECTS)
            for one in grants
            if one.project in (call.params.project, ALL_PROJECTS)
        ]
    )


def _give(call: Call[MemberPath, RoleRequest]) -> None:
    _set_role(call.server.accounts, call, call.params.user, call.params.project, Role.of(call.body.role))


def _take(call: Call[MemberPath, None]) -> None:
    _set_role(call.server.accounts, call, call.params.user, call.params.project, None)


def _wanted(query: WholeAuditQuery | ProjectAuditQuery) -> tuple[AuditFilter, tuple[str | None, ...]]:
    """The filter of a query, and what its cursors are for."""
    of = ("audit", query.project, query.actor, query.action, query.outcome)
    before = read_cursor(query.cursor, int, of)
    if before is not None and not 0 < before < 2**62:
        raise Problem(400, "bad-cursor", "this cursor is not of this list")
    wanted = AuditFilter(
        actor=query.actor,
        project=query.project,
        outcome=query.outcome,
        action=query.action,
        before_id=before,
        limit=query.limit,
    )
    return wanted, of


def _audit(call: Call[Any, None]) -> Page[AuditEntry]:
    wanted, of = _wanted(call.params)
    found = call.server.accounts.store.audit(wanted)
    full = len(found) == wanted.limit
    return Page(items=found, next=write_cursor(found[-1].id, of) if full else None)


def _export(call: Call[Any, None]) -> Response:
    """The whole log, read in parts while it is sent."""
    wanted, _ = _wanted(call.params)
    store = call.server.accounts.store
    return StreamingResponse(_lines(store, wanted), media_type=_Lines.types[0])


def _lines(store: AccountStore, wanted: AuditFilter) -> Iterator[bytes]:
    wanted = msgspec.structs.replace(wanted, limit=_BATCH)
    while found := store.audit(wanted):
        yield b"".join([msgspec.json.encode(entry) + b"\n" for entry in found])
        wanted = msgspec.structs.replace(wanted, before_id=found[-1].id)


_AUDIT = {"tag": "audit", "problems": (403,)}
_USERS = {"tag": "accounts", "admin": True, "problems": (403, 404, 409), "audits_itself": True}
_MEMBERS = {"tag": "accounts", "needs": Role.ADMIN, "problems": (403, 404, 409), "audits_itself": True}
_USER, _MEMBER = "/users/{user}", PROJECT + "/roles/{user}"
ROUTES = (
    get("/users", _users, "Users with their roles", admin=True, result=Page[UserView], tag="accounts"),
    change(
        "POST",
        "/users",
        _add_user,
        "Add a user",
        body=NewUser,
        result=UserView,
        status=201,
        action="user.add",
        **_USERS,
    ),
    get(_USER, _user, "A user", admin=True, params=UserPath, result=UserView, problems=(404,), tag="accounts"),
    change(
        "PATCH",
        _USER,
        _change_user,
        "Disable or enable a user, or give another password",
        params=UserPath,
        body=UserChange,
        result=UserView,
        action="user.change",
        **_USERS,
    ),
    change(
        "PUT",
        _USER + "/role",
        _give_everywhere,
        "Give a user a role in all projects",
        params=UserPath,
        body=RoleRequest,
        action="role.set",
        **_USERS,
    ),
    change(
        "DELETE",
        _USER + "/role",
        _take_everywhere,
        "Take the role in all projects away",
        params=UserPath,
        action="role.set",
        **_USERS,
    ),
    get(
        PROJECT + "/roles",
        _members,
        "Who may do what in a project",
        needs=Role.ADMIN,
        params=ProjectPath,
        result=Page[RoleView],
        problems=(403, 404),
        tag="accounts",
    ),
    change(
        "PUT",
        _MEMBER,
        _give,
        "Give a user a role in a project",
        params=MemberPath,
        body=RoleRequest,
        action="role.set",
        **_MEMBERS,
    ),
    change(
        "DELETE",
        _MEMBER,
        _take,
        "Take a user's role in a project away",
        params=MemberPath,
        action="role.set",
        **_MEMBERS,
    ),
    get(
        "/audit",
        _audit,
        "The audit log, newest first",
        admin=True,
        params=WholeAuditQuery,
        result=Page[AuditEntry],
        **_AUDIT,
    ),
    get(
        "/audit/export",
        _export,
        "The audit log as JSON lines",
        admin=True,
        params=WholeAuditQuery,
        result=_Lines,
        **_AUDIT,
    ),
    get(
        PROJECT + "/audit",
        _audit,
        "The audit log of a project, newest first",
        needs=Role.ADMIN,
        params=ProjectAuditQuery,
        result=Page[AuditEntry],
        **_AUDIT,
    ),
    get(
        PROJECT + "/audit/export",
        _export,
        "The audit log of a project as JSON lines",
        needs=Role.ADMIN,
        params=ProjectAuditQuery,
        result=_Lines,
        **_AUDIT,
    ),
)
