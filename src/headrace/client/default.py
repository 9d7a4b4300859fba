"""The scope of calls that name none, such as ``headrace.Run("train/42")``: what the process's surroundings say.

This is the one place of the client that looks at the environment.
"""

from __future__ import annotations

from headrace import wiring
from headrace.wiring import Scope


def default_scope() -> Scope:
    """Where a flow runs that is just called: the workspace and project of the working directory and environment.

    Raises:
        UsageError: a setting is unknown or has an impossible value.
    """
    return wiring.scope_here()


def existing_scope() -> Scope:
    """The same for reading: a place where nothing was ever run is left as it is.

    Raises:
        NotFoundError: it is such a place.
    """
    return wiring.existing_scope()
