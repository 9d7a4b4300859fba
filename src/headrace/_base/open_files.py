"""How many files this process may have open."""

from __future__ import annotations

import contextlib
import resource


def allow_open_files(count: int) -> None:
    """Raise the limit to ``count``, or as far as this user may; it is never lowered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
