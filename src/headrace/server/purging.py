"""Deletes runs for good whose time to be restored is over, while a server runs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from headrace._base.logs import Log
from headrace.model.errors import HeadraceError
from headrace.services.marks import purge
from headrace.wiring import Workspace

_log = Log("server")
#: Seconds between two looks.
_LOOK = 5.0


@contextlib.contextmanager
def purging(workspace: Workspace) -> Iterator[None]:
    """Look for such runs in a thread. A server that was killed leaves them to the next one, or to ``headrace gc``."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(_LOOK):
            try:
                for name in purge(workspace.metadata, time.time()):
                    _log.info("run.deleted", "a run was deleted for good", run=name)
            except HeadraceError as error:  # the store is away
                _log.warning("purge.failed", str(error))

    thread = threading.Thread(target=work, name="headrace-purge", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)
