"""Whose files may be believed: objects that are read back from a store can run code, so their owner must be trusted."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping


def trusted_users(environ: Mapping[str, str]) -> set[int]:
    """This user, root, and who called ``sudo``."""
    me = os.geteuid()
    caller = environ.get("SUDO_UID", "")
    return {me, 0, int(caller)} if me == 0 and caller.isdigit() else {me, 0}


def foreign_owner(path: str, environ: Mapping[str, str]) -> int | None:
    """The user whom ``path`` belongs to, where that user is not to be trusted; None also where there is no such file.

    A link is as foreign as its owner or what it leads to.
    """
    users = trusted_users(environ)
    for look in (os.lstat, os.stat):
        try:
            owner = look(path).st_uid
        except OSError:
            return None
        if owner not in users:
            return owner
    return None


def user_named(uid: int) -> str:
    """The name of a user with the number, as far as it has one."""
    import pwd

    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return f"user {uid}"


#: The mode of folders that a group shares: new files and folders in them are the group's.
SHARED_MODE = 0o2770


def make_folder(path: str, mode: int) -> None:
    """Make a folder that has ``mode`` from the first moment on, whatever the umask is.

    Raises:
        FileExistsError: there is one already, with something in it.
    """
    if mode == 0o700:
        os.mkdir(path, mode)  # noqa: PTH102
        return
    fresh = f"{path}.{os.urandom(6).hex()}"
    os.mkdir(fresh, 0o700)  # noqa: PTH102
    os.chmod(fresh, mode)  # noqa: PTH101
    try:
        os.rename(fresh, path)  # noqa: PTH104 - takes the place of an empty one
    except OSError:
        os.rmdir(fresh)  # noqa: PTH106
        raise FileExistsError(path) from None


def folder_mode(parent: str) -> int:
    """The mode of a new folder in ``parent``: it may be used by whom ``parent`` is for."""
    return stat.S_IMODE(os.stat(parent).st_mode) & 0o2777 | 0o700  # noqa: PTH116


def file_mode(parent: str) -> int:
    """The mode of a new file in ``parent`` that is only read: for whom the folder may be read by."""
    return stat.S_IMODE(os.stat(parent).st_mode) & 0o444 | 0o400  # noqa: PTH116
