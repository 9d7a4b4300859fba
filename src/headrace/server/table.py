"""The table of all routes: each part of the server adds its own list."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from blake3 import blake3
from starlette.responses import Response

from headrace.server import health, openapi
from headrace.server.accounts import session, users
from headrace.server.actions import drivers
from headrace.server.actions import runs as run_actions
from headrace.server.call import Call
from headrace.server.config import ServerConfig
from headrace.server.dispatch import cacheable
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
    usage,
)
from headrace.server.routes import Media, Route, get


@functools.cache
def _encoded(config: ServerConfig) -> bytes:
    return msgspec.json.encode(openapi.build(routes(), config))  # everybody may ask for it, so it is made once


def _document(call: Call[Any, None]) -> Response:
    content = _encoded(call.server.config)
    return cacheable(call.request, Response(content, media_type="application/json"), blake3(content).hexdigest(16))


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
        *usage.ROUTES,
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
