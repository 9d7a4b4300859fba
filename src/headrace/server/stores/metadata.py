"""``POST /api/v1/store/{method}``: the metadata store over HTTP."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from headrace.model.errors import NotFoundError
from headrace.model.records import Lease, Signal
from headrace.server.hand_over import Threads
from headrace.server.problems import Problem, not_found
from headrace.server.stores.access import Access, OpenStores
from headrace.server.stores.commit_lane import CommitLanes
from headrace.server.stores.exchange import Exchange, problem_for
from headrace.stores.http_client import frame
from headrace.stores.metadata import wire
from headrace.stores.metadata.protocol import MetadataStore

MIB = 1 << 20
#: Bytes of a request: of a commit, of rows that are brought in, and of any other.
COMMIT_LIMIT, IMPORT_LIMIT, ARGUMENT_LIMIT = 256 * MIB, 1024 * MIB, 16 * MIB
#: The longest wait for signals, in seconds, and for how many runs one request may ask.
_LONGEST_WAIT, _MOST_RUNS = 60.0, 10_000
#: Seconds in which signals that come one after the other are gathered into one answer.
_GATHER = 0.005
#: Rows of a listing that travel at once.
_BATCH = 4096
_LISTINGS = ("referenced_blobs", "code_packages")


class MetadataApi:
    """Answers the calls of a metadata store.

    Args:
        stores: the stores that are called.
        threads: where they are called.
    """

    def __init__(self, stores: OpenStores, threads: Threads) -> None:
        self._stores = stores
        self._threads = threads
        self._server = stores.server
        self._lanes = CommitLanes(stores.server.counts, stores.server.stopped.is_set)
        self._remote = {name: wire.remote(name) for name in wire.names()}

    async def serve(self, name: str, exchange: Exchange, access: Access) -> None:
        """Answer one call."""
        if exchange.method != "POST":
            raise Problem(405, "method", "methods of the store are called by POST", headers={"Allow": "POST"})
        if exchange.headers.get(b"content-type") != wire.MEDIA_TYPE.encode():
            raise Problem(415, "media-type", f"the body must be {wire.MEDIA_TYPE}")
        run = self._threads.run
        if name == "commit":
            access.check(writes=True)
            body = await exchange.body(COMMIT_LIMIT)
            await run(self._commit, body, access)
            await exchange.answer(b"")
            if access.hasty:
                known = self._server.authenticator.forgotten
                self._lanes.follow(
                    exchange.scope,
                    access.principal.name,
                    lambda following: self._prepared(following, access),
                    problem_for,
                    lambda: self._server.authenticator.forgotten == known,
                )
        elif name == "await_signals":
            access.check()
            await self._await_signals(exchange, access)
        elif name == "check":
            await exchange.body(0)
            if access.project:
                access.check()
            await run(self._check, access)
            await exchange.answer(b"")
        elif name in _LISTINGS:
            access.check(whole=True)
            await exchange.body(ARGUMENT_LIMIT)
            await self._listing(name, exchange, access)
        elif name in self._remote:
            method = self._remote[name]
            if name != "projects" or access.project:
                access.check(writes=method.writes, whole=name in wire.WHOLE and name != "projects")
            body = await exchange.body(IMPORT_LIMIT if name == "import_rows" else ARGUMENT_LIMIT)
            await exchange.answer(await run(self._call, method, body, access))
        else:
            raise not_found(f"a metadata store has no method {name[:100]!r}")

    def _store(self, access: Access) -> MetadataStore:
        return self._stores.metadata(access.project, access.hasty)

    def _check(self, access: Access) -> None:
        self._store(access).lease("check")

    def _commit(self, body: bytes, access: Access) -> None:
        self._prepared(body, access)()

    def _prepared(self, body: bytes, access: Access) -> Callable[[], None]:
        """The commit that a body is.

        Raises:
            Problem: the principal may not make it.
        """
        given = wire.decode_commit(body)
        writes = access.written_as(wire.decode_writes(given.writes))
        lease = None
        if given.name:
            access.check_lease(given.name)
            lease = Lease(name=given.name, owner=given.owner, token=given.token, left=0.0, note=given.note)
        return functools.partial(self._store(access).commit, writes, lease, given.seconds, given.number)

    def _call(self, method: wire.Remote, body: bytes, access: Access) -> bytes:
        arguments = method.decode_arguments(body)
        access.check_arguments(method.name, arguments)
        named = {field: getattr(arguments, field) for field in arguments.__struct_fields__}
        with access.recorded(self._stores.server, method.name, arguments):
            found = getattr(self._store(access), method.name)(**access.renamed(method.name, named))
        access.settle(self._stores.server, method.name, found)
        if method.name == "projects":
            found = [project for project in found if access.principal.role_in(project) is not None]
        return method.encode_result(found)

    async def _listing(self, name: str, exchange: Exchange, access: Access) -> None:
        """What may be long, in parts."""
        run = self._threads.run
        rows: Iterator[Any] = await run(getattr(self._store(access), name))

        def part() -> list[Any]:
            return list(itertools.islice(rows, _BATCH))

        batch = await run(part)
        await exchange.begin(200, [(b"content-type", wire.MEDIA_TYPE.encode())])
        while batch:
            await exchange.piece(frame(wire.encode(batch)))
            batch = await run(part)
        await exchange.piece(frame(b""))
        await exchange.end()

    async def _await_signals(self, exchange: Exchange, access: Access) -> None:
        """Wait until one of some runs has signals; no thread waits for it."""
        asked = wire.decode_await(await exchange.body(ARGUMENT_LIMIT))
        if len(asked.after) > _MOST_RUNS:
            raise Problem(422, "arguments", f"one request may wait for the signals of {_MOST_RUNS:,} runs at most")
        if access.principal.run is not None and set(asked.after) - {access.principal.run}:
            raise not_found("the token is for another run")
        loop = asyncio.get_running_loop()
        came: asyncio.Queue[Signal] = asyncio.Queue()

        def heard(signal: Signal) -> None:
            loop.call_soon_threadsafe(came.put_nowait, signal)

        subscriptions = await self._threads.run(self._subscribe, access, asked.after, heard)
        gone = asyncio.ensure_future(exchange.client_left())
        first = asyncio.ensure_future(came.get())
        stopped = asyncio.ensure_future(self._stores.server.stopped.wait())
        seconds = min(max(asked.seconds, 0.0), _LONGEST_WAIT)
        try:
            await asyncio.wait((gone, first, stopped), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            found = [first.result()] if first.done() else []
            if found:
                await asyncio.sleep(_GATHER)
            while not came.empty():
                found.append(came.get_nowait())
        finally:
            gone.cancel()
            first.cancel()
            stopped.cancel()
            await self._threads.run(_close_all, subscriptions)
        if not (gone.done() and not gone.cancelled()):
            await exchange.answer(wire.encode(found))

    def _subscribe(self, access: Access, after: dict[int, int], heard: Any) -> list[Any]:
        store = self._store(access)
        made = []
        for run_id, known in after.items():
            try:
                made.append(store.subscribe(run_id, known, heard))
            except NotFoundError:
                continue  # deleted meanwhile, or never of this project: nothing is heard of it
        return made


def _close_all(subscriptions: list[Any]) -> None:
    for one in subscriptions:
        one.close()
