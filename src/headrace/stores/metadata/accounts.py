"""Accounts in the database of a metadata store. What they promise is in ``headrace.stores.accounts.protocol``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from msgspec.structs import asdict, replace

from headrace.model.accounts import AuditEntry, AuditFilter, Grant, LoginSession, Role, Token, User
from headrace.model.errors import UsageError
from headrace.stores.accounts.protocol import Recording
from headrace.stores.metadata._audited import Pending, audited, pending
from headrace.stores.metadata._database import (
    ANSWER_SECONDS,
    DRIVER_SECONDS,
    PatientWrite,
    Transaction,
    Write,
    patiently,
)
from headrace.stores.metadata._sql import Row, Statements
from headrace.stores.metadata.store import SqlMetadata

_AUDITED = ("created", "actor", "address", "request_id", "action", "project", "object", "outcome", "detail")


class SqlAccounts:
    """An ``AccountStore`` in the database of ``metadata``, which stays open as long as that."""

    def __init__(self, metadata: SqlMetadata, statements: Statements | None = None, *, patient: bool = True) -> None:
        self.metadata = metadata
        self._database = metadata.database
        self._statements = statements or Statements(self._database.statements.dialect, "accounts.sql")
        self._patient = patient

    def hasty(self) -> SqlAccounts:
        """See ``AccountStore``."""
        return SqlAccounts(self.metadata, self._statements, patient=False)

    def _rows(self, text: str, params: Row) -> list[Row]:
        if self._patient:
            return patiently(lambda: self._database.rows(text, params))
        return self._database.rows(text, params, DRIVER_SECONDS)

    def _select(self, *names: str, **values: object) -> list[Row]:
        statement = self._statements(*names)
        return self._rows(statement.text, statement.bind(values))

    def _writing(self) -> Write:
        if self._patient:
            return audited(PatientWrite(self._database.write(ANSWER_SECONDS)), self._database)
        return audited(self._database.write(DRIVER_SECONDS), self._database)

    def _within(self, transaction: Transaction, which: str, /, **values: object) -> list[Row]:
        statement = self._statements(which)
        return transaction.rows(statement.text, statement.bind(values))

    def _returning(self, which: str, /, **values: object) -> list[Row]:
        with self._writing() as transaction:
            return self._within(transaction, which, **values)

    def _change(self, which: str, /, **values: object) -> None:
        statement = self._statements(which)
        with self._writing() as transaction:
            transaction.change(statement.text, statement.bind(values))

    # --- users and roles ---

    def add_user(self, user: User) -> None:
        """See ``AccountStore``."""
        with self._writing() as transaction:
            if not self._within(transaction, "add_user", **{**asdict(user), "disabled": int(user.disabled)}):
                raise UsageError(
                    f"there is a user {user.name!r} already, or one with the same identity at the provider"
                )

    def change_user(self, user: User) -> None:
        """See ``AccountStore``."""
        self._change("change_user", **{**asdict(user), "disabled": int(user.disabled)})

    def user(self, name: str) -> User | None:
        """See ``AccountStore``."""
        rows = self._select("users", "user_of_name", name=name)
        return _user_of(rows[0]) if rows else None

    def user_of_subject(self, subject: str) -> User | None:
        """See ``AccountStore``."""
        rows = self._select("users", "user_of_subject", subject=subject)
        return _user_of(rows[0]) if rows else None

    def users(self) -> list[User]:
        """See ``AccountStore``."""
        return [_user_of(row) for row in self._select("users", "users_in_order")]

    def set_role(self, user: str, project: str, role: Role | None) -> None:
        """See ``AccountStore``."""
        if role is None:
            self._change("drop_role", user=user, project=project)
        else:
            self._change("set_role", user=user, project=project, role=role.label)

    def roles(self, user: str | None = None) -> list[Grant]:
        """See ``AccountStore``."""
        rows = self._select("roles", user=user or "", every=int(user is None))
        return [Grant(name, project, Role.of(role)) for name, project, role in rows]

    # --- tokens ---

    def add_token(self, token: Token, hashed: bytes) -> Token:
        """See ``AccountStore``."""
        values = {**asdict(token), "scope": token.scope.label, "hash": hashed}
        return replace(token, id=self._returning("add_token", **values)[0][0])

    def token_of(self, hashed: bytes) -> Token | None:
        """See ``AccountStore``."""
        rows = self._select("tokens", "token_of", hash=hashed)
        return _token_of(rows[0]) if rows else None

    def tokens(self, user: str | None = None) -> list[Token]:
        """See ``AccountStore``."""
        rows = self._select("tokens", "tokens_of", user=user or "", every=int(user is None))
        return [_token_of(row) for row in rows]

    def revoke_token(self, token_id: int, now: float) -> bool:
        """See ``AccountStore``."""
        return bool(self._returning("revoke_token", id=token_id, now=now))

    def note_use(self, token_id: int, now: float) -> None:
        """See ``AccountStore``."""
        self._change("note_use", id=token_id, now=now)

    def bind_token(self, token_id: int, run_id: int) -> bool:
        """See ``AccountStore``."""
        return bool(self._returning("bind_token", id=token_id, run=run_id))

    # --- sessions and logins ---

    def add_session(self, session: LoginSession) -> None:
        """See ``AccountStore``."""
        self._change("add_session", **asdict(session))

    def session(self, hashed: bytes) -> LoginSession | None:
        """See ``AccountStore``."""
        for row in self._select("session", hash=hashed):
            return LoginSession(hash=bytes(row[0]), user=row[1], csrf=row[2], created=row[3], expires=row[4])
        return None

    def end_session(self, hashed: bytes) -> None:
        """See ``AccountStore``."""
        self._change("end_session", hash=hashed)

    def end_sessions(self, user: str) -> None:
        """See ``AccountStore``."""
        self._change("end_sessions", user=user)

    def begin_login(self, hashed: bytes, kind: str, body: bytes, expires: float) -> None:
        """See ``AccountStore``."""
        self._change("begin_login", hash=hashed, kind=kind, body=body, expires=expires)

    def take_login(self, hashed: bytes, kind: str, now: float) -> bytes | None:
        """See ``AccountStore``."""
        for body, expires in self._returning("take_login", hash=hashed, kind=kind):
            return bytes(body) if now < expires else None
        return None

    def login_failed(self, subject: str, now: float) -> int:
        """See ``AccountStore``."""
        return int(self._returning("login_failed", subject=subject, now=now)[0][0])

    def login_failures(self, subject: str) -> tuple[int, float]:
        """See ``AccountStore``."""
        rows = self._select("login_failures", subject=subject)
        return (rows[0][0], rows[0][1]) if rows else (0, 0.0)

    def login_succeeded(self, subject: str) -> None:
        """See ``AccountStore``."""
        self._change("login_succeeded", subject=subject)

    def forget_expired(self, now: float, failures_before: float) -> None:
        """See ``AccountStore``."""
        with self._writing() as transaction:
            for name in ("forget_sessions", "forget_logins", "forget_failures"):
                statement = self._statements(name)
                transaction.change(statement.text, statement.bind({"now": now, "before": failures_before}))

    # --- audit ---

    def record(self, entries: Sequence[AuditEntry]) -> None:
        """See ``AccountStore``."""
        statement = self._statements("record")
        rows = [statement.bind({name: _fit(getattr(entry, name)) for name in _AUDITED}) for entry in entries]
        with self._writing() as transaction:
            transaction.many(statement.text, rows)

    @contextlib.contextmanager
    def recorded(self, entry: AuditEntry) -> Iterator[Recording]:
        """See ``AccountStore``."""
        statement = self._statements("record")
        values = statement.bind({name: _fit(getattr(entry, name)) for name in _AUDITED})
        with pending(Pending(self._database, statement.text, values)) as waiting:
            yield waiting

    def audit(self, want: AuditFilter) -> list[AuditEntry]:
        """See ``AccountStore``."""
        given = [(name, getattr(want, name)) for name in ("actor", "project", "outcome", "action")]
        parts = [(f"{name} = :value", value) for name, value in given if value is not None]
        if want.before_id is not None:
            parts.append(("id < :value", want.before_id))
        condition = " WHERE " + " AND ".join([text for text, _ in parts]) if parts else ""
        text = f"{self._statements.source('audit')}{condition} ORDER BY id DESC LIMIT :value"
        statement = self._statements.compile(text)
        values = (*(value for _, value in parts), want.limit)
        rows = self._rows(statement.text, values)
        return [AuditEntry(id=row[0], **dict(zip(_AUDITED, row[1:], strict=True))) for row in rows]


def _user_of(row: Row) -> User:
    name, display, password, subject, disabled, created = row
    return User(
        name=name, display=display, password=password, subject=subject, disabled=bool(disabled), created=created
    )


def _token_of(row: Row) -> Token:
    token_id, user, name, scope, project, run, created, expires, last_used, revoked = row
    return Token(
        id=token_id,
        user=user,
        name=name,
        scope=Role.of(scope),
        project=project,
        run=run,
        created=created,
        expires=expires,
        last_used=last_used,
        revoked=revoked,
    )


def _fit(value: object) -> object:
    """A text that every database takes: lone surrogates escaped, NUL shown as the picture of it."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\u2400")
