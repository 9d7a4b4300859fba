"""A program in a pod with the streams of this process, as ``kubectl exec`` runs one.

The API server carries them in one WebSocket: a message begins with the number of its stream. Source: Kubernetes,
``apimachinery/pkg/util/remotecommand``; version 5 of the protocol can say that standard input has ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import termios
import threading
import tty
from collections.abc import Iterator, Sequence

import msgspec
from httpx2.websockets import HTTPXWSException, WebSocketSession

from headrace.executors.kubernetes.client import ClusterClient, ClusterError, Kind, TransportErrors

_PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"]
_STDIN, _STDOUT, _STDERR, _STATUS, _SIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHUNK = 1 << 14
_LONGEST = 1 << 22


def run_in_pod(client: ClusterClient, pod: str, container: str, command: Sequence[str], *, terminal: bool) -> int:
    """Run ``command`` in a container to its end, on this process's standard streams; returns its exit code.

    With ``terminal`` keys go there one by one, Ctrl-C too, as if the program was here.

    Raises:
        ClusterError: the API server refused, or the connection broke.
    """
    path = f"{Kind('v1', 'Pod').path(client.namespace, pod)}/exec"
    params = {"container": container, "command": list(command), "stdin": "true", "stdout": "true"}
    params["tty" if terminal else "stderr"] = "true"
    try:
        with (
            TransportErrors(client.connection),
            client.http.websocket(
                path,
                subprotocols=_PROTOCOLS,
                params=params,
                extensions=client.connection.extensions,
                max_message_size_bytes=_LONGEST,
            ) as ws,
            _raw_terminal() if terminal else contextlib.nullcontext(),
        ):
            return _carry(ws, terminal=terminal)
    except HTTPXWSException as error:
        why = getattr(getattr(error, "response", None), "status_code", None)
        said = f"HTTP status {why}; the right needed is to create pods/exec" if why else str(error)
        raise ClusterError(f"the API server runs nothing in pod {pod}: {said}", why or 0) from None


def _carry(ws: WebSocketSession, *, terminal: bool) -> int:
    over, asleep = os.pipe()
    feeding = threading.Thread(target=_feed, args=(ws, over), daemon=True)
    feeding.start()
    if terminal:
        _tell_size(ws)
        signal.signal(signal.SIGWINCH, lambda *_: _tell_size(ws))
    try:
        while True:
            data = ws.receive_bytes()
            stream, rest = data[0], data[1:]
            if stream == _STATUS:
                return _code_of(rest)
            if rest:
                _write(2 if stream == _STDERR else 1, rest)
    finally:
        if terminal:
            signal.signal(signal.SIGWINCH, signal.SIG_DFL)
        os.close(asleep)
        feeding.join(5)
        os.close(over)


def _feed(ws: WebSocketSession, over: int) -> None:
    """Send what comes on standard input, until it ends or ``over`` does."""
    with contextlib.suppress(HTTPXWSException, OSError):
        while True:
            ready, _, _ = select.select([0, over], [], [])
            if over in ready:
                return
            data = os.read(0, _CHUNK)
            if not data:
                ws.send_bytes(bytes([_CLOSE, _STDIN]))
                return
            ws.send_bytes(bytes([_STDIN]) + data)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _tell_size(ws: WebSocketSession) -> None:
    columns, lines = shutil.get_terminal_size()
    with contextlib.suppress(HTTPXWSException):
        ws.send_bytes(bytes([_SIZE]) + msgspec.json.encode({"Width": columns, "Height": lines}))


def _code_of(status: bytes) -> int:
    """The exit code that the last message tells."""
    told = msgspec.json.decode(status)
    if told.get("status") == "Success":
        return 0
    causes = (told.get("details") or {}).get("causes") or ()
    codes = [one["message"] for one in causes if one.get("reason") == "ExitCode"]
    if codes and str(codes[0]).isdigit():
        return int(codes[0])
    raise ClusterError(str(told.get("message") or "the program could not be run"))


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
