"""A relay in front of a server, with which a test cuts, delays or silences connections."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType

#: A TCP address, or the path of a Unix socket.
Address = tuple[str, int] | str

_CHUNK = 1 << 16


class Proxy:
    """Relays connections to ``target`` from ``address``, a TCP port of this machine, while the ``with`` block lasts.

    Faults are set as attributes at any time and hold for what passes from then on. ``silent``: nothing passes any more,
    and connections stay open. ``delay``: seconds before anything is passed on. ``refusing``: new connections are closed
    at once. ``cut_after_request`` and ``cut_after_answer``: cut a connection when so many more bytes of that direction
    have passed, over all connections.
    """

    def __init__(self, target: Address) -> None:
        self.silent = False
        self.refusing = False
        self.delay = 0.0
        self.cut_after_request: int | None = None
        self.cut_after_answer: int | None = None
        self.accepted = 0
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._thread.join()

    def cut(self) -> int:
        """Cut all connections; how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _cut(pair)
        return len(pairs)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self.refusing:
                client.close()
                continue
            try:
                server = self._connect()
            except OSError:
                client.close()
                continue
            pair = (client, server)
            with self._lock:
                self._pairs.append(pair)
            for source, sink, direction in ((client, server, "request"), (server, client, "answer")):
                threading.Thread(target=self._relay, args=(source, sink, direction, pair), daemon=True).start()

    def _connect(self) -> socket.socket:
        if isinstance(self._target, str):
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            return server
        return socket.create_connection(self._target)

    def _relay(
        self, source: socket.socket, sink: socket.socket, direction: str, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        try:
            while data := source.recv(_CHUNK):
                if self.delay:
                    time.sleep(self.delay)
                while self.silent:
                    time.sleep(0.01)
                data, cut = self._share(direction, data)
                sink.sendall(data)
                if cut:
                    break
        except OSError:
            pass
        with self._lock:
            if pair in self._pairs:
                self._pairs.remove(pair)
        _cut(pair)

    def _share(self, direction: str, data: bytes) -> tuple[bytes, bool]:
        """What of ``data`` passes, and whether the connection is cut after it."""
        name = f"cut_after_{direction}"
        with self._lock:
            left = getattr(self, name)
            if left is None:
                return data, False
            if left >= len(data):
                setattr(self, name, left - len(data))
                return data, False
            setattr(self, name, None)
            return data[:left], True


def _cut(pair: tuple[socket.socket, socket.socket]) -> None:
    for one in pair:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
