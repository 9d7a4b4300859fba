"""Connections to ports of pods through the API server, for drivers that pods cannot reach.

The API server and the node's kubelet carry the bytes of one TCP connection inside of a WebSocket: messages begin with
a byte, 0 for data and 1 for an error of the kubelet's, and the first message of each kind has only the port's number.
Source: Kubernetes, pkg/kubelet (portforward/websocket.go), protocol ``v4.channel.k8s.io``. All versions know it; the
newer tunnel of SPDY (``SPDY/3.1+portforward.k8s.io``) does nothing more for one connection.
"""

from __future__ import annotations

import asyncio
import socket

import httpx2
from httpx2.websockets import (
    AsyncWebSocketSession,
    HTTPXWSException,
    WebSocketDisconnect,
    WebSocketUpgradeError,
)

from headrace.executors.kubernetes.client import AsyncClusterClient, ClusterError, Kind, TransportErrors

_PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_CHUNK = 1 << 15
#: Bytes of a message of the kubelet: it sends 32 KiB at most.
_LONGEST = 1 << 22
#: Seconds between two signs of life, and that one may take.
_PING = 10.0
_POD = Kind("v1", "Pod")


async def forward(client: AsyncClusterClient, namespace: str, pod: str, port: int, sock: socket.socket) -> None:
    """Carry the bytes of ``sock``, which does not block, to ``port`` of a pod and back, until one side ends.

    Raises:
        ClusterError: the API server refused, the pod does not listen there, or the connection broke.
    """
    path = f"{_POD.path(namespace, pod)}/portforward"
    try:
        with TransportErrors(client.connection):
            async with client.http.websocket(
                path,
                subprotocols=[_PROTOCOL],
                params={"ports": port},
                extensions=client.connection.extensions,
                max_message_size_bytes=_LONGEST,
                keepalive_ping_interval_seconds=_PING,
            ) as ws:
                await _carry(ws, sock)
    except Exception as error:  # perhaps in a group
        first = _first(error)
        if isinstance(first, ClusterError):
            raise first from None
        if isinstance(first, WebSocketUpgradeError):
            raise _refusal(pod, first.response) from None
        if isinstance(first, HTTPXWSException | OSError | httpx2.TransportError):
            text = f"the connection to pod {pod} broke: {str(first) or type(first).__name__}"
            raise ClusterError(text, reason="Away") from None
        raise


def _first(error: BaseException) -> BaseException:
    """The exception within nested groups: the session of a WebSocket wraps those of its tasks."""
    while inner := getattr(error, "exceptions", None):
        error = inner[0]
    return error


def _refusal(pod: str, response: httpx2.Response) -> ClusterError:
    code = response.status_code  # what the body says cannot be read any more
    why = {
        401: "the credentials are not accepted",
        403: "there is no right to create and get pods/portforward; `headrace place manifest` prints the role",
        404: "it does not exist",
    }.get(code, f"HTTP status {code}")
    return ClusterError(f"the API server does not forward to pod {pod}: {why}", code, "Refused")


async def _carry(ws: AsyncWebSocketSession, sock: socket.socket) -> None:
    tasks = [asyncio.create_task(one(ws, sock)) for one in (_send, _receive)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(ws: AsyncWebSocketSession, sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(sock, _CHUNK):
        await ws.send_bytes(bytes([_DATA]) + data)


async def _receive(ws: AsyncWebSocketSession, sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    opened = set()
    while True:
        try:
            message = await ws.receive_bytes()
        except WebSocketDisconnect as ended:
            if ended.code == 1000:
                return
            raise
        channel, data = message[0] if message else _DATA, message[1:]
        if channel not in opened:  # the port's number
            opened.add(channel)
        elif channel == _ERROR:
            raise ClusterError(data.decode(errors="replace").strip(), reason="NotListening")
        else:
            await loop.sock_sendall(sock, data)
