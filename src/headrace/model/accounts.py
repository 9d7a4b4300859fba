"""Users of a server: who they are, what they may do in which project, and the record of what they did."""

from __future__ import annotations

import enum

import msgspec

from headrace.model.errors import UsageError

#: Stands for all projects where a role or a token names a project.
ALL_PROJECTS = "*"


class Role(enum.IntEnum):
    """What a user may do in a project. Each role includes those before it: a viewer reads, an editor also starts and
    changes runs, an admin also gives roles in the project and reads its audit log."""

    VIEWER = 1
    EDITOR = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        """The name as people write it."""
        return self.name.lower()

    @staticmethod
    def of(label: str) -> Role:
        """The role of that name.

        Raises:
            UsageError: there is no such role.
        """
        for role in Role:
            if role.label == label:
                return role
        raise UsageError(f"{label!r} is not a role; there are viewer, editor and admin")


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user. ``password`` is an argon2id hash, empty where the user has none.

    ``subject`` says who the user is at a provider of identities: the issuer's URL, a space, and the issuer's name.
    """

    name: str
    display: str = ""
    password: str = ""
    subject: str = ""
    disabled: bool = False
    created: float = 0.0


class Grant(msgspec.Struct, frozen=True):
    """A user has a role in a project, or in all of them (``*``)."""

    user: str
    project: str
    role: Role


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token of a user; the store has the hash of its text alone. Times are seconds since the epoch.

    ``scope`` bounds the role that its bearer has, ``project`` the projects (``*``: all of the user's). ``run``
    makes it a driver's: its bearer writes to the run of that id alone; 0: to the first run that it opens.
    """

    id: int = 0
    user: str
    name: str
    scope: Role = Role.EDITOR
    project: str = ALL_PROJECTS
    run: int | None = None
    created: float = 0.0
    expires: float | None = None
    last_used: float | None = None
    revoked: float | None = None

    def is_valid(self, now: float) -> bool:
        """Whether it can be used at the time ``now``."""
        return self.revoked is None and (self.expires is None or now < self.expires)


class LoginSession(msgspec.Struct, frozen=True, kw_only=True):
    """A login of a browser. ``hash`` is that of the cookie; forms and scripts must send ``csrf`` with every change."""

    hash: bytes
    user: str
    csrf: str
    created: float
    expires: float


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An actor changed something (``outcome`` ``done``), was refused (``refused``), or did not succeed (``failed``)."""

    id: int = 0
    created: float
    actor: str
    address: str = ""
    request_id: str = ""
    action: str
    project: str = ""
    object: str = ""
    outcome: str = "done"
    detail: str = ""


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries of the audit log are wanted, newest first: those that fit all fields that are given."""

    actor: str | None = None
    project: str | None = None
    outcome: str | None = None
    action: str | None = None
    before_id: int | None = None
    limit: int = 100
