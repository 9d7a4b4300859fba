"""What belongs to a run: parameters, tags, waits, cards."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec
from starlette.responses import Response

from headrace.model.params import from_text
from headrace.model.records import ArtifactRecord, TaskId
from headrace.server.call import Call
from headrace.server.problems import not_found
from headrace.server.ranges import BytesResponse
from headrace.server.read.paths import RUN, RunPath, run_of
from headrace.server.routes import Media, Page, get
from headrace.services.names import task_name
from headrace.services.paging import each_artifact
from headrace.stores.codecs.exports import export

#: Type of the preview of a card.
_CARD = "card"
#: Cards are pages that others wrote: they are shown without scripts, links out, or anything of this server's.
_CARD_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; media-src data:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)


class ParamView(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter: its value where that is plain, else a text. ``logged``: by ``log_params``."""

    name: str
    value: Any
    logged: bool


class TagView(msgspec.Struct, frozen=True, kw_only=True):
    """A tag; ``value`` may be empty."""

    name: str
    value: str


class WaitView(msgspec.Struct, frozen=True, kw_only=True):
    """What a run waits for, or waited: an ``answer``, or a time (``sleep``) that comes at ``until``."""

    name: str
    kind: str
    prompt: str
    created: float
    until: float | None
    done: bool


class CardPath(RunPath, frozen=True, kw_only=True):
    """A card of a run."""

    id: str


class CardView(msgspec.Struct, frozen=True, kw_only=True):
    """A card of a task; ``id`` leads to its page."""

    id: str
    task: str
    title: str
    created: float
    size: int


def _params(call: Call[RunPath, None]) -> Page[ParamView]:
    scope, run = run_of(call)
    found = scope.metadata.params([run.id])
    return Page(items=[ParamView(name=one.name, value=from_text(one.text), logged=one.logged) for one in found])


def _tags(call: Call[RunPath, None]) -> Page[TagView]:
    scope, run = run_of(call)
    return Page(items=[TagView(name=one.name, value=one.value) for one in scope.metadata.tags([run.id])])


def _waits(call: Call[RunPath, None]) -> Page[WaitView]:
    scope, run = run_of(call)
    return Page(
        items=[
            WaitView(
                name=one.name,
                kind=one.kind,
                prompt=one.prompt,
                created=one.created,
                until=one.until,
                done=one.done,
            )
            for one in scope.metadata.waits(run.id)
        ]
    )


def _cards(call: Call[RunPath, None]) -> Page[CardView]:
    scope, run = run_of(call)
    found = [one for one in each_artifact(scope.metadata, run.id) if one.preview.type == _CARD]
    return Page(
        items=[
            CardView(
                id=_card_id(one),
                task=task_name(run, TaskId(one.step, one.number)),
                title=one.preview.text.rpartition("-")[0] or one.preview.text,
                created=one.created,
                size=one.value.size,
            )
            for one in found
        ]
    )


def _card_id(one: ArtifactRecord) -> str:
    data = msgspec.msgpack.encode((one.step, one.number, one.name))
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _card(call: Call[CardPath, None]) -> Response:
    scope, run = run_of(call)
    text = call.params.id
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        step, number, name = msgspec.msgpack.decode(data, type=tuple[str, int, str])
        records = scope.metadata.artifacts(run.id, TaskId(step, number)) if 0 <= number < 2**62 else []
    except (binascii.Error, ValueError, msgspec.DecodeError):
        records, name = [], ""
    for one in records:
        if one.name == name and one.preview.type == _CARD and one.value.codec == "str":
            made = export(one.value, scope.artifacts)
            headers = {
                "Content-Type": "text/html; charset=utf-8",
                "Content-Security-Policy": _CARD_POLICY,
                "X-Frame-Options": "SAMEORIGIN",
            }
            return BytesResponse(call.request, made.parts, one.value.digest.hex(), headers)
    raise not_found(f"{run.name} has no such card")


_PAGE = Media(types=("text/html",), ranges=True, about="The page; it is shown in a sandbox")
ROUTES = (
    get(RUN + "/params", _params, "Parameters", params=RunPath, result=Page[ParamView]),
    get(RUN + "/tags", _tags, "Tags", params=RunPath, result=Page[TagView]),
    get(RUN + "/waits", _waits, "What it waits for, or waited", params=RunPath, result=Page[WaitView], tag="waits"),
    get(RUN + "/cards", _cards, "Cards", params=RunPath, result=Page[CardView], tag="cards"),
    get(
        RUN + "/cards/{id}/html",
        _card,
        "The page of a card",
        params=CardPath,
        result=_PAGE,
        problems=(416,),
        tag="cards",
    ),
)
