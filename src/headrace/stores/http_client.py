"""Requests to a Headrace server over kept connections: what the stores over HTTP have in common.

The standard library alone, because workers in environments and containers have nothing else. Imported only where a
server is used.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import re
import select
import socket
import ssl
import urllib.parse
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from headrace._base.logs import Log
from headrace._base.retry import Attempts
from headrace._version import __version__
from headrace.model import errors
from headrace.model.states import IllegalTransitionError

_log = Log("store")
R = TypeVar("R")

#: Where the API is on a server.
API = "/api/v1"
#: A request with this header may be answered by a link to where the thing is.
LINK = "Headrace-Link"
#: Seconds until a connection must be made, and in which a server must begin to answer: a driver, which has to hear its
#: workers and to hold its lease, and everybody else.
CONNECT_SECONDS, DRIVER_SECONDS, ANSWER_SECONDS = 3.0, 8.0, 60.0
#: How long calls are tried again while the server does not answer, unless the caller wants to hear of it at once.
PATIENCE_SECONDS = 30.0
#: Connections that are kept open for the next request.
_KEPT = 8
_AWAY = (429, 502, 503, 504)

#: What an error may be that a server names; all others are a ``StoreError``.
_CLASSES: dict[str, type[errors.HeadraceError]] = {
    kind.__name__: kind
    for kind in (
        errors.UsageError,
        errors.NotFoundError,
        errors.RunBusyError,
        errors.LeaseLostError,
        errors.StoreError,
        errors.StoreAwayError,
        errors.StoreReadOnlyError,
        errors.StoreFullError,
        errors.StoreDamagedError,
        errors.StoreVersionError,
        errors.BlobMissingError,
        errors.BlobCorruptError,
    )
}


class _Problem(msgspec.Struct, frozen=True):
    """What is needed of a problem document (RFC 9457)."""

    detail: str = ""
    title: str = ""
    error: str = ""  # the class of the error
    digest: str = ""  # of the blob that it is about


class Endpoint:
    """A server, how to reach it, and connections to it that wait for the next request.

    Threads and forked processes may use it at once: each request has a connection of its own, and a child leaves those
    of its parent alone.

    Args:
        url: of the server; a path in it is where the server is mounted.
        token: returns what proves who asks, empty for nothing; asked for each new connection.
        api: the path in front of all paths of requests.
    """

    def __init__(self, url: str, token: Callable[[], str], api: str = API) -> None:
        self._free: deque[_Connection] = deque()
        weakref.finalize(self, _close_all, self._free).atexit = False  # an artifact store is never closed
        self.url = url.rstrip("/")
        parts = urllib.parse.urlsplit(self.url)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self.path = parts.path + api
        self.token = token
        self._pid = os.getpid()
        self._tls: ssl.SSLContext | None = None
        self._proxy = _proxy_for(self._host) if self._secure else None

    def take(self, fresh: bool = False) -> _Connection:
        """A connection that nobody else uses; ``fresh``: a new one. It is connected by its first request."""
        if self._pid != os.getpid():
            self.close()  # this process's copies of the descriptors alone
            self._pid = os.getpid()
        while self._free and not fresh:
            try:
                one = self._free.pop()
            except IndexError:  # another thread was faster
                break
            if one.is_usable():
                return one
            one.close()
        return self._new()

    @property
    def way(self) -> str:
        """Names the proxy that is in between; empty without one."""
        return "" if self._proxy is None else f" by the proxy {self._proxy[0]}:{self._proxy[1]} (HTTPS_PROXY)"

    def give_back(self, connection: _Connection) -> None:
        """Keep a connection whose answer was read to its end."""
        if connection.sock is None or len(self._free) >= _KEPT or self._pid != os.getpid():
            connection.close()
        else:
            connection.used = True
            self._free.append(connection)

    def close(self) -> None:
        """Close the connections that wait."""
        _close_all(self._free)

    def _new(self) -> _Connection:
        token = self.token()
        if any(ord(char) < 33 or ord(char) > 126 for char in token):
            raise errors.UsageError(
                f"the token for {self.url} (HEADRACE_TOKEN) holds characters that no token has; copy it again"
            )
        shown = f"[{self._host}]" if ":" in self._host else self._host
        lines = [f"Host: {shown}" if self._port is None else f"Host: {shown}:{self._port}", "Accept-Encoding: identity"]
        if self.path.endswith(API):
            lines.append(f"Headrace-Version: {__version__}")
        if token:
            lines.append(f"Authorization: Bearer {token}")
        if self._secure:
            if self._tls is None:
                self._tls = ssl.create_default_context()
            host, port = self._proxy or (self._host, self._port)
            made: _Connection = _SecureConnection(host, port, context=self._tls, timeout=CONNECT_SECONDS)
            if self._proxy:
                made.set_tunnel(self._host, self._port or 443)
        else:
            made = _Connection(self._host, self._port, timeout=CONNECT_SECONDS)
        made.own_head = "\r\n".join(lines)
        return made


def _proxy_for(host: str) -> tuple[str, int] | None:
    """The proxy that ``HTTPS_PROXY`` names for ``host``; None without one, or where ``NO_PROXY`` names the host.

    Raises:
        UsageError: it is not ``http://HOST:PORT``.
    """
    text = os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY")
    if not text:
        return None
    from urllib.request import proxy_bypass

    if proxy_bypass(host):
        return None
    try:
        parts = urllib.parse.urlsplit(text if "://" in text else f"http://{text}")
        found = parts.hostname or "", parts.port or 80
    except ValueError:
        found = "", 0
    if not found[0] or parts.scheme != "http" or parts.username is not None:
        raise errors.UsageError(
            "HTTPS_PROXY is to be http://HOST:PORT, without a name or password; NO_PROXY=HOST goes around it"
        )
    return found


def _close_all(free: deque[_Connection]) -> None:
    with contextlib.suppress(IndexError):  # another thread was faster
        while free:
            free.pop().close()


class _Connection(http.client.HTTPConnection):
    """One connection; ``used``: an answer came over it before."""

    used = False
    own_head = ""

    def is_usable(self) -> bool:
        """Whether the server has not closed it: a connection that waits has nothing to read."""
        if self.sock is None:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | select.POLLHUP)
        return not poll.poll(0)

    def connect(self) -> None:
        """Also tell the kernel to send what there is at once."""
        super().connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _SecureConnection(http.client.HTTPSConnection, _Connection):
    pass


class Body(Protocol):
    """What is sent piece by piece, and can be sent again."""

    size: int

    def pieces(self) -> Iterator[bytes | memoryview]:
        """Its ``size`` bytes."""


class Request(NamedTuple):
    """What is asked of a server.

    ``again``: whether the same request may be made twice,
    because the second changes nothing more. ``seconds``: until the answer must begin.
    """

    method: str
    path: str
    body: bytes | Body = b""
    headers: Mapping[str, str] = {}
    again: bool = True
    seconds: float = ANSWER_SECONDS


class HttpClient:
    """Makes requests of one server, and turns what goes wrong into errors of Headrace.

    Args:
        endpoint: the server.
        patience: for how many seconds a request is tried again while the server does not answer; 0: not at all.
    """

    def __init__(self, endpoint: Endpoint, patience: float = PATIENCE_SECONDS) -> None:
        self.endpoint = endpoint
        self.patience = patience

    @property
    def url(self) -> str:
        """Of the server."""
        return self.endpoint.url

    def ask(self, request: Request) -> bytes:
        """The body of the answer to ``request``.

        Raises:
            HeadraceError: what the server said; StoreAwayError where it did not answer.
        """
        found: bytes = self.patiently(lambda: self.once(request), request.again)
        return found

    def once(self, request: Request) -> bytes:
        """``ask``, tried once."""
        if not isinstance(request.body, bytes):
            with self.stream(request) as answer:
                return answer.read_all()
        connection = self.endpoint.take()
        try:
            quick = self._send(connection, request, _exchange)
        except _StaleError:
            connection = self.endpoint.take(fresh=True)
            quick = self._send(connection, request, _exchange)
        if isinstance(quick, bytes):
            self.endpoint.give_back(connection)
            return quick
        with Stream(self, connection, quick) as answer:
            body = answer.read_all()
            if quick.status >= 300:
                raise self.error_of(quick, body)
            return body

    def patiently(self, call: Callable[[], Any], again: bool = True) -> Any:
        """``call()``, repeated while the server does not answer, where nothing was sent or ``again`` allows it."""
        try:
            return call()
        except errors.StoreAwayError as error:
            if not self.patience or not (again or isinstance(error, NothingSentError)):
                raise
            attempts, last = Attempts(self.patience, first=0.05, longest=1.0), error
        while attempts.pause():
            _log.debug("server.retry", str(last), store=self.url, seconds=attempts.passed)
            try:
                return call()
            except errors.StoreAwayError as error:
                if not (again or isinstance(error, NothingSentError)):
                    raise
                last = error
        raise errors.StoreAwayError(f"{last}; tried {attempts}") from last

    def stream(self, request: Request, watch: Callable[[socket.socket | None], None] | None = None) -> Stream:
        """The answer to ``request``, whose body is yet to be read; use it in a ``with`` statement.

        ``watch`` is told of the socket before the answer is waited for, so that another thread can break off, and of
        None when the head of the answer is there.

        Raises:
            HeadraceError: what the server said; StoreAwayError where it did not answer.
        """
        connection = self.endpoint.take()
        try:
            answer = self._send(connection, request, _begin, watch)
        except _StaleError:
            connection = self.endpoint.take(fresh=True)
            answer = self._send(connection, request, _begin, watch)
        stream = Stream(self, connection, answer)
        if answer.status >= 300 and not (answer.status == 307 and LINK in request.headers):
            with stream:
                raise self.error_of(answer, stream.read_all())
        return stream

    def _send(
        self,
        connection: _Connection,
        request: Request,
        exchange: Callable[[_Connection, bytes, Request, Callable[[socket.socket | None], None] | None], R],
        watch: Callable[[socket.socket | None], None] | None = None,
    ) -> R:
        """Send ``request``, and read the answer as ``exchange`` does.

        Raises:
            NothingSentError: there was no connection.
            StoreAwayError: it broke.
        """
        try:
            if connection.sock is None:
                connection.timeout = min(CONNECT_SECONDS, request.seconds)
                connection.connect()
        except OSError as error:
            connection.close()
            raise self._unreachable(error) from error
        try:
            if connection.sock.gettimeout() != request.seconds:
                connection.sock.settimeout(request.seconds)
            return exchange(connection, self._head(connection, request), request, watch)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if connection.used and request.again and not isinstance(error, TimeoutError):
                raise _StaleError from error  # the server closed it when this came
            raise self.broken(error, request) from error
        except BaseException:
            connection.close()
            raise
        finally:
            if watch is not None:
                watch(None)

    def _head(self, connection: _Connection, request: Request) -> bytes:
        """The head of ``request``."""
        body = request.body
        size = len(body) if isinstance(body, bytes) else body.size
        lines = [f"{request.method} {self.endpoint.path}{request.path} HTTP/1.1", connection.own_head]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        if size or request.method in ("POST", "PUT"):
            lines.append(f"Content-Length: {size}")
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1")

    # --- errors ---

    def _unreachable(self, error: OSError) -> errors.HeadraceError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return errors.StoreError(
                f"the certificate of the Headrace server {self.url} is not trusted: {error.verify_message}; check the "
                "address, or name the authority that signed it: export SSL_CERT_FILE=CA.pem"
            )
        if isinstance(error, ssl.SSLError):
            return errors.StoreError(f"{self.url} does not speak TLS as it should: {error}; is it http:// there?")
        return NothingSentError(
            f"the Headrace server {self.url} cannot be reached{self.endpoint.way}: {_reason(error)}; check the address "
            "(HEADRACE_SERVER) and that the server runs"
        )

    def broken(self, error: Exception, request: Request) -> errors.StoreAwayError:
        """The error for a connection that broke after ``request`` was sent, or while it was."""
        doubt = "" if request.again else "; whether it did what was asked is not known"
        return errors.StoreAwayError(f"the Headrace server {self.url} broke off: {_reason(error)}{doubt}")

    def error_of(self, answer: http.client.HTTPResponse, body: bytes) -> errors.HeadraceError:
        """The error that an answer is."""
        status = answer.status
        try:
            problem = msgspec.json.decode(body, type=_Problem)
        except (msgspec.DecodeError, UnicodeDecodeError):
            problem = _Problem()
        text = f"{self.url}: {problem.detail or problem.title or answer.reason or status}"
        if problem.error == "IllegalTransitionError":
            return IllegalTransitionError(problem.detail)
        kind = _CLASSES.get(problem.error)
        if kind is not None and issubclass(kind, errors.BlobError):
            return kind(text, bytes.fromhex(problem.digest))
        if kind is not None:
            return kind(text)
        if status == 401:
            return errors.StoreError(
                f"{text}. The server does not know who you are: run `headrace login {self.url}`, or set HEADRACE_TOKEN "
                "to a token of yours"
            )
        if status == 403:
            return errors.StoreReadOnlyError(text)
        if status in _AWAY:
            return errors.StoreAwayError(text)
        if status == 404 and problem.detail:
            return errors.NotFoundError(text)
        if status < 400 or status == 404:
            return errors.StoreError(f"{self.url} is not a Headrace server; check the address (HEADRACE_SERVER)")
        return errors.StoreError(text)


#: Bytes that an answer may begin with; that its head may have.
_FIRST, _LONGEST_HEAD = 1 << 16, 1 << 16
#: Answers that say that all is well, with a body of known length, over a connection that stays.
_USUAL = re.compile(rb"HTTP/1\.1 20[014] ")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]{1,18})\r\n", re.IGNORECASE)
_UNUSUAL = re.compile(rb"\r\n(transfer-encoding|connection|content-encoding):", re.IGNORECASE)


def _begin(
    connection: _Connection, head: bytes, request: Request, watch: Callable[[socket.socket | None], None] | None
) -> http.client.HTTPResponse:
    """Send a request, and read the head of the answer."""
    sock = connection.sock
    if isinstance(request.body, bytes):
        sock.sendall(head + request.body)
    else:
        sock.sendall(head)
        _send_pieces(sock, request.body)
    if watch is not None:
        watch(sock)
    answer = http.client.HTTPResponse(sock, method=request.method)
    answer.begin()
    return answer


def _send_pieces(sock: socket.socket, body: Body) -> None:
    try:
        for piece in body.pieces():
            sock.sendall(piece)
    except (BrokenPipeError, ConnectionResetError):
        if not select.select([sock], [], [], 0)[0] or not sock.recv(1, socket.MSG_PEEK):
            raise
        # A server that does not want the rest has said why, and closed.


def _exchange(
    connection: _Connection, head: bytes, request: Request, watch: Callable[[socket.socket | None], None] | None
) -> bytes | http.client.HTTPResponse:
    """Send a request and read its answer: the body of a usual one; of any other, its beginning.

    The general parser of answers takes more time than a commit; this one knows the answers of a server that all is
    well, and leaves all others to that.
    """
    sock = connection.sock
    sock.sendall(head + request.body if isinstance(request.body, bytes) else head)
    data = sock.recv(_FIRST)
    while (end := data.find(b"\r\n\r\n")) < 0 and len(data) < _LONGEST_HEAD and (more := sock.recv(_FIRST)):
        data += more
    usual = _USUAL.match(data[: end + 2]) if end >= 0 else None
    length = _LENGTH.search(data[: end + 2]) if usual is not None else None
    if length is None or _UNUSUAL.search(data[: end + 2]):
        answer = http.client.HTTPResponse(_Replayed(data, sock), method=request.method)  # type: ignore[arg-type]
        answer.begin()
        return answer
    body, size = data[end + 4 :], int(length[1])
    if len(body) < size:
        whole = bytearray(size)
        whole[: len(body)] = body
        done, view = len(body), memoryview(whole)
        while done < size:
            count = sock.recv_into(view[done:])
            if not count:
                raise http.client.IncompleteRead(b"", size - done)
            done += count
        body = bytes(whole)
    return body[:size]


class _Replayed(io.RawIOBase):
    """A socket whose first bytes were read already, for the general parser of answers."""

    def __init__(self, data: bytes, sock: socket.socket) -> None:
        self._data = data
        self._sock = sock

    def makefile(self, mode: str) -> io.BufferedReader:
        """As sockets have it."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, view: Any) -> int:
        """As of any raw stream."""
        if self._data:
            count = min(len(view), len(self._data))
            view[:count], self._data = self._data[:count], self._data[count:]
            return count
        return self._sock.recv_into(view)


class NothingSentError(errors.StoreAwayError):
    """There was no connection, so nothing can have happened."""


class _StaleError(Exception):
    """A kept connection turned out to be closed."""


class Stream:
    """An answer that is being read; leaving the ``with`` statement frees its connection."""

    def __init__(self, client: HttpClient, connection: _Connection, answer: http.client.HTTPResponse) -> None:
        self._client = client
        self._connection = connection
        self._answer = answer
        self.status = answer.status

    def header(self, name: str) -> str:
        """A header of the answer; empty without it."""
        return self._answer.getheader(name) or ""

    def read_all(self) -> bytes:
        """What is left of the body."""
        try:
            return self._answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from error

    def read_into(self, view: memoryview) -> int:
        """Fill ``view`` from the body; returns the number of bytes.

        Raises:
            StoreAwayError: the body ended before.
        """
        done = 0
        try:
            while done < len(view):
                count = self._answer.readinto(view[done:])
                if not count:
                    raise http.client.IncompleteRead(b"", len(view) - done)
                done += count
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from error
        return done

    def frames(self) -> Iterator[bytes]:
        """The body as parts, each with its length (four bytes, big-endian) in front; an empty one is the end.

        Raises:
            StoreAwayError: the end is missing.
        """
        try:
            while True:
                head = self._answer.read(4)
                size = int.from_bytes(head, "big")
                part = self._answer.read(size) if len(head) == 4 else b""
                if len(head) < 4 or len(part) < size:
                    raise errors.StoreAwayError(f"the Headrace server {self._client.url} broke off within a listing")
                if not size:
                    return
                yield part
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> errors.StoreAwayError:
        self._connection.close()
        return errors.StoreAwayError(f"the Headrace server {self._client.url} broke off: {_reason(error)}")

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        if self._answer.isclosed() and not self._answer.will_close:
            self._client.endpoint.give_back(self._connection)
        else:
            self._answer.close()
            self._connection.close()


def frame(part: bytes) -> bytes:
    """``part`` as ``Stream.frames`` reads it."""
    return len(part).to_bytes(4, "big") + part


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
