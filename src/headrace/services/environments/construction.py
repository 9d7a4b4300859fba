"""An environment that a thread builds, while others go on."""

from __future__ import annotations

import threading
from collections.abc import Callable

from headrace.model.errors import HeadraceError
from headrace.services.environments.uv import stop_uv


class Construction:
    """``build`` is called in a thread of its own, which ends with the process. ``users`` are those that wait for it."""

    def __init__(self, build: Callable[[], None]) -> None:
        self.users = 0
        self._build = build
        self._problem = ""
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._tell: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._work, name="headrace-build", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._build()
        except HeadraceError as error:
            self._problem = str(error)
        except Exception as error:
            self._problem = f"{type(error).__name__}: {error}"
            raise
        finally:
            with self._lock:
                self._done.set()
            for tell in self._tell:
                tell()

    def when_done(self, tell: Callable[[], None]) -> None:
        """Let ``tell`` be called at its end, by any thread."""
        with self._lock:
            if not self._done.is_set():
                self._tell.append(tell)
                return
        tell()

    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._done.is_set()

    def problem(self) -> str:
        """Why it cannot be built; empty where it was, or is not yet."""
        return self._problem

    def wait(self) -> str:
        """Wait for its end; returns why it cannot be built, or an empty text."""
        self._done.wait()
        return self._problem

    def leave(self) -> None:
        """Say that one of its users does not need it any more. With the last one, what is half-built is given up."""
        with self._lock:
            self.users -= 1
            given_up = self.users <= 0 and not self._done.is_set()
        if given_up and self._thread.ident is not None:
            stop_uv(self._thread.ident)
