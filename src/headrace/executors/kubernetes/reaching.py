"""How a driver and its pods find each other: they come to where it listens, or it comes to them."""

from __future__ import annotations

import contextlib
from pathlib import Path

from headrace.executors.kubernetes.options import KubernetesOptions
from headrace.executors.remote.executor import RemoteExecutor, RemoteOptions
from headrace.model.errors import UsageError
from headrace.worker.join_token import Identity


class ReachedExecutor(RemoteExecutor):
    """An executor of workers in pods, which find it by the ``options`` of the place."""

    def __init__(
        self,
        place: str,
        address: tuple[str, int],
        identity: Identity,
        remote: RemoteOptions,
        options: KubernetesOptions,
    ) -> None:
        super().__init__(place, address, identity, remote)
        self._settings = options

    def _listen(self) -> None:
        """Where no port is set, listen at the one of last time, so that pods of a killed driver find the next one."""
        if self._settings.forward:
            return
        host, port = self.address
        known = RememberedPort("" if port else self._settings.port_file)
        self.address = host, port or known.read()
        try:
            super()._listen()
        except UsageError:
            if port or not self.address[1]:
                raise
            self.address = host, 0  # another run listens there
            super()._listen()
        known.write(self.address[1])

    def _reached_at(self) -> str:
        if self._settings.forward:
            return ""
        if not self._settings.reached:
            return super()._reached_at()
        host = self._settings.reached
        return f"[{host}]:{self.address[1]}" if ":" in host else f"{host}:{self.address[1]}"


class RememberedPort:
    """The port at which a driver listened last, so that pods of a killed one find the next one.

    Without a name of a file nothing is remembered.
    """

    def __init__(self, file: str) -> None:
        self._file = Path(file) if file else None

    def read(self) -> int:
        """The port of last time; 0: it is not known."""
        if self._file is not None:
            with contextlib.suppress(OSError, ValueError):
                return int(self._file.read_text())
        return 0

    def write(self, port: int) -> None:
        """Remember it, if that can be done."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.parent.mkdir(0o700, parents=True, exist_ok=True)
                self._file.write_text(str(port))
