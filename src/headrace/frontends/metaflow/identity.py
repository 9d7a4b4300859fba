"""Who runs flows here."""

from __future__ import annotations

import os

from headrace.frontends.metaflow.exceptions import MetaflowUnknownUser
from headrace.frontends.metaflow.settings import setting


def user_name() -> str:
    """Who runs flows here."""
    for user in (setting("USER"), *(os.environ.get(name) for name in ("SUDO_USER", "USERNAME", "USER"))):
        if user and user != "root":
            return str(user)
    from headrace._base.process import user_name as system_user

    user = system_user()
    if not user:
        raise MetaflowUnknownUser("Set the environment variable METAFLOW_USER to your name.")
    return user
