"""The OpenAPI 3.1 document, made from the table of routes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from headrace._version import __version__
from headrace.server.config import ServerConfig
from headrace.server.problems import MEDIA_TYPE, ProblemDocument
from headrace.server.routes import Media, Route

_REF = "#/components/schemas/{name}"
_ABOUT = {
    400: "The query, the cursor or the body says what cannot be",
    401: "Nobody is logged in, and no token was sent",
    403: "Whoever asks may see it, but not do this",
    404: "There is no such thing, or it may not be seen",
    405: "Another method",
    408: "The body came too slowly",
    409: "It cannot be as things stand",
    410: "Its bytes are gone",
    413: "The body is too large",
    415: "The body is of another media type",
    416: "There is no such range",
    421: "The server has another name",
    500: "A defect of the server",
    503: "The store does not answer now",
    507: "The store is full",
}
#: What any route may answer with.
_ANY = (400, 414, 421, 500, 503)


def build(table: tuple[Route, ...], config: ServerConfig) -> dict[str, Any]:
    """The document for the routes of ``table``."""
    types = _types(table)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in table:
        operation = _operation(route, by_type, components)
        if config.auth == "none":  # nobody is asked who they are
            operation["security"] = []
        paths.setdefault(route.template, {})[route.method.lower()] = operation
    _link(paths)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace",
            "version": __version__,
            "summary": "Runs of flows, and all about them",
            "description": "Times are seconds since 1970 (UTC), durations seconds, sizes bytes. Lists answer "
            "`{items, next}`; errors are problem documents (RFC 9457).",
        },
        "servers": [{"url": config.url}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "headrace_session"},
            },
        },
    }


_RUNS = "/api/v1/projects/{project}/runs"
_RUN = f"{_RUNS}/{{flow}}/{{number}}"
_OF_RUN = {name: f"$request.path.{name}" for name in ("project", "flow", "number")}
#: Lists, and the parameters that their first item gives to the paths of what it is.
_LISTS: dict[str, dict[str, str]] = {
    _RUNS: {"flow": "$response.body#/items/0/flow", "number": "$response.body#/items/0/number"},
    f"{_RUN}/tasks": {"step": "$response.body#/items/0/step", "task": "$response.body#/items/0/number"},
    f"{_RUN}/metrics": {"name": "$response.body#/items/0/name"},
    f"{_RUN}/cards": {"id": "$response.body#/items/0/id"},
    f"{_RUN}/code": {"path": "$response.body#/files/0/path"},
}


def _link(paths: dict[str, Any]) -> None:
    """Say how one comes from a list to what is in it."""
    for source, given in _LISTS.items():
        if source not in paths:
            continue
        values = {name: text for name, text in _OF_RUN.items() if f"{{{name}}}" in source} | given
        links = paths[source]["get"]["responses"]["200"].setdefault("links", {})
        for path, methods in paths.items():
            names = re.findall(r"{(\w+)}", path)
            within = path.startswith(_RUN if source in (_RUNS, f"{_RUN}/tasks") else source)
            if within and "get" in methods and set(names) == set(values):
                operation = methods["get"]["operationId"]
                links[operation] = {"operationId": operation, "parameters": {name: values[name] for name in names}}


def _types(table: tuple[Route, ...]) -> list[Any]:
    found: list[Any] = [ProblemDocument]
    for route in table:
        found += [one.type for one in msgspec.structs.fields(route.params)]
        found += [one for one in (route.body, route.result) if one is not None and not isinstance(one, Media)]
    return list(dict.fromkeys(found))


def _operation(route: Route, by_type: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": list(_parameters(route, by_type)),
        "responses": _responses(route, by_type, components),
        "security": [] if route.open else [{"token": []}, {"session": []}],
    }
    if route.needs is not None:
        made["x-role"] = route.needs.label
    elif route.admin:
        made["x-role"] = "server admin"
    if route.body is not None:
        schema = {"schema": by_type[route.body]}
        made["requestBody"] = {"required": True, "content": {"application/json": schema}}
    return made


def _operation_id(route: Route) -> str:
    parts = [part for part in re.split(r"[/{}.]+", route.template.removeprefix("/api/v1")) if part]
    return "_".join([route.method.lower(), *parts])


def _parameters(route: Route, by_type: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for one in msgspec.structs.fields(route.params):
        in_path = f"{{{one.encode_name}}}" in route.template
        schema = dict(by_type[one.type])
        if "anyOf" in schema:  # a query parameter that is null is one that is not there
            kinds = [kind for kind in schema.pop("anyOf") if kind != {"type": "null"}]
            schema |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        if in_path and schema.get("type") == "string":
            schema.setdefault("minLength", 1)
        made = {
            "name": one.encode_name,
            "in": "path" if in_path else "query",
            "required": in_path or one.required,
            "schema": schema,
        }
        about = schema.pop("description", "")
        if about:
            made["description"] = about
        if one.default is not msgspec.NODEFAULT and one.default is not None and one.default != ():
            schema["default"] = one.default
        yield made


def _responses(route: Route, by_type: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {str(route.success): _success(route, by_type, components)}
    if isinstance(route.result, Media) and route.result.ranges:
        made["206"] = made["200"] | {"description": "The range that was asked for"}
    statuses = {*_ANY, *route.problems}
    if not route.open:
        statuses |= {401}
    if route.needs is not None or route.admin:
        statuses |= {403}
    if "{" in route.template:
        statuses |= {404}
    if route.body is not None:
        statuses |= {408, 413, 415}
    if route.method != "GET":
        statuses |= {409, 507}
    problem = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name=ProblemDocument.__name__)}}}
    for status in sorted(statuses):
        made[str(status)] = {"description": _ABOUT.get(status, "It was not done"), "content": problem}
    if route.method == "GET":
        made["304"] = {"description": "As the ETag says that the reader has it"}
    return made


def _success(route: Route, by_type: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    if route.result is None:
        return {"description": "Done"}
    if isinstance(route.result, Media):
        content: dict[str, Any] = {kind: {} for kind in route.result.types}
        return {"description": route.result.about or "The bytes", "content": content}
    schema = by_type[route.result]
    if route.fields:
        schema = _with_parts(schema, components)
    return {"description": route.summary, "content": {"application/json": {"schema": schema}}}


def _with_parts(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The schema of a page whose items may come with some of their members alone."""
    page = dict(components[schema["$ref"].rpartition("/")[2]])
    item = page["properties"]["items"]["items"]["$ref"].rpartition("/")[2]
    part = f"{item}Part"
    components[part] = {**components[item], "title": part}
    components[part].pop("required", None)
    items = {"anyOf": [{"$ref": _REF.format(name=item)}, {"$ref": _REF.format(name=part)}]}
    page["properties"] = {**page["properties"], "items": {"type": "array", "items": items}}
    return page
