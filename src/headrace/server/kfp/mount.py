"""The API as an application of its own, mounted at ``/apis/v2beta1``."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount

from headrace.model.accounts import Role
from headrace.server.audit_log import source_of
from headrace.server.call import Call, Server
from headrace.server.kfp.api import CODES, KfpError, Request, answer
from headrace.server.kfp.documents import project_of
from headrace.server.principals import Principal
from headrace.server.problems import Problem, problem_of
from headrace.services.accounts.users import Source

PREFIX = "/apis/v2beta1"
_UPLOADED = re.compile(rb'name="uploadfile"', re.IGNORECASE)
_VERBS = re.compile(r"^(.+):([a-z]+)$")
_FIXED = frozenset({"upload", "upload_version"})
#: The largest body: a pipeline of 64 MiB.
_LARGEST = 65 << 20


class KfpApp:
    """An ASGI application.

    Args:
        server: what requests share.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request. Changes, and those refused, are in the audit log."""
        http = HttpRequest(scope, receive)
        asked = _Asked(*_pattern(http.url.path.partition(f"{PREFIX}/")[2]))
        try:
            response = await self._answer(http, asked)
        except Exception as error:
            status, text, headers = _told(error)
            if http.method not in ("GET", "HEAD"):
                audit, what = self._server.audit, asked.audited(http)
                await asyncio.get_running_loop().run_in_executor(
                    self._server.threads, lambda: audit.ended(*what, status, text[:200])
                )
            response = _problem(status, text, headers)
        await response(scope, receive, send)

    async def _answer(self, http: HttpRequest, asked: _Asked) -> Response:
        principal = asked.principal = await self._server.authenticator.authenticate(http)
        if principal is None and asked.path != "healthz":
            raise Problem(401, "unauthenticated", "say who you are: send a token as existing_token of kfp.Client")
        if principal is not None and principal.csrf and http.method != "GET":
            raise KfpError(403, "this API takes tokens; a browser's session may read only")
        if principal is not None:
            http.scope["user_name"] = principal.name
        data = await _body(http)
        call: Call[Any, Any] = Call(self._server, http, principal, None)
        content = await call.in_thread(lambda: self._handled(call, http, asked, data))
        return Response(msgspec.json.encode(content), media_type="application/json")

    def _handled(self, call: Call[Any, Any], http: HttpRequest, asked: _Asked, data: bytes) -> Any:
        if asked.path == "healthz":
            return {"multi_user": False, "pipeline_store": ""}
        query = dict(parse_qsl(http.url.query))
        kind = http.headers.get("content-type", "")
        is_upload = kind.startswith("multipart/form-data")
        body = {} if is_upload or not data else _decoded(data)
        asked.project = self._project(asked, query, body)
        scope = call.scope(asked.project, Role.VIEWER if http.method == "GET" else Role.EDITOR)
        file = _uploaded(data, kind) if is_upload else b""
        request = Request(scope, asked.ids, query, body, file, bool(self._server.config.drivers), asked.sees)
        if http.method == "GET":
            return answer(request, http.method, asked.path)
        with self._server.audit.change(*asked.audited(http)):
            return answer(request, http.method, asked.path)

    def _project(self, asked: _Asked, query: dict[str, str], body: dict[str, Any]) -> str:
        """The project of a request: its namespace, that of the object whose id it names, or the server's."""
        named = query.get("namespace") or body.get("namespace")
        if named:
            return str(named)
        reference = body.get("pipeline_version_reference")
        told = reference if isinstance(reference, dict) else {}
        ids = [*asked.ids, query.get("pipelineid"), query.get("experiment_id"), body.get("experiment_id")]
        ids += [told.get("pipeline_version_id"), told.get("pipeline_id")]
        found = project_of(self._server.workspace.settings.home, [one for one in ids if isinstance(one, str)])
        return found if found and asked.sees(found) else self._server.project


class _Asked:
    """What a request asks for: its path with ``*`` in place of ``ids``, and as soon as they are known who asks, and for
    which project."""

    def __init__(self, path: str, ids: tuple[str, ...]) -> None:
        self.path = path
        self.ids = ids
        self.principal: Principal | None = None
        self.project = ""

    def sees(self, project: str) -> bool:
        """Whether who asks may see a project."""
        return self.principal is not None and self.principal.role_in(project) is not None

    def audited(self, http: HttpRequest) -> tuple[Source, str, str, str]:
        """Source, action, object and project, for the audit log."""
        action = f"kfp {http.method} {self.path}"[:100]
        return source_of(http, self.principal), action, "/".join(self.ids)[:200], self.project[:200]


def _told(error: Exception) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of the answer that ``error`` is; raises it where it is a defect of the server."""
    if isinstance(error, KfpError):
        return error.status, str(error), {}
    problem = problem_of(error)
    if problem is None:
        raise error
    return problem.status, str(problem), problem.headers


def _pattern(path: str) -> tuple[str, tuple[str, ...]]:
    """A path with ``*`` in place of its ids, and the ids."""
    ids, parts = [], []
    for place, part in enumerate(path.strip("/").split("/")):
        verb = _VERBS.match(part)
        if place % 2 == 0 or part in _FIXED:
            parts.append(part)
        elif verb is not None:
            ids.append(verb[1])
            parts.append(f"*:{verb[2]}")
        else:
            ids.append(part)
            parts.append("*")
    return "/".join(parts), tuple(ids)


async def _body(http: HttpRequest) -> bytes:
    chunks, size = [], 0
    async for chunk in http.stream():
        size += len(chunk)
        if size > _LARGEST:
            raise KfpError(413, f"a request can have up to {_LARGEST >> 20} MiB")
        chunks.append(chunk)
    return b"".join(chunks)


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise KfpError(400, f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise KfpError(400, "the body must be a JSON object")
    return found


def _uploaded(data: bytes, kind: str) -> bytes:
    """The content of the field ``uploadfile`` of a form."""
    boundary = kind.partition("boundary=")[2].strip('" ').encode()
    for part in data.split(b"--" + boundary)[1:] if boundary else ():
        head, blank, content = part.partition(b"\r\n\r\n")
        if blank and _UPLOADED.search(head):
            return content.removesuffix(b"\r\n")
    raise KfpError(400, "the form has no field uploadfile")


def _problem(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    told = {"error": message, "code": CODES.get(status, 2), "message": message, "details": []}
    return Response(msgspec.json.encode(told), status, headers or None, media_type="application/json")


def kfp_routes(server: Server) -> list[BaseRoute]:
    """What is added to the routes of the server."""
    return [Mount(PREFIX, app=KfpApp(server))]
