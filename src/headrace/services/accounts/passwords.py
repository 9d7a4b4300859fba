"""Passwords: argon2id with the parameters of RFC 9106 for servers with little memory (64 MiB, 3 passes)."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from headrace.model.errors import UsageError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST = 10
LONGEST = 256

#: Number of passwords that are checked at the same time: each check needs 64 MiB.
_room = threading.Semaphore(2)


@cache
def _hasher() -> PasswordHasher:
    try:
        from argon2 import PasswordHasher
        from argon2.profiles import RFC_9106_LOW_MEMORY
    except ImportError:
        raise UsageError("passwords need the package argon2-cffi: pip install 'headrace[server]'") from None
    return PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


@cache
def _of_nobody() -> str:
    """A hash that fits no password, in which checking takes as long as in any other."""
    return _hasher().hash("no user has this password, and a user without a password is refused anyway")


def check_new(password: str, user: str) -> None:
    """Refuse passwords that are found by trying.

    Raises:
        UsageError: it is too short, too long, or the user's name.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(f"a password has {SHORTEST} to {LONGEST} characters; this one has {len(password)}")
    if user and user.lower() in password.lower() and len(password) < len(user) + SHORTEST:
        raise UsageError("a password must not be made of the user's name; choose another one")
    if len(set(password)) < 4:
        raise UsageError("this password repeats too few characters; choose another one")


def hashed(password: str) -> str:
    """What is stored of ``password``."""
    with _room:
        return _hasher().hash(password)


def is_right(stored: str, password: str) -> bool:
    """Whether ``password`` is the one that ``stored`` was made of. With nothing stored the check takes as long."""
    from argon2.exceptions import InvalidHashError, VerificationError

    if len(password) > LONGEST:
        password = ""
    with _room:
        try:
            return _hasher().verify(stored or _of_nobody(), password) and bool(stored)
        except (VerificationError, InvalidHashError):
            return False


def is_outdated(stored: str) -> bool:
    """Whether ``stored`` was made with other parameters than those of today."""
    return _hasher().check_needs_rehash(stored)
