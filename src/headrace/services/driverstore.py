"""The metadata store for use beside the loop of a run: its calls wait with the run while the store is away."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

from headrace.engine.loop import Loop
from headrace.model.errors import StoreAwayError
from headrace.stores.metadata.protocol import MetadataStore


def driver_store(metadata: MetadataStore, loop: Loop) -> MetadataStore:
    """``metadata``, whose calls are repeated while it does not answer, for as long as ``loop`` drives its run."""
    return cast("MetadataStore", _DriverStore(metadata, loop))


class _DriverStore:
    def __init__(self, metadata: MetadataStore, loop: Loop) -> None:
        self._metadata = metadata
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._metadata, name)
        return functools.partial(self._call, found) if callable(found) else found

    def _call(self, method: Callable[..., Any], *args: Any, **named: Any) -> Any:
        while True:
            try:
                return method(*args, **named)
            except StoreAwayError as error:
                if not self._loop.wait_for_store(error):
                    raise
