"""Who runs flows, and small helpers."""

import os
from functools import cached_property
from shutil import which
from tempfile import TemporaryDirectory as TempDir

from headrace.frontends.metaflow.helpers import (
    all_equal,
    is_stringish,
    to_bytes,
    to_camelcase,
    to_fileobj,
    to_pascalcase,
    to_unicode,
    url_quote,
    url_unquote,
)
from headrace.frontends.metaflow.identity import user_name as get_username


def resolve_identity_as_tuple() -> tuple[str, str]:
    """Who runs flows here, as the two parts of a tag."""
    token = os.environ.get("METAFLOW_PRODUCTION_TOKEN")
    return ("production", token) if token else ("user", get_username())


def resolve_identity() -> str:
    """The tag of who runs flows here."""
    return ":".join(resolve_identity_as_tuple())


__all__ = [
    "TempDir",
    "all_equal",
    "cached_property",
    "get_username",
    "is_stringish",
    "resolve_identity",
    "resolve_identity_as_tuple",
    "to_bytes",
    "to_camelcase",
    "to_fileobj",
    "to_pascalcase",
    "to_unicode",
    "url_quote",
    "url_unquote",
    "which",
]
