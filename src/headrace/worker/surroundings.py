"""What a step may change about its process without the next one in the same worker noticing."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # without enumerations, which take ten times as long
import os
import signal
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from headrace.model.messages import Surroundings as FlowSurroundings

#: Those whose handlers change what later code means: how it is stopped, how its children are waited for.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD)


class Surroundings:
    """Directory, arguments, file mode mask and signal handlers as they are now; variables attempt by attempt."""

    __slots__ = ("_argv", "_handlers", "_mask", "_variables", "directory")

    def __init__(self) -> None:
        self.directory = _directory()
        self._handlers = list(map(_signal.getsignal, _SIGNALS))
        self._mask = os.umask(0o077)
        os.umask(self._mask)
        self._variables = _table().copy()
        self._argv = list(sys.argv)

    def enter(
        self,
        env: tuple[tuple[str, str], ...],
        gpus: tuple[int, ...],
        flow: FlowSurroundings | None = None,
        secrets: Mapping[str, str | None] = MappingProxyType({}),
    ) -> None:
        """Set what an attempt asks for, on top of what is other in its flow by now; of ``secrets``, None is taken away.

        Raises:
            OSError: the flow's working directory cannot be entered any more.
        """
        self._variables = _table().copy()
        if flow is not None:
            self._follow(flow)
        for name, value in env:
            os.environ[name] = value
        for name, secret in secrets.items():
            if secret is not None:
                os.environ[name] = secret
            else:
                os.environ.pop(name, None)
        if gpus:  # counted among those that this process may see
            names = [one.strip() for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
            visible = [names[gpu] if gpu < len(names) and names[gpu] else str(gpu) for gpu in gpus]
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(visible)

    def _follow(self, flow: FlowSurroundings) -> None:
        for name in flow.removed:
            os.environ.pop(name, None)
        for name, value in flow.variables:
            os.environ[name] = value
        if flow.argv is not None:
            sys.argv[:] = flow.argv
        if flow.directory:
            os.chdir(flow.directory)

    def restore(self) -> None:
        """Put back what differs from before."""
        signal.alarm(0)
        if list(map(_signal.getsignal, _SIGNALS)) != self._handlers:
            for number, handler in zip(_SIGNALS, self._handlers, strict=True):
                if handler is not None:
                    signal.signal(number, handler)
        os.umask(self._mask)
        if self.directory and _directory() != self.directory:
            try:
                os.chdir(self.directory)
            except OSError:  # it was removed: there is no way back
                self.directory = ""
        if sys.argv != self._argv:
            sys.argv = list(self._argv)
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
    except OSError:  # it was removed
        return ""


def _table() -> dict[bytes, bytes]:
    # The dictionary behind os.environ: through the mapping itself, a copy takes ten times as long.
    environ: Any = os.environ
    table: dict[bytes, bytes] = environ._data
    return table
