"""Whether the process lives, and whether it can serve."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.server.call import Call
from headrace.server.routes import Route


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """``status`` is ``ok``; what is not is answered as a problem."""

    status: str = "ok"


def _alive(call: Call[Any, None]) -> Health:
    return Health()


def _ready(call: Call[Any, None]) -> Health:
    call.workspace.metadata.run_by_id(0)  # answers, or raises why not
    return Health()


ROUTES = (
    Route(
        method="GET",
        path="/healthz",
        handler=_alive,
        summary="The process lives",
        open=True,
        result=Health,
        tag="server",
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=_ready,
        summary="The metadata store answers",
        open=True,
        result=Health,
        problems=(503,),
        tag="server",
    ),
)
