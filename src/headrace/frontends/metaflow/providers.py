"""Where metadata is: Metaflow lets one choose; here it is Headrace's store of the working directory."""

from __future__ import annotations


def get_metadata() -> str:
    """What is in use, such as ``headrace@/work/.headrace``."""
    from headrace import wiring

    settings = wiring.project().settings
    return f"headrace@{settings.database or settings.home}"


def default_metadata() -> str:
    """The same: there is nothing to choose."""
    return get_metadata()


def metadata(ms: str) -> str:
    """Accepted for ``local`` and what ``get_metadata`` says.

    Raises:
        NotSupportedException: anything else.
    """
    from headrace.frontends.metaflow.exceptions import NotSupportedException

    kind = ms.partition("@")[0]
    if kind not in ("local", "headrace"):
        raise NotSupportedException(f"metadata({ms!r}): Headrace keeps metadata in its own store (HEADRACE_DATABASE)")
    return get_metadata()
