"""Connections to pods through the API server: bytes both ways, many at once, and each way in which they end."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.watching import LABELS, Heard, bare_pod, redirected

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.api import ClusterApi
from headrace.executors.kubernetes.happenings import ForwardEnded, PodSeen
from headrace.testing.proxy import Proxy

PORT = 7000
ECHO = f"""
import socket, threading
server = socket.create_server(("127.0.0.1", {PORT}))
def serve(one):
    while (data := one.recv(65536)) not in (b"", b"bye"):
        one.sendall(data)
    one.close()
while True:
    threading.Thread(target=serve, args=(server.accept()[0],)).start()
"""


def _ends(heard: Heard, count: int) -> list[str]:
    """Why the last connections ended, once ``count`` of them have."""
    heard.until(lambda all_: sum(isinstance(one, ForwardEnded) for one in all_) == count)
    return [one.why for one in heard.all if isinstance(one, ForwardEnded)]


def _received(sock: socket.socket, size: int) -> bytes:
    got = bytearray()
    while len(got) < size and (data := sock.recv(1 << 20)):
        got += data
    return bytes(got)


def _connected(dial: Callable[..., socket.socket], heard: Heard) -> socket.socket:
    """A connection to the echo, which may need a moment to listen."""
    until = time.monotonic() + 60
    while True:
        sock = dial()
        sock.sendall(b"?")
        if sock.recv(1) == b"?":
            return sock
        assert time.monotonic() < until
        heard.until(lambda all_: isinstance(all_[-1], ForwardEnded))
        heard.all.clear()


def test_bytes_pass_both_ways_until_one_side_ends(cluster: Cluster, space: Space, image: str, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    target = redirected(cluster.kubeconfig, ("127.0.0.1", 1), kubeconfig)
    with Proxy(target) as proxy, ExitStack() as stack:
        redirected(cluster.kubeconfig, proxy.address, kubeconfig)
        with closing(ClusterApi(Access(str(kubeconfig)), space.name, LABELS)) as api:
            api.start()

            def dial(pod: str = "echo", port: int = PORT) -> socket.socket:
                return stack.enter_context(api.forward(pod, port))

            heard = Heard(api)
            pod = bare_pod("echo", image, schedulerName="default-scheduler", terminationGracePeriodSeconds=1)
            pod["spec"]["containers"][0] |= {"command": ["python3", "-c", ECHO], "imagePullPolicy": "IfNotPresent"}
            api.create_pod(pod)
            heard.until(
                lambda all_: any(isinstance(one, PodSeen) and one.pod["status"]["phase"] == "Running" for one in all_)
            )
            heard.all.clear()
            first = _connected(dial, heard)

            many = [dial() for _ in range(30)]
            for number, sock in enumerate(many):
                sock.sendall(f"{number:02}".encode())
            assert [_received(sock, 2) for sock in many] == [f"{number:02}".encode() for number in range(30)]

            large = os.urandom(3 << 20)
            sender = threading.Thread(target=first.sendall, args=(large,))
            sender.start()
            assert _received(first, len(large)) == large
            sender.join()

            first.sendall(b"bye")  # the pod closes
            assert first.recv(1) == b""
            assert _ends(heard, 1) == [""]
            many.pop().close()  # and this side
            assert _ends(heard, 2) == ["", ""]
            assert dial("echo", PORT + 1).recv(1) == b""
            assert "refused" in _ends(heard, 3)[-1]
            assert dial("nobody").recv(1) == b""
            assert "does not forward to pod nobody: it does not exist" in _ends(heard, 4)[-1]

            proxy.cut()
            assert {sock.recv(1) for sock in many} == {b""}
            assert all("connection to pod echo broke" in why for why in _ends(heard, 4 + len(many))[4:])
            again = _connected(dial, heard)  # as soon as the server answers again
            again.sendall(b"still there")
            assert _received(again, 11) == b"still there"
            api.delete_pod("echo", 0)
            assert again.recv(1) == b""
