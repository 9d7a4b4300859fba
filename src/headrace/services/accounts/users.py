"""Users, their roles and their tokens: every change is checked, made, and written to the audit log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import msgspec
from msgspec.structs import replace

from headrace.model.accounts import ALL_PROJECTS, AuditEntry, Grant, Role, Token, User
from headrace.model.errors import NotFoundError, UsageError
from headrace.services.accounts import passwords
from headrace.services.accounts.secret_texts import hash_of, new_token
from headrace.stores.accounts.protocol import AccountStore, Recording

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
#: Longest text that describes a user or a token.
_LONGEST = 200
#: How long a token is valid unless its maker says otherwise, in seconds.
TOKEN_SECONDS = 90 * 86400.0
#: The longest that can be said.
LONGEST_TOKEN_SECONDS = 10 * 366 * 86400.0


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request comes from, for the audit log."""

    actor: str
    address: str = ""
    request_id: str = ""

    def entry(
        self, action: str, about: str, now: float, *, project: str = "", outcome: str = "done", detail: str = ""
    ) -> AuditEntry:
        """The entry that says what was done to ``about``."""
        return AuditEntry(
            created=now,
            actor=self.actor,
            address=self.address,
            request_id=self.request_id,
            action=action,
            object=about,
            project=project,
            outcome=outcome,
            detail=detail,
        )


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a new token is to be. ``seconds``: how long it is valid; None: for ever. ``run``: see ``Token``."""

    user: str
    name: str
    scope: Role = Role.EDITOR
    project: str = ALL_PROJECTS
    seconds: float | None = TOKEN_SECONDS
    run: int | None = None


class Accounts:
    """The users of one database.

    Args:
        store: where they are kept.
        clock: the time in seconds since the epoch.
    """

    def __init__(self, store: AccountStore, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.clock = clock

    def record(self, source: Source, action: str, about: str, **more: str) -> None:
        """Write to the audit log that ``source`` did something to ``about``."""
        self.store.record([source.entry(action, about, self.clock(), **more)])

    def recorded(self, source: Source, action: str, about: str, **more: str) -> AbstractContextManager[Recording]:
        """Write that with the first change that is made in the ``with`` block, in its transaction."""
        return self.store.recorded(source.entry(action, about, self.clock(), **more))

    def find(self, name: str) -> User:
        """The user of that name.

        Raises:
            NotFoundError: there is none.
        """
        user = self.store.user(name)
        if user is None:
            raise NotFoundError(f"there is no user {name!r}; `headrace user list` shows all")
        return user

    # --- users ---

    def add(self, source: Source, name: str, *, display: str = "", password: str = "", subject: str = "") -> User:
        """Add a user. Without a password the user logs in by a provider of identities alone.

        Raises:
            UsageError: the name or password cannot be used, or there is such a user.
        """
        check_user_name(name)
        _check_text("the display name", display, empty=True)
        if password:
            passwords.check_new(password, name)
        stored = passwords.hashed(password) if password else ""
        user = User(name=name, display=display, password=stored, subject=subject, created=self.clock())
        with self.recorded(source, "user.add", name):
            self.store.add_user(user)
        return user

    def set_password(self, source: Source, name: str, password: str) -> None:
        """Give a user a password. All sessions of the user end.

        Raises:
            UsageError: the password cannot be used, or there is no such user.
        """
        user = self.find(name)
        passwords.check_new(password, name)
        changed = replace(user, password=passwords.hashed(password))
        with self.recorded(source, "user.passwd", name):
            self.store.change_user(changed)
        self.store.end_sessions(name)

    def set_disabled(self, source: Source, name: str, disabled: bool) -> None:
        """Lock a user out, or let the user in again. Sessions of a user who is locked out end; tokens are refused as
        long as that holds.

        Raises:
            NotFoundError: there is no such user.
        """
        user = replace(self.find(name), disabled=disabled)
        with self.recorded(source, "user.disable" if disabled else "user.enable", name):
            self.store.change_user(user)
        if disabled:
            self.store.end_sessions(name)

    # --- roles ---

    def roles_of(self, name: str) -> dict[str, Role]:
        """The roles of a user by project; under ``*`` the one for all projects."""
        return {grant.project: grant.role for grant in self.store.roles(name)}

    def set_role(self, source: Source, name: str, project: str, role: Role | None) -> None:
        """Give a user a role in ``project`` (``*``: in all), or take it away.

        Raises:
            UsageError: there is no such user, or a project cannot be called that.
        """
        self.find(name)
        if project != ALL_PROJECTS:
            check_project_name(project)
        detail = "none" if role is None else role.label
        with self.recorded(source, "role.set", name, project=project, detail=detail):
            self.store.set_role(name, project, role)

    # --- tokens ---

    def add_token(self, source: Source, new: NewToken) -> tuple[Token, str]:
        """Make a token; returns it with its text, which is nowhere else.

        Raises:
            UsageError: a bound of it has an impossible value, or there is no such user.
        """
        user = self.find(new.user)
        if user.disabled:
            raise UsageError(f"{user.name} is disabled; `headrace user enable {user.name}` comes first")
        _check_text("the name of a token", new.name)
        if new.project != ALL_PROJECTS:
            check_project_name(new.project)
        now = self.clock()
        if new.seconds is not None and not 0 < new.seconds <= LONGEST_TOKEN_SECONDS:
            raise UsageError("a token is valid for more than no time and at most ten years")
        text = new_token()
        token = Token(
            user=user.name,
            name=new.name,
            scope=new.scope,
            project=new.project,
            run=new.run,
            created=now,
            expires=None if new.seconds is None else now + new.seconds,
        )
        token = self.store.add_token(token, hash_of(text, "token"))
        detail = f"id {token.id}, user {user.name}, {new.scope.label}"
        project = "" if new.project == ALL_PROJECTS else new.project
        self.record(source, "token.add", new.name, project=project, detail=detail)
        return token, text

    def revoke_token(self, source: Source, token_id: int, user: str | None = None) -> Token:
        """Make a token invalid for ever, one of ``user`` if that is given; twice is the same as once.

        Raises:
            NotFoundError: there is no such token.
        """
        found = [token for token in self.store.tokens(user) if token.id == token_id]
        if not found:
            raise NotFoundError(f"there is no token with the id {token_id}; `headrace token list` shows all")
        if found[0].revoked is None:
            with self.recorded(source, "token.revoke", found[0].name, detail=f"id {token_id}, user {found[0].user}"):
                self.store.revoke_token(token_id, self.clock())
        return found[0]


def check_user_name(name: str) -> None:
    """Raise UsageError unless a user can be called that."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a user: letters, digits and . _ @ + - are allowed, at most 100, "
            "the first a letter or digit"
        )


def check_project_name(name: str) -> None:
    """Raise UsageError unless a project can be called that."""
    if not name.strip() or not name.isprintable() or name == ALL_PROJECTS or len(name) > _LONGEST:
        raise UsageError(f"{name!r} cannot be the name of a project")


def _check_text(what: str, text: str, *, empty: bool = False) -> None:
    if not text and empty:
        return
    if not text.strip() or len(text) > _LONGEST or not text.isprintable():
        raise UsageError(f"{what} is a text of one line, not empty, with at most {_LONGEST} characters")


def grants_text(grants: Sequence[Grant]) -> str:
    """Roles as people read them: ``admin of all projects, viewer of shop``."""
    return ", ".join(
        f"{grant.role.label} of {'all projects' if grant.project == ALL_PROJECTS else grant.project}"
        for grant in grants
    )
