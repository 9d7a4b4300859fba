"""Who does something: recorded where something is changed on request."""

from __future__ import annotations

import msgspec


class Actor(msgspec.Struct, frozen=True):
    """A user at a machine. ``str`` gives ``ada@host``, or just the name where the host does not matter."""

    user: str = ""
    host: str = ""

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" if self.host else self.user
