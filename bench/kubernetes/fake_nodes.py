"""Nodes without machines: a process that binds, "starts" and ends the pods of an API server, with a worker for each.

A worker joins its driver as a real one does (TLS, the joining token, worker protocol 1) and answers attempts at once.
So what the driver and the API server do is real; what is left out is the scheduler, kubelets, containers and Python.

    python fake_nodes.py KUBECONFIG NAMESPACE TOKEN
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import resource
import sys
from typing import Any

from headrace._version import __version__
from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.client import AsyncClusterClient, ClusterClient, ClusterError, Kind
from headrace.executors.kubernetes.watch import Watch, WatchListener
from headrace.model import handshake
from headrace.model.handshake import PROTOCOL, Hello
from headrace.model.messages import (
    Begin,
    Bye,
    Done,
    Execute,
    Exited,
    Heartbeat,
    Ready,
    Stop,
    ToDriver,
    Usage,
    frame,
    framed,
    from_driver,
    raw_frames,
)
from headrace.worker.join_token import read_token, worker_context

POD = Kind("v1", "Pod")
#: Pods per node, and how many are taken care of at once.
PER_NODE, AT_ONCE = 100, 8
_USAGE = Usage(0.0, 0.0, 0.0, 0, (0, 0))


class Worker(asyncio.Protocol):
    """The worker of a pod: joins, and answers each attempt at once."""

    def __init__(self, pod: str, secret: bytes) -> None:
        python = ".".join(map(str, sys.version_info[:3]))
        self._hello = Hello(
            protocol=PROTOCOL, headrace=__version__, python=python, secret=secret, owner=pod, worker=pod, host=pod
        )
        self._pod = pod
        self._frames = raw_frames()
        self._welcome = False
        self._arrived = 0
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Say who it is."""
        self.transport = transport
        transport.write(framed(handshake.write(self._hello)))

    def data_received(self, data: bytes) -> None:
        """Answer."""
        for body in self._frames.feed(data):
            if not self._welcome:
                self._welcome = True
            else:
                self._answer(from_driver(body))

    def _answer(self, message: Any) -> None:
        if isinstance(message, Heartbeat):
            self._say(Heartbeat(received=self._arrived))
            return
        self._arrived += 1
        match message:
            case Begin():
                self._say(Ready(1, self._pod))
            case Execute():
                self._say(Done(message.token, (), _USAGE))
            case Stop():
                self._say(Exited(0))
            case Bye():
                self.transport.close()

    def _say(self, message: ToDriver) -> None:
        self.transport.write(frame(message))


class Nodes:
    """See the module."""

    def __init__(self, kubeconfig: str, namespace: str, secret: bytes) -> None:
        with ClusterClient(Access(kubeconfig), namespace) as client:
            self._http = AsyncClusterClient(client.connection)
        self._namespace, self._secret = namespace, secret
        self._todo: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._workers: dict[str, Worker] = {}
        self._seen: set[str] = set()
        self._ending: set[str] = set()
        self._numbers = itertools.count()
        self._tls = worker_context()

    async def run(self) -> None:
        """Serve until killed."""
        listener = WatchListener(_nothing, self._on_list, self._on_event, lambda _: True, _nothing)
        async with asyncio.TaskGroup() as group:
            group.create_task(Watch(self._http, POD.path(self._namespace), {}, listener).run())
            for _ in range(AT_ONCE):
                group.create_task(self._work())

    def _on_list(self, pods: list[Any]) -> None:
        for pod in pods:
            self._on_event("ADDED", pod)

    def _on_event(self, change: str, pod: Any) -> None:
        name = pod["metadata"]["name"]
        if change == "DELETED":
            self._end(name)
        elif pod["metadata"].get("deletionTimestamp"):
            if name not in self._ending:
                self._ending.add(name)
                self._todo.put_nowait(("end", pod))
        elif name not in self._seen:
            self._seen.add(name)
            self._todo.put_nowait(("begin", pod))

    def _end(self, name: str) -> None:
        worker = self._workers.pop(name, None)
        if worker is not None and worker.transport is not None:
            worker.transport.close()

    async def _work(self) -> None:
        while True:
            what, pod = await self._todo.get()
            with contextlib.suppress(ClusterError, OSError):
                await (self._begin(pod) if what == "begin" else self._finish(pod["metadata"]["name"]))

    async def _begin(self, pod: Any) -> None:
        name = pod["metadata"]["name"]
        path = POD.path(self._namespace, name)
        number = next(self._numbers)
        target = {"apiVersion": "v1", "kind": "Node", "name": f"node-{number // PER_NODE}"}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        await self._http.request("POST", f"{path}/binding", binding)
        state = {"name": "worker", "ready": True, "restartCount": 0, "image": "x", "imageID": "x"}
        status = {
            "phase": "Running",
            "podIP": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            "containerStatuses": [{**state, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}],
        }
        response = await self._http.http.patch(
            f"{path}/status", json={"status": status}, headers={"Content-Type": "application/merge-patch+json"}
        )
        if response.is_success:
            await self._join(name, pod)

    async def _join(self, name: str, pod: Any) -> None:
        words = pod["spec"]["containers"][0]["args"]
        host, _, port = words[words.index("--connect") + 1].rpartition(":")
        worker = self._workers[name] = Worker(name, self._secret)
        await asyncio.get_running_loop().create_connection(lambda: worker, host, int(port), ssl=self._tls)

    async def _finish(self, name: str) -> None:
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        await self._http.request("DELETE", POD.path(self._namespace, name), options)
        self._end(name)


def _nothing() -> None:
    pass


def main() -> None:
    """See the module."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kubeconfig, namespace, token = sys.argv[1:]

    async def run() -> None:
        await Nodes(kubeconfig, namespace, read_token(token).secret).run()

    asyncio.run(run())


if __name__ == "__main__":
    main()
