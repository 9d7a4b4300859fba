"""Who runs flows, and small helpers."""

from typing import Any

from headrace.frontends.metaflow.identity import user_name as get_username


def resolve_identity() -> str:
    """The tag of who runs flows here."""
    return f"user:{get_username()}"


def to_unicode(x: Any) -> str:
    """A text from text or bytes."""
    return x.decode("utf-8") if isinstance(x, bytes) else str(x)


__all__ = ["get_username", "resolve_identity", "to_unicode"]
