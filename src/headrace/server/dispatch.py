"""From a request to its handler and back: decoding, roles, limits, ETags, and every error as a problem document."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Iterable
from typing import Any, NamedTuple, get_args, get_origin

import msgspec
from blake3 import blake3
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headrace._base.logs import Log
from headrace.server.audit_log import source_of
from headrace.server.call import CHALLENGE, Call, Params, Server
from headrace.server.problems import Problem, problem_of
from headrace.server.routes import Route
from headrace.services.accounts.users import Source

_log = Log("server")
JSON = "application/json"
MSGPACK = "application/x-msgpack"
#: Characters of a query that are looked at.
LONGEST_QUERY = 8_192
#: Characters of a path that the audit log keeps.
_LONGEST_ABOUT = 300


class PathEndpoint:
    """Serves the routes of one path, by method."""

    def __init__(self, server: Server, routes: Iterable[Route]) -> None:
        routes = tuple(routes)
        self._template = routes[0].template
        self._by_method = {route.method: Endpoint(server, route) for route in routes}
        if "GET" in self._by_method:
            self._by_method.setdefault("HEAD", self._by_method["GET"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; with a problem document where it could not be done."""
        scope["template"] = self._template
        request = Request(scope, receive, send)
        try:
            endpoint = self._by_method.get(request.method)
            if endpoint is None:
                allowed = ", ".join(sorted(self._by_method))
                detail = f"{request.method[:20]} is not for this path; {allowed} is"
                raise Problem(405, "method", detail, headers={"Allow": allowed})
            response = await endpoint.answer(request)
        except Exception as error:
            response = answer_error(request, error)
        await response(scope, receive, send)


class _Content(NamedTuple):
    """The JSON document of an answer, and its ETag."""

    json: bytes
    tag: str


class Endpoint:
    """Serves one route."""

    def __init__(self, server: Server, route: Route) -> None:
        self._server = server
        self._route = route
        self._async = inspect.iscoroutinefunction(route.handler)
        self._infos = msgspec.structs.fields(route.params)
        self._fields = {one.encode_name: _is_list(one.type) for one in self._infos}
        self._of_project = "project" in self._fields and "{project}" in route.path
        self._json = None if route.body is None else msgspec.json.Decoder(route.body)
        self._msgpack = None if route.body is None else msgspec.msgpack.Decoder(route.body)
        self._threads = server.slow_threads if route.slow else server.threads
        self._shared = self._of_project and route.shared and not self._async

    async def answer(self, request: Request) -> Response:
        """What ``request`` is answered; raises what went wrong. Changes, and those refused, are in the audit log."""
        if not self._route.audited_as:
            return await self._answer(request)
        try:
            response = await self._answer(request)
        except Exception as error:
            problem = problem_of(error)
            status, detail = (500, "defect") if problem is None else (problem.status, problem.kind)
            work = functools.partial(self._server.audit.ended, *self._audited(request), status, detail)
            await asyncio.get_running_loop().run_in_executor(self._server.threads, work)
            raise
        if self._async and not self._route.audits_itself:
            work = functools.partial(self._server.audit.done, *self._audited(request))
            await asyncio.get_running_loop().run_in_executor(self._server.threads, work)
        return response

    def _audited(self, request: Request) -> tuple[Source, str, str, str]:
        """Source, action, object and project of a change, for the audit log."""
        source = source_of(request, request.scope.get("principal"))
        names = dict(request.path_params)
        project = str(names.pop("project", ""))
        about = "/".join(str(one) for one in names.values())
        return source, self._route.audited_as, about[:_LONGEST_ABOUT], project[:_LONGEST_ABOUT]

    async def _answer(self, request: Request) -> Response:
        route = self._route
        principal = await self._server.authenticator.authenticate(request)
        if principal is None and not route.open:
            raise Problem(401, "unauthenticated", "say who you are: log in, or send a token", headers=CHALLENGE)
        request.scope["principal"] = principal
        request.scope["user_name"] = "" if principal is None else principal.name
        call: Call[Any, Any] = Call(self._server, request, principal, route.needs)
        self._check(call)
        call.params = self._params(request)
        call.body = None if self._json is None else await self._body(request)
        if self._async:
            result = await route.handler(call)
        elif self._shared:
            call.hide_principal()
            work = functools.partial(self._handled, call)
            result = await self._server.reads.get((route, call.params), work, self._threads)
        else:
            result = await asyncio.get_running_loop().run_in_executor(self._threads, self._handled, call)
        return result if isinstance(result, Response) else self._encoded(request, call, result)

    def _check(self, call: Call[Any, Any]) -> None:
        """Refuse who may not do this, before anything else of the request is looked at."""
        route = self._route
        if route.admin and not call.principal.may_administer():
            detail = f"{call.principal.name} is not an admin of the server; this is for admins alone"
            raise Problem(403, "forbidden", detail)
        if self._of_project and route.needs is not None:
            call.scope(str(call.request.path_params["project"]))

    def _handled(self, call: Call[Any, Any]) -> Any:
        if self._route.audited_as and not self._route.audits_itself:
            with self._server.audit.change(*self._audited(call.request)):
                result = self._route.handler(call)
        else:
            result = self._route.handler(call)
        if isinstance(result, Response):
            return result
        names = getattr(call.params, "fields", None) if self._route.fields else None
        content = _in_part(result, names) if names else msgspec.json.encode(result, enc_hook=str)
        return _Content(content, blake3(content).hexdigest(16))

    def _encoded(self, request: Request, call: Call[Any, Any], result: Any) -> Response:
        status = self._route.success
        if self._route.result is None:
            return Response(None, status)
        if isinstance(result, _Content):
            content, tag = result
        else:
            content = msgspec.json.encode(result, enc_hook=str)
            tag = blake3(content).hexdigest(16)
        if request.method not in ("GET", "HEAD"):
            return Response(content, status, {"Cache-Control": "no-store"}, JSON)
        return cacheable(request, Response(content, status, media_type=JSON), tag)

    def _params(self, request: Request) -> Params:
        if len(request.scope["query_string"]) > LONGEST_QUERY:
            raise Problem(414, "long-query", f"a query has at most {LONGEST_QUERY:,} characters")
        path = {name: str(text) for name, text in request.path_params.items()}
        if any("\0" in text for text in path.values()):
            raise Problem(404, "not-found", "no name has the character NUL in it")
        found: dict[str, Any] = dict(path)
        for name, text in request.query_params.multi_items():
            if name in path or name not in self._fields:
                known = ", ".join(one for one in self._fields if one not in path) or "none"
                raise Problem(
                    400, "bad-query", f"the query says {name!r}, which is not a parameter here; there are {known}"
                )
            if "\0" in text:
                raise Problem(400, "bad-query", f"the query: {name} has the character NUL in it")
            if self._fields[name]:
                found.setdefault(name, []).append(text)
            elif name in found:
                raise Problem(400, "bad-query", f"the query says {name!r} twice; say it once")
            else:
                found[name] = text
        try:
            params = msgspec.convert(found, self._route.params, strict=False)
        except msgspec.ValidationError as error:
            named = str(error).rpartition("$.")[2].strip("`")
            if named.partition("[")[0] in path:
                raise Problem(404, "not-found", f"the path: {error}") from None
            raise Problem(400, "bad-query", f"the query: {error}") from None
        for one in self._infos:
            if one.encode_name in found and getattr(params, one.name) is None:
                raise Problem(400, "bad-query", f"the query: {one.encode_name} is null; leave it out instead")
        return params

    async def _body(self, request: Request) -> Any:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (JSON, MSGPACK):
            raise Problem(415, "media-type", f"the body is to be {JSON} or {MSGPACK}, not {kind[:80]!r}")
        data = await read_body(request, self._route.body_limit or self._server.config.limits.body, self._server)
        assert self._json is not None
        assert self._msgpack is not None
        try:
            return self._json.decode(data) if kind == JSON else self._msgpack.decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Problem(400, "bad-body", f"the body: {error}") from None


async def read_body(request: Request, limit: int, server: Server) -> bytes:
    """The whole body.

    Args:
        limit: bytes that it may have.
        server: knows how long it may take.

    Raises:
        Problem: 413 where it is longer, 408 where it takes longer.
    """
    close = {"Connection": "close"}
    too_long = Problem(413, "too-large", f"a body has at most {limit:,} bytes here", headers=close, limit=limit)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:19]) > limit:
        raise too_long
    parts, size = [], 0
    try:
        async with asyncio.timeout(server.config.limits.body_seconds):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise too_long
                parts.append(part)
    except TimeoutError:
        raise Problem(408, "too-slow", "the body did not come in time; send it again", headers=close) from None
    return b"".join(parts)


def cacheable(request: Request, response: Response, tag: str, control: str = "private, no-cache") -> Response:
    """``response`` with its ETag; without a body where the reader has it already (304)."""
    etag = f'"{tag}"'
    headers = {"ETag": etag, "Cache-Control": control}
    given = request.headers.get("if-none-match", "")
    if given and (given.strip() == "*" or etag in [one.strip().removeprefix("W/") for one in given.split(",")]):
        return Response(None, 304, headers)
    response.headers.update(headers)
    return response


def answer_error(request: Request, error: Exception) -> Response:
    """The problem document for ``error``; a defect is logged with its traceback, and says nothing of itself."""
    request_id = str(request.scope.get("request_id", ""))
    if isinstance(error, HTTPException):
        error = _of_starlette(request, error)
    if isinstance(error, ClientDisconnect):
        return Response(None, 499)
    problem = problem_of(error)
    if problem is None:
        import traceback

        text = "".join(traceback.format_exception(error))
        _log.error("server.defect", text, request_id=request_id, path=request.url.path)
        problem = Problem(500, "defect", "the server met a defect of its own; its log has more under the request_id")
    return problem.response(request_id)


def _of_starlette(request: Request, error: HTTPException) -> Problem:
    if error.status_code == 404:
        return Problem(404, "not-found", f"there is nothing at {request.url.path}; /api/v1/openapi.json lists what is")
    return Problem(error.status_code, "http", str(error.detail), headers=dict(error.headers or {}))


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in (tuple, list) or any(get_origin(one) in (tuple, list) for one in get_args(kind))


def _in_part(result: Any, names: str) -> Any:
    wanted = [one.strip() for one in names.split(",") if one.strip()]
    items = result.items
    known = type(items[0]).__struct_fields__ if items else ()
    unknown = [one for one in wanted if known and one not in known]
    if unknown:
        raise Problem(400, "bad-query", f"fields: there is no field {unknown[0]!r}; there are {', '.join(known)}")
    parts = [{name: getattr(one, name) for name in wanted} for one in items]
    return msgspec.json.encode({"items": parts, "next": result.next}, enc_hook=str)
