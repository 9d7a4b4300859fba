"""A relay in front of a cluster's API server that counts the requests which pass it, for tests and benches."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import yaml  # type: ignore[import-untyped]

from headrace.executors.kubernetes.access import Access, connection

_HEAD = 1 << 16


class ApiRequests:
    """``kubeconfig`` reaches the API server through the relay; ``counted`` has requests by ``VERB PLURAL``."""

    def __init__(self, access: Access, folder: Path) -> None:
        reached = connection(access)
        context = reached.settings(30.0)["verify"]
        assert isinstance(context, ssl.SSLContext), "the API server is asked without TLS, or without a check"
        self.counted: Counter[str] = Counter()
        self.kubeconfig = folder / "kubeconfig"
        self._server = urlsplit(reached.server)
        self._tls = context
        self._namespace = reached.namespace
        token = reached.config.user.token if reached.config.user is not None else None
        self._credentials = f"Authorization: Bearer {token}\r\n".encode() if token else b""
        self._loop = asyncio.new_event_loop()
        self._main: asyncio.Task[object]
        self._tasks: set[asyncio.Task[object]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="api-requests", daemon=True)

    def start(self) -> None:
        """Listen, and write the kubeconfig."""
        self._thread.start()
        self._ready.wait()

    def close(self) -> None:
        """End; connections are cut."""
        self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join()

    def total(self, verb: str = "") -> int:
        """How many requests passed, of a verb of HTTP or all."""
        return sum(count for what, count in self.counted.items() if what.startswith(verb))

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner, contextlib.suppress(asyncio.CancelledError):
            runner.run(self._listen())

    async def _listen(self) -> None:
        self._main = asyncio.current_task() or asyncio.create_task(asyncio.sleep(0))
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "counted",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "contexts": [{"name": "counted", "context": {"cluster": "c", "user": "u", "namespace": self._namespace}}],
            "users": [{"name": "u", "user": {}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))
        self._ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        host, port = self._server.hostname or "", self._server.port or 443
        try:
            upstream, to_server = await asyncio.open_connection(host, port, ssl=self._tls, limit=_HEAD)
            back = asyncio.create_task(_copy(upstream, writer))
            try:
                await self._pass_on(reader, to_server)
            finally:
                back.cancel()
                to_server.transport.abort()
        except (asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
            pass  # one side is gone, or this relay goes
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *fields = head.decode("latin-1").split("\r\n")
            self._count(first)
            named = {key.lower(): value.strip() for key, _, value in (one.partition(":") for one in fields)}
            to_server.write(head[:-2] + self._credentials + b"\r\n")
            if "upgrade" in named:
                await _copy(reader, to_server)
                return
            if size := int(named.get("content-length", 0)):
                to_server.write(await reader.readexactly(size))
            await to_server.drain()

    def _count(self, line: str) -> None:
        verb, target, _ = line.split(" ", 2)
        url = urlsplit(target)
        parts = url.path.strip("/").split("/")
        below = parts[parts.index("namespaces") + 2 :] if "namespaces" in parts[:-2] else parts[-1:]
        what = "/".join([below[0], *below[2:]])
        self.counted[f"{'WATCH' if 'watch=true' in url.query else verb} {what}"] += 1


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_HEAD):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.contextmanager
def counted_requests(kubeconfig: str | Path = "", context: str = "") -> Iterator[ApiRequests]:
    """Count the requests to a cluster that are made with the ``kubeconfig`` of what this gives.

    Raises:
        UsageError: there is no such cluster.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-api-") as folder:
        relay = ApiRequests(Access(str(kubeconfig), context), Path(folder))
        relay.start()
        try:
            yield relay
        finally:
            relay.close()
