"""Whether the process lives, whether it can serve, and what it counts."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from headrace.server.call import Call
from headrace.server.routes import Media, Route


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """``status`` is ``ok``; what is not is answered as a problem."""

    status: str = "ok"


def _alive(call: Call[Any, None]) -> Health:
    return Health()


def _ready(call: Call[Any, None]) -> Health:
    call.workspace.metadata.run_by_id(0)  # answers, or raises why not
    return Health()


def _metrics(call: Call[Any, None]) -> Response:
    events = call.server.events
    content, media = call.server.counts.text(events.listeners, events.pollers)
    return Response(content, media_type=media)


ROUTES = (
    Route(
        method="GET",
        path="/metrics",
        handler=_metrics,
        summary="Counts of this process, for Prometheus",
        result=Media(types=("text/plain",), about="Prometheus text format"),
        tag="server",
    ),
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
