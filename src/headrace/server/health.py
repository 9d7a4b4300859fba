"""Whether the process lives, whether it can serve, and what it counts."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from headrace._base.logs import Log
from headrace.model.errors import StoreError
from headrace.server.call import Call
from headrace.server.problems import Problem
from headrace.server.routes import Media, Route

_log = Log("server")


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """``status`` is ``ok``; what is not is answered as a problem."""

    status: str = "ok"


def _alive(call: Call[Any, None]) -> Health:
    return Health()


def _ready(call: Call[Any, None]) -> Health:
    try:
        call.metadata.run_by_id(0)
    except StoreError as error:  # everybody may ask: where the database is concerns nobody
        _log.warning("server.not_ready", str(error), request_id=call.request_id)
        detail = "the metadata store does not answer; the log of the server says why"
        raise Problem(503, "store-away", detail, headers={"Retry-After": "2"}) from None
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
