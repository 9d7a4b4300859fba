"""What every store of accounts promises. ``headrace.testing.accounts`` holds the suite that checks it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from headrace.model.accounts import AuditEntry, AuditFilter, Grant, LoginSession, Role, Token, User


class Recording(Protocol):
    """What ``AccountStore.recorded`` gives: whether the entry was written."""

    written: bool


class AccountStore(Protocol):
    """Users with their roles, tokens and sessions, and the audit log.

    Threads and processes: as for ``MetadataStore``, in whose database it is; the same errors are raised. Every
    method is one transaction. Secrets come as hashes. Times are given by the caller.
    """

    def hasty(self) -> AccountStore:
        """The same accounts for a caller that must answer soon: calls give up after seconds, with ``StoreAwayError``,
        where this one goes on trying for half a minute."""

    # --- users and roles ---

    def add_user(self, user: User) -> None:
        """Add a user.

        Raises:
            UsageError: there is a user of that name, or of that subject.
        """

    def change_user(self, user: User) -> None:
        """Replace everything of the user of that name; nothing happens when there is none."""

    def user(self, name: str) -> User | None:
        """One user by name."""

    def user_of_subject(self, subject: str) -> User | None:
        """The user whom a provider of identities calls ``subject``."""

    def users(self) -> list[User]:
        """All users by name."""

    def set_role(self, user: str, project: str, role: Role | None) -> None:
        """Give a user a role in a project instead of the one it has there; None takes it away."""

    def roles(self, user: str | None = None) -> list[Grant]:
        """The roles of one user or of all, by user and project."""

    # --- tokens ---

    def add_token(self, token: Token, hashed: bytes) -> Token:
        """Add a token; returns it with its id."""

    def token_of(self, hashed: bytes) -> Token | None:
        """The token whose text has this hash, also when it is expired or revoked."""

    def tokens(self, user: str | None = None) -> list[Token]:
        """The tokens of one user or of all, by id."""

    def revoke_token(self, token_id: int, now: float) -> bool:
        """Make a token invalid for ever; whether it was valid until now."""

    def note_use(self, token_id: int, now: float) -> None:
        """Remember when a token was used."""

    def bind_token(self, token_id: int, run_id: int) -> bool:
        """Give the token of a driver that may open one run its run. False: it has one, or is not such a token."""

    # --- sessions and logins ---

    def add_session(self, session: LoginSession) -> None:
        """Add a session."""

    def session(self, hashed: bytes) -> LoginSession | None:
        """The session whose cookie has this hash, also when it is expired."""

    def end_session(self, hashed: bytes) -> None:
        """End a session; nothing happens when it is over."""

    def end_sessions(self, user: str) -> None:
        """End all sessions of a user."""

    def begin_login(self, hashed: bytes, kind: str, body: bytes, expires: float) -> None:
        """Keep ``body`` for the second step of a login, which shows what ``hashed`` is the hash of."""

    def take_login(self, hashed: bytes, kind: str, now: float) -> bytes | None:
        """What ``begin_login`` kept, once: the second call finds nothing, nor does one that comes too late."""

    def login_failed(self, subject: str, now: float) -> int:
        """Count one more failed login of ``subject`` (a user or an address); how many there were in a row."""

    def login_failures(self, subject: str) -> tuple[int, float]:
        """How many logins of ``subject`` failed in a row, and when the latest did."""

    def login_succeeded(self, subject: str) -> None:
        """Forget the failed logins of ``subject``."""

    def forget_expired(self, now: float, failures_before: float) -> None:
        """Delete sessions and logins that expired before ``now``, and failures older than ``failures_before``."""

    # --- audit ---

    def record(self, entries: Sequence[AuditEntry]) -> None:
        """Append to the audit log; texts that the database cannot keep are written with characters replaced."""

    def recorded(self, entry: AuditEntry) -> AbstractContextManager[Recording]:
        """In the ``with`` block, the first change that this thread makes in the database (of accounts or of runs)
        appends ``entry`` to the audit log in the same transaction. A change that fails appends nothing."""

    def audit(self, want: AuditFilter) -> list[AuditEntry]:
        """Entries of the audit log, newest first."""
