"""What server this is."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace._version import __version__
from headrace.server.call import Call
from headrace.server.routes import get


class About(msgspec.Struct, frozen=True, kw_only=True):
    """The version, the mode of accounts, and the project that pages begin with.

    ``drivers``: whether runs can be started and resumed here.
    """

    version: str
    auth: str
    project: str
    url: str
    drivers: bool


def _about(call: Call[Any, None]) -> About:
    server = call.server
    config = server.config
    return About(version=__version__, auth=config.auth, project=server.project, url=config.url, drivers=config.drivers)


ROUTES = (get("/about", _about, "What server this is", open=True, result=About, tag="server"),)
