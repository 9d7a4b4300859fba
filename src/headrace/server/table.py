"""The table of all routes: each part of the server adds its own list."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from headrace.server import health, openapi
from headrace.server.accounts import session, users
from headrace.server.actions import drivers
from headrace.server.actions import runs as run_actions
from headrace.server.call import Call
from headrace.server.read import (
    about,
    artifacts,
    attempts,
    code,
    comparing,
    details,
    lineage,
    live,
    logs,
    metrics,
    projects,
    runs,
    storage,
    tasks,
)
from headrace.server.routes import Media, Route, get


def _document(call: Call[Any, None]) -> Response:
    content = msgspec.json.encode(openapi.build(routes(), call.server.config))
    return Response(content, media_type="application/json")


def routes() -> tuple[Route, ...]:
    """Every route of the server, in the order of the OpenAPI document."""
    return (
        *health.ROUTES,
        get(
            "/openapi.json",
            _document,
            "This document",
            open=True,
            result=Media(types=("application/json",)),
            tag="server",
        ),
        *about.ROUTES,
        *session.ROUTES,
        *users.ROUTES,
        *projects.ROUTES,
        *runs.ROUTES,
        *tasks.ROUTES,
        *attempts.ROUTES,
        *artifacts.ROUTES,
        *logs.ROUTES,
        *metrics.ROUTES,
        *live.ROUTES,
        *details.ROUTES,
        *lineage.ROUTES,
        *code.ROUTES,
        *comparing.ROUTES,
        *storage.ROUTES,
        *run_actions.ROUTES,
        *drivers.ROUTES,
    )
