"""The scope of calls that name none, such as ``headrace.Run("train/42")``: what the process's surroundings say.

In the code of a run that was started by ``Client.start`` it is that run's.

This is the one place of the client that looks at the environment.
"""

from __future__ import annotations

from headrace import wiring
from headrace.runtime import ambient
from headrace.wiring import Scope


def default_scope() -> Scope:
    """Where a flow runs that is just called: the workspace and project of the working directory and environment.

    Raises:
        UsageError: a setting is unknown or has an impossible value.
    """
    around = ambient.known()
    return around.scope if around is not None and around.scope.named else wiring.scope_here()


def existing_scope() -> Scope:
    """The same for reading: a place where nothing was ever run is left as it is.

    Raises:
        NotFoundError: it is such a place.
    """
    around = ambient.known()
    return around.scope if around is not None and around.scope.named else wiring.existing_scope()
