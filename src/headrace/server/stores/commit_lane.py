"""Commits that follow each other on one connection, made by one thread straight from its socket.

A driver that runs short steps sends one commit after the other, the same but for their bodies. On the usual way each of
them passes a parser, an event loop, and from one thread to another and back, which takes as long as the commit itself.
Here a thread waits for the next one on the socket, while the event loop leaves it alone. Whatever else comes goes the
usual way: another request, one that does not arrive at once, or one that is to be refused for what it says.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import select
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any

from headrace._base.logs import Log
from headrace.server.direct_socket import PROTOCOL
from headrace.server.hand_over import Threads
from headrace.server.observing import Counts, log_request
from headrace.server.problems import Problem
from headrace.server.routes import COMMON_HEADERS

_log = Log("server")

#: Connections that have a thread of their own at once.
_LANES = 16
#: Seconds for which whoever was let in is believed, and for which a thread waits for the next commit.
_BELIEVED, _IDLE = 0.5, 0.2
#: A larger request goes the usual way.
_LARGEST = 64 << 10
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *([0-9]{1,9})(?=\r\n)")


class CommitLanes:
    """All of one server process.

    Args:
        counts: where requests are counted.
        is_over: whether the server stops.
    """

    def __init__(self, counts: Counts, is_over: Callable[[], bool]) -> None:
        self._counts = counts
        self._is_over = is_over
        self._threads = Threads(_LANES, "headrace-commits")
        self._free = _LANES
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(
        self,
        scope: Any,
        user: str,
        prepare: Callable[[bytes], Callable[[], None]],
        problem_for: Callable[[Exception], Problem | None],
        is_believed: Callable[[], bool],
    ) -> None:
        """A commit was answered: let a thread wait for the next one, if it was not the first of its connection.

        Args:
            scope: of the commit.
            user: who sent it.
            prepare: makes the commit of a body; raises where it is to be refused.
            problem_for: what is answered when the commit raises.
            is_believed: whether ``user`` is still known to be let in.
        """
        http, cycle = scope.get(PROTOCOL, (None, None))
        if http is None or http.cycle is not cycle or http.pipeline or http.transport.is_closing():
            return
        in_a_row, http.commits_at = http.commits_at == http.requests - 1, http.requests
        if not in_a_row or not self._free or not cycle.keep_alive or self._is_over():
            return
        if http.transport.get_extra_info("sslcontext") is not None:
            return
        http.transport.pause_reading()
        http._unset_keepalive_if_required()
        self._free -= 1
        lane = _Lane(http, user, prepare, problem_for, lambda: is_believed() and not self._is_over(), self._counts)
        task = asyncio.get_running_loop().create_task(self._run(http, lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, http: Any, lane: _Lane) -> None:
        rest = b""
        try:
            while http.transport.get_write_buffer_size():  # of the last answer
                await asyncio.sleep(0)
            rest = await self._threads.run(lane.serve)
        except Exception as error:  # a defect: nothing was answered
            _log.error("commit", f"a commit failed: {error}", traceback="".join(traceback.format_exception(error)))
            http.transport.close()
        finally:
            lane.close()
            self._free += 1
            if not http.transport.is_closing():
                http.transport.resume_reading()
                if rest:
                    http.data_received(rest)
                else:
                    http.timeout_keep_alive_task = http.loop.call_later(
                        http.timeout_keep_alive, http.timeout_keep_alive_handler
                    )


class _Lane:
    """One connection while its commits follow each other."""

    def __init__(
        self,
        http: Any,
        user: str,
        prepare: Callable[[bytes], Callable[[], None]],
        problem_for: Callable[[Exception], Problem | None],
        goes_on: Callable[[], bool],
        counts: Counts,
    ) -> None:
        self._http = http
        self._scope = http.cycle.scope
        self._user = user
        self._prepare = prepare
        self._problem_for = problem_for
        self._goes_on = goes_on
        self._counts = counts
        self._head = b""  # of these commits, without their lengths
        self._new_id = random.Random(os.urandom(16)).randbytes
        self._socket = socket.socket(fileno=os.dup(http.transport.get_extra_info("socket").fileno()))

    def close(self) -> None:
        """Close this descriptor of the socket."""
        self._socket.close()

    def serve(self) -> bytes:
        """Make commits as they come; returns what came and is no such commit, or nothing."""
        believed_until = time.monotonic() + _BELIEVED
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while self._goes_on() and time.monotonic() < believed_until and poll.poll(int(_IDLE * 1000)):
            try:
                data = self._socket.recv(_LARGEST)
            except OSError:
                return b""  # the event loop will hear of it too
            if not data:
                return b""
            body = self._body_of(data)
            if body is None or not self._goes_on():
                return data
            try:
                commit = self._prepare(body)
            except Exception:
                return data  # the usual way says what is wrong
            if not self._answer(commit):
                return b""
        return b""

    def _body_of(self, data: bytes) -> bytes | None:
        """The body of a commit whose head is that of the one before; None for anything else."""
        end = data.find(b"\r\n\r\n")
        found = _LENGTH.search(data, 0, end + 2) if end >= 0 else None
        if found is None or len(data) != end + 4 + int(found[1]):
            return None
        head = data[: found.start(1)] + data[found.end(1) : end]
        if head != self._head:
            if self._head or not self._is_same(head):
                return None
            self._head = head
        return data[end + 4 :]

    def _is_same(self, head: bytes) -> bool:
        """Whether a head, without its length, says what that of the request says that was checked."""
        first, *lines = head.split(b"\r\n")
        scope = self._scope
        given = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        known = [(name, b"" if name == b"content-length" else value) for name, value in scope["headers"]]
        return first == b"POST %s HTTP/1.1" % scope["raw_path"] and not scope["query_string"] and given == known

    def _answer(self, commit: Callable[[], None]) -> bool:
        """Make a commit and answer; returns whether the connection goes on."""
        began = time.perf_counter()
        status, body, headers = b"200 OK", b"", [(b"content-type", b"application/x-msgpack")]
        request_id = self._new_id(8).hex()
        try:
            commit()
        except Exception as error:
            problem = self._problem_for(error)
            if problem is None:
                raise
            response = problem.response(request_id)
            status, body = f"{response.status_code} {problem.kind}".encode("latin-1", "replace"), bytes(response.body)
            headers = [one for one in response.raw_headers if one[0] != b"content-length"]
        headers += [(b"content-length", b"%d" % len(body)), (b"x-request-id", request_id.encode()), *COMMON_HEADERS]
        headers += self._http.server_state.default_headers
        lines = [b"HTTP/1.1 " + status, *[b"%s: %s" % one for one in headers]]
        sent = False
        with contextlib.suppress(OSError):
            answer = b"\r\n".join([*lines, b"", body])
            sent = self._socket.send(answer) == len(answer)
        seconds = time.perf_counter() - began
        self._counts.request("POST", "", int(status[:3]), seconds, len(body))
        log_request(self._scope, int(status[:3]), len(body), seconds, request_id, self._user)
        return sent
