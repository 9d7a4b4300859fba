"""A list of objects that is kept up to date by the API's watch: listed once, then followed from the list's version.

Nothing is lost when a watch ends: the next one goes on from the version of the last object. If the API server no longer
has that version (410: expired, or etcd was compacted), the objects are listed again.
Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

import msgspec

from headrace._base import logs
from headrace.executors.kubernetes.client import AsyncClusterClient, ClusterError, Json, error_of

_log = logs.Log("kubernetes")
#: Seconds after which the server ends a watch, and of silence after which a connection counts as broken: the server
#: sends a bookmark each minute.
_WATCH = 300
_SILENCE = 100.0
_PAGE = 500
_SHORTEST, _LONGEST = 0.1, 5.0
_GONE = 410


class _Line(msgspec.Struct):
    type: str
    object: Json


class WatchListener(NamedTuple):
    """Hears that a listing begins, all objects when it is complete, each change (its type and the object), each failure
    but the first in a row (whether to go on), and that the server has begun to tell changes.
    """

    on_begin: Callable[[], None]
    on_list: Callable[[list[Json]], None]
    on_event: Callable[[str, Json], None]
    on_failure: Callable[[ClusterError], bool]
    on_success: Callable[[], None]


class Watch:
    """Follows the objects below ``path`` and tells a listener of them."""

    def __init__(
        self, client: AsyncClusterClient, path: str, params: Mapping[str, Any], listener: WatchListener
    ) -> None:
        self._client = client
        self._path = path
        self._params = dict(params)
        self._listener = listener
        self._version = ""
        self._failures = 0
        self._over = False

    def end(self) -> None:
        """Look at nothing more: ``run`` returns with the next change.

        To be cancelled while it connects would leave the connection open.
        """
        self._over = True

    async def run(self) -> None:
        """Follow the objects until cancelled or ended, or until the listener's ``on_failure`` returns False."""
        while not self._over:
            try:
                if not self._version:
                    await self._list()
                await self._follow()
            except ClusterError as error:
                if error.code == _GONE:
                    _log.debug("watch.expired", f"{self._path} is listed again: {error.message}")
                    self._version = ""
                self._failures += 1
                if self._failures > 1 and not self._listener.on_failure(error):
                    return
                await asyncio.sleep(back_off(self._failures))

    async def _list(self) -> None:
        self._listener.on_begin()
        objects: list[Json] = []
        params = {**self._params, "limit": _PAGE}
        while True:
            page = await self._client.request("GET", self._path, None, params)
            objects += page.get("items") or ()
            about = page.get("metadata") or {}
            if not about.get("continue"):
                break
            params["continue"] = about["continue"]
        self._version = str(about.get("resourceVersion") or "")
        self._listener.on_list(objects)

    async def _follow(self) -> None:
        params = {
            **self._params,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": _WATCH,
        }
        async with aclosing(self._client.lines(self._path, params, _SILENCE)) as lines:
            async for line in lines:
                if self._over:
                    return
                if not line:
                    self._failures = 0
                    self._listener.on_success()
                    continue
                try:
                    change = msgspec.json.decode(line, type=_Line)
                except msgspec.MsgspecError as error:
                    raise ClusterError(f"the API server sent a change that cannot be read: {error}") from None
                if change.type == "ERROR":
                    raise error_of(change.object)
                self._version = str(change.object["metadata"]["resourceVersion"])
                if change.type != "BOOKMARK":
                    self._listener.on_event(change.type, change.object)


def back_off(failures: int) -> float:
    """Seconds to wait after so many failures in a row: doubled each time, with some chance in it."""
    return float(min(_LONGEST, _SHORTEST * 2 ** min(failures - 1, 10)) * random.uniform(0.7, 1.3))
