"""Who runs flows here."""

from __future__ import annotations

import os

from headrace.frontends.metaflow.exceptions import MetaflowUnknownUser


def user_name() -> str:
    """Who runs flows here."""
    for name in ("METAFLOW_USER", "SUDO_USER", "USERNAME", "USER"):
        user = os.environ.get(name)
        if user and user != "root":
            return user
    from headrace.services.provenance import user_name as system_user

    user = system_user()
    if not user:
        raise MetaflowUnknownUser("Set the environment variable METAFLOW_USER to your name.")
    return user
