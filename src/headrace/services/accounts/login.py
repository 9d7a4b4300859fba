"""Logging in: passwords with lockout, sessions, and tokens."""

from __future__ import annotations

import secrets

import msgspec
from msgspec.structs import replace

from headrace.model.accounts import LoginSession, Token, User
from headrace.model.errors import HeadraceError
from headrace.services.accounts import passwords
from headrace.services.accounts.secret_texts import hash_of, is_token, new_secret
from headrace.services.accounts.users import Accounts, Source

#: How long a session lasts, in seconds.
SESSION_SECONDS = 12 * 3600.0
#: Failed logins in a row before the next one has to wait: of a user from one address, of an address, of a user.
_FREE = {"pair": 5, "address": 30, "user": 50}
#: The wait after the first failure too many; it doubles with each further one.
_FIRST_WAIT = 2.0
_LONGEST_WAIT = 900.0
#: Failures are forgotten after that time.
_FAILURES_SECONDS = 3600.0
#: The use of a token is noted once in so many seconds.
_USE_SECONDS = 60.0


class LoginError(HeadraceError):
    """Name and password do not fit together, or the user may not log in; which of these is not told."""


class LockedOutError(LoginError):
    """Too many failed logins; ``seconds`` says when to try again."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many failed logins; try again in {seconds:.0f} s")
        self.seconds = seconds


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A session that begins: ``cookie`` is what the browser keeps, ``session`` what the store has."""

    cookie: str
    session: LoginSession


class Logins:
    """Lets users in.

    Args:
        accounts: the users.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._store = accounts.store
        self._clock = accounts.clock

    # --- passwords ---

    def check_password(self, source: Source, name: str, password: str) -> User:
        """The user whom name and password belong to. Success and failure are both audited.

        Every try is counted before the password is looked at, so that many at once gain nothing. A user who does not
        exist, is disabled or has no password is refused after the same time as a wrong password.

        Raises:
            LoginError: they belong to nobody who may log in; ``LockedOutError`` when there were too many failures.
        """
        name = name[:100]
        subjects = self._subjects(source.address, name)
        user = self._store.user(name)
        known = "(unknown user)" if user is None else user.name  # else passwords typed as names would be in the log
        wait = self._wait(subjects)
        if wait > 0:
            raise LockedOutError(wait)
        now = self._clock()
        for kind in ("pair", "user"):
            self._store.login_failed(subjects[kind], now)
        right = passwords.is_right("" if user is None else user.password, password)
        if user is None or not right or user.disabled:
            self._store.login_failed(subjects["address"], now)  # many users may share it: their successes do not count
            wait = self._wait(subjects)  # tries until then are refused without an entry: nobody can fill the log
            locked = f"; locked out for {wait:.0f} s" if wait > 0 else ""
            detail = f"wrong name or password{locked}"
            self._accounts.record(source, "login", known, outcome="refused", detail=detail)
            raise LoginError("name and password do not fit together")
        for kind in ("pair", "user"):
            self._store.login_succeeded(subjects[kind])
        if passwords.is_outdated(user.password):
            self._store.change_user(replace(user, password=passwords.hashed(password)))
        return user

    def _subjects(self, address: str, name: str) -> dict[str, str]:
        return {"pair": f"pair {address} {name}", "address": f"address {address}", "user": f"user {name}"}

    def _wait(self, subjects: dict[str, str]) -> float:
        """How many seconds the next try has to wait."""
        longest = 0.0
        for kind, subject in subjects.items():
            failures, latest = self._store.login_failures(subject)
            beyond = failures - _FREE[kind]
            age = self._clock() - latest
            if beyond >= 0 and age < _FAILURES_SECONDS:
                longest = max(longest, min(_FIRST_WAIT * 2.0 ** min(beyond, 20), _LONGEST_WAIT) - age)
        return longest

    # --- sessions ---

    def open_session(self, source: Source, user: User, how: str, seconds: float = SESSION_SECONDS) -> Opened:
        """Begin a session, always under a new cookie: one that a browser brought along is never taken over."""
        now = self._clock()
        cookie = new_secret()
        session = LoginSession(
            hash=hash_of(cookie, "session"), user=user.name, csrf=new_secret(), created=now, expires=now + seconds
        )
        self._store.add_session(session)
        self._store.forget_expired(now, now - _FAILURES_SECONDS)
        self._accounts.record(replace(source, actor=user.name), "login", user.name, detail=how)
        return Opened(cookie=cookie, session=session)

    def session_of(self, cookie: str) -> tuple[LoginSession, User] | None:
        """The session with that cookie, and its user; None when it is over or the user is disabled."""
        session = self._store.session(hash_of(cookie, "session"))
        if session is None or session.expires <= self._clock():
            return None
        user = self._store.user(session.user)
        return None if user is None or user.disabled else (session, user)

    def close_session(self, source: Source, cookie: str) -> None:
        """End the session with that cookie; nothing happens when it is over."""
        session = self._store.session(hash_of(cookie, "session"))
        if session is not None:
            self._store.end_session(session.hash)
            self._accounts.record(source, "logout", session.user)

    # --- tokens ---

    def token_of(self, text: str) -> tuple[Token, User] | None:
        """The valid token with that text, and its user; None when there is none or the user is disabled."""
        if not is_token(text):
            return None
        token = self._store.token_of(hash_of(text, "token"))
        now = self._clock()
        if token is None or not token.is_valid(now):
            return None
        user = self._store.user(token.user)
        if user is None or user.disabled:
            return None
        if token.last_used is None or now - token.last_used > _USE_SECONDS:
            self._store.note_use(token.id, now)
        return token, user

    # --- logins of two steps ---

    def begin(self, kind: str, body: bytes, seconds: float) -> str:
        """Keep ``body`` for the second step of a login; the text that fetches it, once, within ``seconds``."""
        text = secrets.token_urlsafe(32)
        self._store.begin_login(hash_of(text, kind), kind, body, self._clock() + seconds)
        return text

    def finish(self, kind: str, text: str) -> bytes | None:
        """What ``begin`` kept under ``text``; None when there is nothing, or not any more."""
        return self._store.take_login(hash_of(text, kind), kind, self._clock())
