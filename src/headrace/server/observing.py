"""What the server counts of itself, for Prometheus (text format 0.0.4), and what it logs of each request."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from headrace._base.logs import Log

_log = Log("server")

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Counts:
    """Requests by route and status, their time, and live streams; of this process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "headrace_requests", "Requests that were answered", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "headrace_request_seconds", "Time to answer", ("route",), buckets=_SECONDS, registry=self.registry
        )
        # Finding the count of some labels takes longer than counting; there are as many as routes and statuses.
        self._counter, self._histogram = functools.cache(self._requests.labels), functools.cache(self._seconds.labels)
        self._sent = Counter("headrace_sent_bytes", "Bytes of bodies that were sent", registry=self.registry)
        self._listeners = Gauge("headrace_listeners", "Streams of live events that are open", registry=self.registry)
        self._pollers = Gauge("headrace_pollers", "Runs and projects that are watched", registry=self.registry)

    def request(self, method: str, route: str, status: int, seconds: float, size: int) -> None:
        """Count one request; ``route`` is the path's template, which no request can make up."""
        self._counter(method, route, str(status)).inc()
        self._histogram(route).observe(seconds)
        self._sent.inc(size)

    def text(self, listeners: int, pollers: int) -> tuple[bytes, str]:
        """All counts, and the media type they are in."""
        self._listeners.set(listeners)
        self._pollers.set(pollers)
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


def log_request(scope: Mapping[str, Any], status: int, size: int, seconds: float, request_id: str, user: str) -> None:
    """The record of a request that was answered with ``size`` bytes."""
    _log.info(
        "request",
        _in_a_line(f"{scope['method']} {scope['path']}"),
        status=status,
        bytes=size,
        seconds=seconds,
        request_id=request_id,
        address=(scope.get("client") or ("",))[0],
        user=user,
    )


def _in_a_line(text: str) -> str:
    """``text`` with what could forge a line of a log, or steer a terminal, written out."""
    return text if text.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
