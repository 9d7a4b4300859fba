"""What a route is. The table of all routes is put together in ``table``; all that is said of one is said there:
dispatching, decoding, roles, the OpenAPI document and the tests of roles are made from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from headrace.model.accounts import Role
from headrace.server.call import Params

API = "/api/v1"
#: Headers of every answer that says nothing else: nothing in it is a page, and no other page may frame it.
COMMON_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
)
T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A part of a list. ``next`` is the cursor to ask for what follows; null at the end."""

    items: list[T]
    next: str | None = None


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is not JSON: its media types, and whether ranges of it may be asked for."""

    types: tuple[str, ...]
    ranges: bool = False
    about: str = ""


class NoParams(Params, frozen=True, kw_only=True):
    """A route without path parameters and query."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path.

    Args:
        method: of HTTP.
        path: with the names of fields of ``params`` in braces; ``{name:path}`` takes slashes too.
        handler: ``handler(call)``; a plain function runs in a thread and may use the stores, ``async def`` runs on the
            loop and may not. It returns a ``result``, or a response of starlette.
        summary: what it does, in a line.
        needs: the role asked for in the project that ``params`` name; None: what else holds (``admin``, ``open``,
            or any principal).
        admin: admins of the whole server alone.
        open: without a principal too.
        params: what path and query may say.
        body: what the body is; None: there is none, or the handler reads it as a stream.
        body_limit: bytes that it may have; 0: as configured.
        result: what is answered: a type of a JSON document, ``Media``, or None for an empty answer (204).
        status: of the answer when it went well; 0: 200, or 204 without a result.
        problems: statuses of problems beyond those that any such route may answer with.
        tag: the part of the document it is in.
        action: what the audit log calls a change; empty: its method and path.
        audits_itself: whether the handler writes to the audit log that it succeeded.
        fields: whether items may be asked for in part (``fields=name,state``).
        slow: whether it looks through much: few such requests run at once, in threads of their own, so that they hold
            up no others.
    """

    method: str
    path: str
    handler: Callable[..., Any]
    summary: str
    needs: Role | None = None
    admin: bool = False
    open: bool = False
    params: type[Params] = NoParams
    body: Any = None
    body_limit: int = 0
    result: Any = None
    status: int = 0
    problems: tuple[int, ...] = ()
    tag: str = "runs"
    fields: bool = False
    slow: bool = False
    action: str = ""
    audits_itself: bool = False

    @property
    def audited_as(self) -> str:
        """What the audit log calls it; empty for what changes nothing."""
        if self.method in ("GET", "HEAD"):
            return ""
        return self.action or f"{self.method} {self.path.removeprefix(API)}"

    @property
    def shared(self) -> bool:
        """Whether equal requests may be answered alike, whoever asks: JSON documents of what a project has."""
        return self.method == "GET" and not isinstance(self.result, Media) and self.result is not None

    @property
    def template(self) -> str:
        """The path as the OpenAPI document has it."""
        return self.path.replace(":path}", "}")

    @property
    def success(self) -> int:
        """The status of the answer when it went well."""
        return self.status or (204 if self.result is None else 200)


def get(path: str, handler: Callable[..., Any], summary: str, **more: Any) -> Route:
    """A route for reading below ``/api/v1``, for viewers unless ``more`` says otherwise."""
    if not (more.get("admin") or more.get("open")):
        more.setdefault("needs", Role.VIEWER)
    return Route(method="GET", path=API + path, handler=handler, summary=summary, **more)


def change(method: str, path: str, handler: Callable[..., Any], summary: str, **more: Any) -> Route:
    """A route that changes something below ``/api/v1``, for editors unless ``more`` says otherwise."""
    if not (more.get("admin") or more.get("open")):
        more.setdefault("needs", Role.EDITOR)
    return Route(method=method, path=API + path, handler=handler, summary=summary, **more)
