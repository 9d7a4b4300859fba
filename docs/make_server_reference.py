"""The page docs/reference/server.md: the API of the server and who may use what, from its OpenAPI document."""

from __future__ import annotations

from typing import Any

from headrace.server.config import ServerConfig
from headrace.server.openapi import build
from headrace.server.table import routes

NOTE = "<!-- Written by docs/make_reference.py from the OpenAPI document of the server. -->\n"
HEAD = """# API of the server

`headrace server` answers programs at `/api/v1`; `/api/v1/openapi.json` is this page for programs (OpenAPI 3.1),
with the types of all answers. A token is sent as `Authorization: Bearer TOKEN`. Times are seconds since 1970,
durations seconds, sizes bytes. Lists answer `{"items": [...], "next": CURSOR}`; `?cursor=` goes on there. Errors
are problem documents (RFC 9457) that say what to do, with the id of the request.

## Who may do what

A user has a role in a project: viewer, editor or admin. What may not be seen is answered like what is not there
(404). Below, `P` is `/projects/{project}`, and `RUN` is `P/runs/{flow}/{number}`.
"""
TAIL = """
## Stores over HTTP

`POST /api/v1/store/{method}` and `/api/v1/blobs/{digest}` are for drivers, workers and clients of Headrace ([how
they work](../server-design.md#stores-over-http)): viewers of a project read it, editors write it, and a token for
one run writes that run alone; whoever is viewer of any project reads blobs, whoever is editor of one stores them;
listing and removing blobs, and what concerns all projects, is for admins of the server.

## Kubeflow Pipelines

`/apis/v2beta1` answers `kfp.Client` ([how to use it](../howto/kubeflow.md)): a namespace is a project, viewers
read, editors change.
"""
_PROJECT = "/projects/{project}"
_RUN = "/runs/{flow}/{number}"


def page() -> str:
    """The page."""
    document = build(routes(), ServerConfig(auth="users"))
    rows: dict[str, list[str]] = {}
    details: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            shown = f"{method.upper()} {_short(path)}"
            tag = operation["tags"][0]
            marks = " | ".join(_marks(operation))
            rows.setdefault(tag, []).append(f"| `{shown}` | {operation['summary']} | {marks} |")
            details.setdefault(tag, []).append(_detail(shown, operation, document))
    parts = [NOTE, HEAD]
    for tag, lines in rows.items():
        parts.append(f"### {tag.capitalize()}\n\n| request | what it does | viewer | editor | admin | server admin |")
        parts.append("|---|---|---|---|---|---|")
        parts += [*lines, ""]
    parts.append(
        "A cell says whether that role may; `login`: whoever is logged in, as far as it is theirs; `all`: everybody.\n"
    )
    parts.append("## Parameters and answers\n")
    for tag, texts in details.items():
        parts += [f"### {tag.capitalize()} in detail\n", *texts, ""]
    return "\n".join(parts).rstrip() + "\n" + TAIL


def _short(path: str) -> str:
    return path.removeprefix("/api/v1").replace(_PROJECT + _RUN, "RUN").replace(_PROJECT, "P")


def _marks(operation: dict[str, Any]) -> list[str]:
    if not operation["security"]:
        return ["all"] * 4
    role = operation.get("x-role", "")
    if role == "server admin":
        return ["", "", "", "yes"]
    if not role:
        return ["login"] * 4
    return ["yes" if ("viewer", "editor", "admin").index(role) <= n else "" for n in range(3)] + ["yes"]


def _detail(shown: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    lines = [f"- **`{shown}`**: {operation['summary']}."]
    for one in operation["parameters"]:
        if one["in"] == "query":
            need = ", needed" if one["required"] else ""
            about = f": {one['description']}" if "description" in one else ""
            lines.append(f"  - `?{one['name']}=` ({_type(one['schema'])}{need}){about}")
    body = operation.get("requestBody")
    if body is not None:
        lines.append(f"  - body: {_type(body['content']['application/json']['schema'], document)}")
    status, good = next((status, one) for status, one in operation["responses"].items() if status.startswith("2"))
    for kind, content in good.get("content", {}).items():
        answer = _type(content["schema"], document) if "schema" in content else f"`{kind}`"
        lines.append(f"  - {status}: {answer}")
    return "\n".join(lines)


def _type(schema: dict[str, Any], document: dict[str, Any] | None = None) -> str:
    """A schema in a few words; of an object of the document also the names of its members."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if document is None:
            return name
        found = document["components"]["schemas"][name]
        return f"{name} ({', '.join(f'`{one}`' for one in found.get('properties', {}))})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"{_type(schema.get('items', {}))}, several"
    if schema.get("type") == "object" and "properties" in schema:
        return f"object ({', '.join(f'`{one}`' for one in schema['properties'])})"
    return str(schema.get("type", "any JSON"))
