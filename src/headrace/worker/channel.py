"""One TLS connection between a driver and a worker elsewhere, over a socket that never blocks."""

from __future__ import annotations

import contextlib
import socket
import ssl

_RECEIVE = 1 << 16
#: Bytes taken in at once; the rest waits in the kernel.
_AT_ONCE = 1 << 20


class ChannelError(Exception):
    """The peer does not speak TLS as it should. The text says what was seen, for a log."""


class Channel:
    """Bytes in and out. ``receive`` and ``flush`` are called when the socket is readable, and writable.

    What is sent before the connection is up waits. ``taken`` counts bytes from the network, ``heard`` is when the last
    ones came, by the clock that the caller gives.
    """

    __slots__ = ("_incoming", "_outgoing", "_tls", "_waiting", "closed", "out", "ready", "sock", "taken")

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server: bool) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # another kind of socket, in tests
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server)
        self._waiting: list[bytes] = []
        self.out = bytearray()
        self.ready = False
        self.closed = False
        self.taken = 0

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self.sock.fileno()

    def certificate(self) -> bytes | None:
        """The peer's certificate as DER, once the connection is up."""
        return self._tls.getpeercert(binary_form=True)

    def start(self) -> None:
        """Begin, as a client, once the socket is connected."""
        self._advance()
        self.flush()

    def send(self, data: bytes) -> bool:
        """Put ``data`` on its way; whether all of it could go at once."""
        if not self.ready:
            self._waiting.append(data)
            return False
        self._write(data)
        return self.flush()

    def _write(self, data: bytes) -> None:
        if not self.closed:
            self._tls.write(data)
            self.out += self._outgoing.read()

    def flush(self) -> bool:
        """Send what waits; whether nothing does any more."""
        while self.out and not self.closed:
            try:
                sent = self.sock.send(self.out)
            except BlockingIOError:
                return False
            except OSError:
                self.closed = True
                return True
            del self.out[:sent]
        return True

    def receive(self, most: int = _AT_ONCE) -> bytes:
        """What came, at least what fills ``most`` bytes; nothing and ``closed`` when the peer is gone.

        Raises:
            ChannelError: it is not TLS, or was altered on its way.
        """
        parts: list[bytes] = []
        size = 0
        while size < most:
            try:
                raw = self.sock.recv(_RECEIVE)
            except BlockingIOError:
                break
            except OSError:
                raw = b""
            if not raw:
                self.closed = True
                break
            self.taken += len(raw)
            self._incoming.write(raw)
            if not self.ready and not self._advance():
                continue
            size += self._read(parts)
        self.flush()
        return b"".join(parts)

    def _advance(self) -> bool:
        """Go on with the handshake; whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self.out += self._outgoing.read()
            return False
        except ssl.SSLError as error:
            self.out += self._outgoing.read()  # the alert, for the peer
            self.flush()
            raise ChannelError(f"does not speak TLS 1.3 ({error.reason or error})") from None
        self.out += self._outgoing.read()
        self.ready = True
        for data in self._waiting:
            self._write(data)
        self._waiting.clear()
        return True

    def _read(self, parts: list[bytes]) -> int:
        size = 0
        while True:
            try:
                data = self._tls.read(_RECEIVE)
            except ssl.SSLWantReadError:
                self.out += self._outgoing.read()  # answers of TLS itself
                return size
            except ssl.SSLZeroReturnError:
                data = b""
            except ssl.SSLError as error:
                raise ChannelError(f"sent broken TLS ({error.reason or error})") from None
            if not data:
                self.closed = True
                return size
            parts.append(data)
            size += len(data)

    def close(self) -> None:
        """Let go of the connection; what waits is not sent."""
        self.closed = True
        self.sock.close()
