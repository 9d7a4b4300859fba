"""Where a server shows the workspace: a file beside the runs says it, as long as the server lives."""

from __future__ import annotations

import contextlib
import os
from urllib.parse import quote

import msgspec

from headrace._base.process import owner_alive, process_owner

_FILE = "server.json"


class _Served(msgspec.Struct, frozen=True):
    url: str
    owner: str


def announce(home: str, url: str) -> None:
    """Say that this process serves the workspace with the home ``home`` at ``url``; where it cannot, nobody is told."""
    path = os.path.join(home, _FILE)  # noqa: PTH118
    draft = f"{path}.{os.getpid()}"
    with contextlib.suppress(OSError), open(draft, "wb") as out:  # noqa: PTH123
        out.write(msgspec.json.encode(_Served(url, process_owner())))
        os.replace(draft, path)  # noqa: PTH105


def withdraw(home: str) -> None:
    """Take back what this process announced."""
    found = _read(home)
    if found is not None and found.owner == process_owner():
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(home, _FILE))  # noqa: PTH108, PTH118


def server_of(home: str, server: str) -> str:
    """The URL of a server that shows the workspace with the home ``home``; empty if none is known.

    A plain look at one file: every run that ends asks for it. Where the setting ``server`` names one, it is that.
    """
    if server:
        return server
    found = _read(home)
    return found.url if found is not None and owner_alive(found.owner) else ""


def page_of(url: str, project: str, name: str = "") -> str:
    """The page of a run (``train/42``) or task (``train/42/fit/3``) at the server ``url``; without a name that of the
    project."""
    base = f"{url}/p/{quote(project, safe='')}/runs"
    if not name:
        return base
    flow, number, *task = [quote(part, safe="") for part in name.split("/")]
    return f"{base}/{flow}/{number}" + (f"/tasks/{'/'.join(task)}" if task else "")


def _read(home: str) -> _Served | None:
    try:
        with open(os.path.join(home, _FILE), "rb") as file:  # noqa: PTH118, PTH123
            return msgspec.json.decode(file.read(), type=_Served)
    except (OSError, msgspec.DecodeError):
        return None
