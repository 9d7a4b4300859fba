"""Secrets in texts that are recorded: what looks like one is replaced by ``***`` before it is written anywhere.

Forms are those that the issuers publish (prefixes of GitHub, GitLab, AWS, Slack, OpenAI and others, JSON web tokens,
PEM keys), passwords in URLs, and values of options whose names say what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

HIDDEN = "***"

# Texts, not compiled patterns: `re` keeps them compiled from first use on, and importing this costs nothing.
_TOKENS = "|".join(
    (
        r"gh[pousr]_[A-Za-z0-9]{20,}",
        r"github_pat_\w{20,}",
        r"glpat-[\w-]{16,}",
        r"(?:sk|pk|rk)[-_](?:ant-|proj-|live_|test_)?[\w-]{20,}",
        r"(?:AKIA|ASIA)[0-9A-Z]{16}",
        r"xox[abeoprs]-[\w-]{10,}",
        r"hf_[A-Za-z0-9]{20,}",
        r"AIza[\w-]{30,}",
        r"ya29\.[\w-]{20,}",
        r"npm_[A-Za-z0-9]{30,}",
        r"pypi-[\w-]{16,}",
        r"dapi[0-9a-f]{32}",
        r"SG\.[\w-]{16,}\.[\w-]{16,}",
        r"eyJ[\w-]{8,}\.eyJ[\w-]{4,}\.[\w-]*",
    )
)
_TOKEN = rf"(?<![A-Za-z0-9])(?:{_TOKENS})"
_PEM = r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
_URL = r"([a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@]*):[^\s/@]+@"
_HEADER = r"\b(bearer|basic)(\s+)[\w+/=.~-]{8,}"
_NAMES = (
    r"(?:[\w-]*[_-])?(?:token|secret|passwd|password|passphrase|pwd|credentials?|apikey"
    r"|(?:api|access|account|private|secret|auth|encryption)[_-]?key)"
)
_NAMED = rf"((?<![A-Za-z0-9]){_NAMES}[\"']?\s*[=:]\s*)(?!\s|env:|file:|@)(\"[^\"]*\"|'[^']*'|[^\s,;\"'&]+)"
#: The next option, or a value that says where the secret is instead of what it is.
_REFERENCE = r"--|env:|file:|@"
_OPTION = rf"--?{_NAMES}"


#: Every secret has one of these in it, in lower case: looking for them is a hundredth of the work.
_MARKS = (
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "akia", "asia", "xox", "hf_", "aiza", "ya29."),
    *("sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "npm_", "pypi-", "dapi", "sg.", "eyj", "-----begin", "://", "bearer"),
    *("basic", "token", "secret", "pass", "pwd", "credential", "key"),
)


def _may_hold_one(text: str) -> bool:
    lower = text.lower()
    return any(mark in lower for mark in _MARKS)


def redact(text: str, values: Iterable[str] = ()) -> str:
    """``text`` with ``values`` and everything that looks like a secret replaced by ``***``."""
    for value in sorted(values, key=len, reverse=True):  # one may be a part of another
        text = text.replace(value, HIDDEN) if value else text
    if not _may_hold_one(text):
        return text
    text = re.sub(_PEM, rf"\1{HIDDEN}", text, flags=re.DOTALL)
    text = re.sub(_URL, rf"\1:{HIDDEN}@", text)
    text = re.sub(_HEADER, rf"\1\2{HIDDEN}", text, flags=re.IGNORECASE)
    return re.sub(_TOKEN, HIDDEN, text)


def redact_arguments(argv: Sequence[str], values: Iterable[str] = ()) -> tuple[str, ...]:
    """A command line as ``redact`` shows it, and without the values of options such as ``--api-key``."""
    shown: list[str] = []
    hide = False
    known = list(values)
    for argument in argv:
        if hide and not re.match(_REFERENCE, argument):
            shown.append(HIDDEN)
        else:
            if _may_hold_one(argument):
                argument = re.sub(_NAMED, rf"\1{HIDDEN}", argument, flags=re.IGNORECASE)  # noqa: PLW2901
            shown.append(redact(argument, known))
        hide = _may_hold_one(argument) and re.fullmatch(_OPTION, argument, re.IGNORECASE) is not None
    return tuple(shown)


def looks_secret(text: str) -> bool:
    """Whether ``text`` holds something in a known form of tokens, keys or passwords."""
    return redact(text) != text
