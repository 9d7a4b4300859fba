"""Who asks, and what they may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec
from starlette.requests import HTTPConnection

from headrace.model.accounts import ALL_PROJECTS, Role
from headrace.model.actors import Actor


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """The user, or the token of a user, that a request comes from.

    Args:
        name: of the user, as recorded in the audit.
        actor: as recorded where runs are changed.
        admin: whether an admin of all projects and of the server.
        roles: the role in each project, under ``*`` in all; without an entry the project is not there for them.
        most: the role that the token leaves of them, in every project; None for all.
        project: the one project that the token is for; empty for all.
        run: id of the one run that a driver's token may write to; 0: the first one that it opens; None for any.
        token: id of the token that was sent; None without one.
        csrf: what changes that a browser's session asks for must show; empty without a session.
    """

    name: str
    actor: Actor
    admin: bool = False
    roles: Mapping[str, Role] = {}
    most: Role | None = None
    project: str = ""
    run: int | None = None
    token: int | None = None
    csrf: str = ""

    def role_in(self, project: str) -> Role | None:
        """What they may in ``project``; None when they may not know of it."""
        if self.project not in ("", project):
            return None
        role = Role.ADMIN if self.admin else self._given(project)
        return role if role is None or self.most is None else min(role, self.most)

    def _given(self, project: str) -> Role | None:
        found = [self.roles[name] for name in (project, ALL_PROJECTS) if name in self.roles]
        return max(found, default=None)

    def may_administer(self) -> bool:
        """Whether they may change users and look at what concerns the whole server."""
        return self.admin and not self.project and self.run is None and self.most in (None, Role.ADMIN)


class Authenticator(Protocol):
    """Finds out who asks; the modes of ``--auth`` implement it."""

    #: How often ``forget`` was called: who was let in before may be another one since.
    forgotten: int

    async def authenticate(self, request: HTTPConnection) -> Principal | None:
        """Who sends ``request``; None when it does not say. Raises Problem (401) where what it says is not true."""

    def forget(self) -> None:
        """Look principals up again, because users, roles or tokens have changed."""


class EverybodyIsUser:
    """Mode ``none``, for loopback alone: whoever reaches the server is the user who started it."""

    forgotten = 0

    def __init__(self, actor: Actor) -> None:
        self._principal = Principal(name=actor.user, actor=actor, admin=True)

    async def authenticate(self, request: HTTPConnection) -> Principal | None:
        """See ``Authenticator``."""
        return self._principal

    def forget(self) -> None:
        """See ``Authenticator``; there is but one."""
