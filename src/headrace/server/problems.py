"""Errors as problem documents (RFC 9457): each error of Headrace is given its status here, and nowhere else."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from headrace.model import errors

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer that is an error.

    Args:
        status: of HTTP.
        kind: a short name, which ``type`` of the document is made of: ``not-found``.
        detail: what is wrong, and what to do next; for people.
        headers: more headers of the answer.
        more: more members of the document.
    """

    def __init__(
        self, status: int, kind: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = headers or {}
        self.more = more

    def response(self, request_id: str) -> Response:
        """The document; ``request_id`` finds the request in the log."""
        document = ProblemDocument(
            type=f"urn:headrace:problem:{self.kind}",
            title=_title(self.status),
            status=self.status,
            detail=self.detail,
            request_id=request_id,
        )
        content = msgspec.json.encode({**msgspec.structs.asdict(document), **self.more}, enc_hook=str)
        headers = {"Cache-Control": "no-store", **self.headers}
        return Response(content, self.status, headers, MEDIA_TYPE)


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Members that every problem document has. ``error``, where there is one, names a class of ``headrace``."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str


def not_found(what: str) -> Problem:
    """There is no such thing, or it may not be seen by who asks: these are told apart by no answer."""
    return Problem(404, "not-found", what, error="NotFoundError")


#: The status of each error; of several that fit, the first. What is not here is a defect: 500.
_STATUS: tuple[tuple[type[errors.HeadraceError], int, str], ...] = (
    (errors.NotFoundError, 404, "not-found"),
    (errors.RunBusyError, 409, "run-busy"),
    (errors.LeaseLostError, 409, "lease-lost"),
    (errors.UsageError, 400, "bad-request"),
    (errors.RunFailedError, 409, "run-failed"),
    (errors.TaskError, 409, "task"),
    (errors.NotLoadableError, 409, "not-loadable"),
    (errors.BlobMissingError, 410, "blob-missing"),
    (errors.BlobCorruptError, 500, "blob-corrupt"),
    (errors.StoreAwayError, 503, "store-away"),
    (errors.StoreFullError, 507, "store-full"),
    (errors.StoreReadOnlyError, 503, "store-read-only"),
    (errors.StoreVersionError, 503, "store-version"),
    (errors.StoreError, 500, "store"),
)


def problem_of(error: Exception) -> Problem | None:
    """The problem that ``error`` is; None for what is a defect of the server."""
    if isinstance(error, Problem):
        return error
    for kind, status, name in _STATUS:
        if isinstance(error, kind):
            headers = {"Retry-After": "2"} if status == 503 else None
            more = {"digest": error.digest.hex()} if isinstance(error, errors.BlobError) else {}
            return Problem(status, name, str(error), headers=headers, error=type(error).__name__, **more)
    return None


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
