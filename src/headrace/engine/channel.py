"""A non-blocking stream socket that carries messages: what links of executors are made of."""

from __future__ import annotations

import socket

import msgspec

from headrace.engine.ports import ProtocolError
from headrace.model.messages import Ready, ToDriver, ToWorker, frame, frames_from_worker

#: Less than malloc takes from the system each time.
_RECEIVE = 1 << 16


class SocketChannel:
    """The driver's end of a stream socket to a worker; its methods are those of ``WorkerLink``."""

    __slots__ = ("_frames", "_rest", "_sock", "where")
    waits_for = ""  # it is up in a moment

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._frames = frames_from_worker()
        self._rest = bytearray()
        self.where = ("", 0)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._sock.fileno()

    def send(self, *messages: ToWorker) -> bool:
        """Send messages, or keep what the socket does not take; returns whether everything has been sent."""
        data = frame(messages[0]) if len(messages) == 1 else b"".join([frame(one) for one in messages])
        if not self._rest:
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return True  # the worker is gone, and its exit will be reported
            if sent == len(data):
                return True
            data = data[sent:]
        self._rest += data
        return False

    def flush(self) -> bool:
        """Send what ``send`` kept; returns whether everything has been sent."""
        try:
            sent = self._sock.send(self._rest)
        except BlockingIOError:
            return False
        except OSError:
            self._rest.clear()
            return True  # the worker is gone, and its exit will be reported
        del self._rest[:sent]
        return not self._rest

    def receive(self) -> list[ToDriver] | None:
        """The messages that arrived; None once the worker has closed its end.

        Raises:
            ProtocolError: the bytes that arrived are not messages.
        """
        while True:
            try:
                data = self._sock.recv(_RECEIVE)
            except BlockingIOError:
                return []
            except OSError:
                return None
            if not data:
                return None
            try:
                messages = self._frames.feed(data)
            except (ValueError, msgspec.MsgspecError) as error:
                raise ProtocolError(str(error)) from error
            if messages and not self.where[1] and isinstance(ready := messages[0], Ready):
                self.where = (ready.host, ready.pid)
            if messages or len(data) < _RECEIVE:
                return messages

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()
