"""What a step may change about its process without the next one in the same worker noticing."""

from __future__ import annotations

import os
import signal
from typing import Any

#: Those whose handlers change what later code means: how it is stopped, how its children are waited for.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD)


class Surroundings:
    """Working directory, file mode mask and signal handlers as they are now; variables attempt by attempt."""

    __slots__ = ("_handlers", "_mask", "_variables", "directory")

    def __init__(self) -> None:
        self.directory = _directory()
        self._handlers = [signal.getsignal(number) for number in _SIGNALS]
        self._mask = os.umask(0o077)
        os.umask(self._mask)
        self._variables = _table().copy()

    def enter(self, env: tuple[tuple[str, str], ...], gpus: tuple[int, ...]) -> None:
        """Set what an attempt asks for."""
        self._variables = _table().copy()
        for name, value in env:
            os.environ[name] = value
        if gpus:  # counted among those that this process may see
            names = [one.strip() for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
            visible = [names[gpu] if gpu < len(names) and names[gpu] else str(gpu) for gpu in gpus]
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(visible)

    def restore(self) -> None:
        """Put back what differs from before."""
        signal.alarm(0)
        for number, handler in zip(_SIGNALS, self._handlers, strict=True):
            if signal.getsignal(number) != handler and handler is not None:
                signal.signal(number, handler)
        os.umask(self._mask)
        if self.directory and _directory() != self.directory:
            try:
                os.chdir(self.directory)
            except OSError:  # somebody removed it: there is no way back
                self.directory = ""
        now, before = _table(), self._variables
        if now != before:
            for name in now.keys() - before.keys():
                del os.environ[os.fsdecode(name)]
            for name, value in before.items():
                if now.get(name) != value:
                    os.environ[os.fsdecode(name)] = os.fsdecode(value)


def _directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - hot path
    except OSError:  # somebody removed it
        return ""


def _table() -> dict[bytes, bytes]:
    # The dictionary behind os.environ: through the mapping itself, a copy takes ten times as long.
    environ: Any = os.environ
    table: dict[bytes, bytes] = environ._data
    return table
