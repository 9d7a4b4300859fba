"""Texts that prove who one is: made here, shown once, stored as hashes.

Tokens and cookies are 256 random bits, which nobody can guess or search for. So a fast hash is enough for them, and a
store finds them by the hash: no comparison of texts tells by its duration how much of a guess was right. Passwords,
which people choose, are in ``passwords``.
"""

from __future__ import annotations

import hmac
import re
import secrets

from blake3 import blake3

#: Tokens begin like that, so that scanners of sources and logs recognise them.
PREFIX = "headrace_"
_TOKEN = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")


def new_token() -> str:
    """The text of a new token."""
    return PREFIX + secrets.token_urlsafe(32)


def is_token(text: str) -> bool:
    """Whether ``text`` has the form of a token: others are not looked for."""
    return _TOKEN.fullmatch(text) is not None


def new_secret() -> str:
    """A new text for a cookie, a form or a step of a login."""
    return secrets.token_urlsafe(32)


def hash_of(text: str, purpose: str) -> bytes:
    """What is stored of ``text``. Texts of one ``purpose`` are of no use for another."""
    return blake3(text.encode("utf-8", "surrogatepass"), derive_key_context=f"headrace {purpose}").digest()


def equal(left: str, right: str) -> bool:
    """Whether both are the same, in a time that does not tell how much of them is."""
    return hmac.compare_digest(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
