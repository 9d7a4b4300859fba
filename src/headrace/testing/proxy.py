"""Relays in front of a server, with which a test cuts, delays, silences or refuses what passes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, TypeVar

#: A TCP address, or the path of a Unix socket.
Address = tuple[str, int] | str

_CHUNK = 1 << 16


_L = TypeVar("_L", bound="_Listener")


class _Listener:
    """Listens at a port of ``host`` (0: a free one) while it is entered; ``_serve`` gets each connection."""

    def __init__(self, host: str, port: int = 0) -> None:
        self._listener = socket.create_server((host, port))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)

    def __enter__(self: _L) -> _L:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()
        self._thread.join()

    def close(self) -> None:
        """Accept nothing more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        raise NotImplementedError


class Proxy(_Listener):
    """Relays connections to ``target`` from ``address``, a TCP port of ``host``, while the ``with`` block lasts.

    ``port``: 0 for a free one.

    Faults are set as attributes at any time and hold for what passes from then on. ``silent``: nothing passes any more,
    and connections stay open. ``delay``: seconds before anything is passed on. ``refusing``: new connections are closed
    at once. ``cut_after_request`` and ``cut_after_answer``: cut a connection when so many more bytes of that direction
    have passed, over all connections.
    """

    def __init__(self, target: Address, host: str = "127.0.0.1", port: int = 0) -> None:
        self.silent = False
        self.refusing = False
        self.delay = 0.0
        self.cut_after_request: int | None = None
        self.cut_after_answer: int | None = None
        self.accepted = 0
        super().__init__(host, port)
        self._target = target
        self._pairs: list[tuple[socket.socket, socket.socket]] = []

    def close(self) -> None:
        """See ``_Listener``; all connections are cut."""
        super().close()
        self.cut()

    def cut(self) -> int:
        """Cut all connections; how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _cut(pair)
        return len(pairs)

    def _serve(self, client: socket.socket) -> None:
        self.accepted += 1
        if self.refusing:
            client.close()
            return
        try:
            server = self._connect()
        except OSError:
            client.close()
            return
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


class Fault(NamedTuple):
    """What happens to one request. Nothing but what is given does."""

    status: int = 0  # answered so, and not passed on
    delay: float = 0.0
    cut_request: int | None = None  # bytes of it that pass
    cut_answer: int | None = None
    truncate: int | None = None  # bytes of the answer's body that pass, in an answer that says it is whole


class HttpProxy(_Listener):
    """Relays HTTP requests to ``target``, except where ``fault`` says otherwise; one request per connection.

    ``fault`` gets method and path, from several threads. ``asked`` counts all requests, ``failed`` those with a fault.
    """

    def __init__(self, target: tuple[str, int], fault: Callable[[str, str], Fault | None]) -> None:
        self.fault = fault
        self.asked = self.failed = 0
        super().__init__("127.0.0.1")
        self._target = target

    def _serve(self, client: socket.socket) -> None:
        threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, ValueError):
            head, rest = _head(client)
            method, path = head.split(b" ", 2)[:2]
            with self._lock:
                self.asked += 1
                fault = self.fault(method.decode(), path.decode())
                self.failed += fault is not None
            fault = fault or Fault()
            time.sleep(fault.delay)
            body = rest + _exactly(client, _length(head) - len(rest))
            if fault.status:
                client.sendall(b"HTTP/1.1 %d Fault\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % fault.status)
                return
            answer = self._ask(_closing(head) + body, fault.cut_request)
            if fault.truncate is not None:
                answer = _truncated(answer, fault.truncate)
            client.sendall(answer if fault.cut_answer is None else answer[: fault.cut_answer])
            client.shutdown(socket.SHUT_RDWR)

    def _ask(self, request: bytes, limit: int | None) -> bytes:
        with socket.create_connection(self._target) as server:
            server.sendall(request if limit is None else request[:limit])
            if limit is not None:
                return b""
            parts = []
            while data := server.recv(_CHUNK):
                parts.append(data)
            return b"".join(parts)


def _head(client: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(_CHUNK)
        if not more:
            raise ValueError("the request ended early")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _exactly(client: socket.socket, size: int) -> bytes:
    parts = []
    while size > 0:
        data = client.recv(min(size, _CHUNK))
        if not data:
            raise ValueError("the request ended early")
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _closing(head: bytes) -> bytes:
    """``head`` with the wish that the connection is closed after the answer."""
    lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


def _truncated(answer: bytes, size: int) -> bytes:
    head, mark, body = answer.partition(b"\r\n\r\n")
    body = body[:size]
    lines = [
        line for line in head.split(b"\r\n") if not line.lower().startswith((b"content-length:", b"content-range:"))
    ]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + mark + body


class ConnectProxy:
    """An HTTP proxy that knows CONNECT alone; ``asked`` are the places that it was asked for, as HOST:PORT."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.asked: list[str] = []
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        method, place, _ = head.decode().split(" ", 2)
        assert method == "CONNECT"
        self.asked.append(place)
        host, _, port = place.rpartition(":")
        with client, socket.create_connection((host, int(port))) as server:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
            back.start()
            self._copy(client, server)
            back.join(60)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Accept nothing more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
