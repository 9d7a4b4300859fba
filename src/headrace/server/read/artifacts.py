"""Artifacts: lists, previews, files in formats that others read, their bytes as stored, and a search over runs."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from headrace.model.errors import NotFoundError
from headrace.model.records import FLOW_TASK, UNLISTED, ArtifactRecord, RunRecord, TaskId
from headrace.server.call import Call
from headrace.server.cursors import read_cursor, write_cursor
from headrace.server.problems import Problem
from headrace.server.ranges import BytesResponse, attachment
from headrace.server.read.paths import PROJECT, RUN, Cursor, Fields, Limit, ProjectPath, RunPath, run_of
from headrace.server.routes import Media, Page, get
from headrace.services.describe import ArtifactView, view_artifact
from headrace.services.names import Name, find_task, read_task, task_name
from headrace.services.objects import find_artifact
from headrace.stores.codecs.exports import FORMATS, MEDIA_TYPES, export, name_of, raw_parts
from headrace.stores.metadata.protocol import RunFilter
from headrace.wiring import Scope

#: What the flow function itself returned and logged, in place of a step, with the number 0.
FLOW = "-"
#: Artifacts that one request of a search looks at, before it answers with what it has.
_LOOKED_AT = 20_000
_Name = tuple[str, int, str]


class ArtifactsQuery(RunPath, frozen=True, kw_only=True):
    """Which artifacts of a run."""

    step: Annotated[str | None, msgspec.Meta(description="Of this step; `-`: of the flow itself")] = None
    fields: Fields | None = None
    cursor: Cursor | None = None
    limit: Limit = 100


class ArtifactPath(RunPath, frozen=True, kw_only=True):
    """An artifact of a task; ``step`` ``-`` and ``task`` 0: of the flow itself."""

    step: str
    task: str
    name: str


class DownloadPath(ArtifactPath, frozen=True, kw_only=True):
    """An artifact, and the format it is wanted in."""

    format: Annotated[str, msgspec.Meta(description="One of `formats` of the artifact; else the first of them")] = ""


class ArtifactDetail(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact, how it can be had, and what it is made of.

    ``formats`` are those of ``download``; ``picture``: one of them is a preview as PNG. ``blobs`` are the digests and
    sizes of its parts in the store. ``consumers`` are tasks of the run that took it.
    """

    artifact: ArtifactView
    formats: list[str]
    picture: bool
    blobs: list[BlobView]
    producer: str
    consumers: list[str]
    code: tuple[str, ...]
    made_with: tuple[str, ...]


class BlobView(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes in the artifact store."""

    digest: str
    size: int


class SearchQuery(ProjectPath, frozen=True, kw_only=True):
    """Artifacts of all runs of a project, newest run first."""

    name: Annotated[str, msgspec.Meta(description="Part of the name")] = ""
    type: Annotated[str, msgspec.Meta(description="Part of the type, such as `DataFrame`")] = ""
    producer: Annotated[str, msgspec.Meta(description="Part of the name of the task, such as `train/42/fit`")] = ""
    flow: str | None = None
    cursor: Cursor | None = None
    limit: Limit = 50


def _listed(one: ArtifactRecord) -> bool:
    return one.kind not in UNLISTED


def _artifacts(call: Call[ArtifactsQuery, None]) -> Page[ArtifactView]:
    scope, run = run_of(call)
    want = call.params
    query = ("artifacts", run.id, want.step)
    after = read_cursor(want.cursor, _Name, query)
    step = "" if want.step == FLOW else want.step
    found: list[ArtifactRecord] = []
    if after is None and step is not None:
        after = (step, -1, "")
    while len(found) <= want.limit:
        page = scope.metadata.artifacts(run.id, after=after, limit=want.limit + 1)
        found += [one for one in page if _listed(one) and step in (None, one.step)]
        if len(page) <= want.limit or (step is not None and page[-1].step != step):
            break
        after = (page[-1].step, page[-1].number, page[-1].name)
    items = found[: want.limit]
    last = items[-1] if len(found) > want.limit else None
    following = None if last is None else write_cursor((last.step, last.number, last.name), query)
    return Page(items=[view_artifact(run, one) for one in items], next=following)


def artifact_of(call: Call[Any, Any]) -> tuple[Scope, RunRecord, ArtifactRecord]:
    """The project, run and artifact that the path names; an input of a task goes by its name too.

    Raises:
        NotFoundError: there is no such artifact.
    """
    scope, run = run_of(call)
    params = call.params
    if params.step == FLOW:
        records = [one for one in scope.metadata.artifacts(run.id, FLOW_TASK) if _listed(one)]
        for one in records:
            if one.name == params.name:
                return scope, run, one
        raise NotFoundError(f"{run.name} has no artifact {params.name!r} of its own")
    number = read_task(params.task)
    if number is None:
        raise NotFoundError(f"{params.task!r} is not the number of a task")
    find_task(scope.metadata, run, Name(run.flow, run.number, params.step, number))
    return scope, run, find_artifact(scope.metadata, run, Name(run.flow, run.number, params.step, number, params.name))


def _artifact(call: Call[ArtifactPath, None]) -> ArtifactDetail:
    scope, run, record = artifact_of(call)
    task = TaskId(record.step, record.number)
    consumers = []
    for child in scope.metadata.children(run.id, task):
        other = scope.metadata.task(run.id, child)
        sources = [] if other is None else [source for one in other.inputs for source in one.sources]
        if any((s.step, s.number) == task and s.output in (record.name, "result") for s in sources):
            consumers.append(task_name(run, child))
    return ArtifactDetail(
        artifact=view_artifact(run, record),
        formats=[*FORMATS.get(record.value.codec, ()), *(["png"] if record.preview.png else [])],
        picture=bool(record.preview.png),
        blobs=[BlobView(digest=one.hex, size=one.size) for one in record.value.blobs],
        producer=task_name(run, task),
        consumers=consumers,
        code=record.value.code,
        made_with=record.value.made,
    )


def _download(call: Call[DownloadPath, None]) -> Response:
    scope, _, record = artifact_of(call)
    form = call.params.format
    digest = record.value.digest.hex()
    if form == "png" and record.preview.png:
        headers = {"Content-Type": "image/png", "Content-Disposition": attachment(f"{record.name}.png")}
        return BytesResponse(call.request, [record.preview.png], f"{digest[:32]}-png", headers)
    known = FORMATS.get(record.value.codec, ())
    if form not in known and not (known and not form):
        there = ", ".join(known) or "no formats: it is a pickle, which only its own code reads; `headrace get` does"
        raise Problem(406, "format", f"{record.name} has no format {form or 'of its own'!r}; it has {there}")
    made = export(record.value, scope.artifacts, form)
    name = name_of(record.value, scope.artifacts) or record.name
    headers = {
        "Content-Type": made.media,
        "Content-Disposition": attachment(f"{name}.{made.suffix}" if made.suffix else name),
    }
    return BytesResponse(call.request, made.parts, f"{digest[:32]}-{form or known[0]}", headers)


def _raw(call: Call[ArtifactPath, None]) -> Response:
    scope, _, record = artifact_of(call)
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": attachment(f"{record.name}.{record.value.codec}"),
        "X-Headrace-Codec": record.value.codec,
    }
    return BytesResponse(call.request, raw_parts(record.value, scope.artifacts), record.value.digest.hex(), headers)


def _search(call: Call[SearchQuery, None]) -> Page[ArtifactView]:
    want = call.params
    scope = call.scope(want.project)
    query = ("search", want.project, want.name, want.type, want.producer, want.flow)
    start = read_cursor(want.cursor, tuple[int, str, int, str], query)
    before = None if start is None else start[0] + 1
    after: _Name | None = None if start is None else start[1:]
    found: list[ArtifactView] = []
    looked, stop = 0, time.monotonic() + 2.0
    while True:
        runs = scope.metadata.runs(RunFilter(project=scope.project, flow=want.flow, before_id=before, limit=50))
        for run in runs:
            while page := scope.metadata.artifacts(run.id, after=after, limit=1_000):
                for one in page:
                    after = (one.step, one.number, one.name)
                    if _listed(one) and _matches(run, one, want):
                        found.append(view_artifact(run, one))
                    looked += 1
                    if len(found) == want.limit or looked >= _LOOKED_AT or time.monotonic() > stop:
                        return Page(items=found, next=write_cursor((run.id, *after), query))
                if len(page) < 1_000:
                    break
            before, after = run.id, None
        if len(runs) < 50:
            return Page(items=found)


def _matches(run: RunRecord, one: ArtifactRecord, want: SearchQuery) -> bool:
    return (
        want.name.lower() in one.name.lower()
        and want.type.lower() in one.preview.type.lower()
        and want.producer.lower() in task_name(run, TaskId(one.step, one.number)).lower()
    )


ARTIFACT = RUN + "/artifacts/{step}/{task}/{name:path}"
_FILE = Media(types=MEDIA_TYPES, ranges=True, about="The file, in the format that was asked for")
_BYTES = Media(types=("application/octet-stream",), ranges=True, about="The bytes as stored")
ROUTES = (
    get(
        RUN + "/artifacts",
        _artifacts,
        "Artifacts with previews",
        params=ArtifactsQuery,
        result=Page[ArtifactView],
        fields=True,
        tag="artifacts",
    ),
    get(
        ARTIFACT + "/download",
        _download,
        "An artifact as a file, without running its code",
        params=DownloadPath,
        result=_FILE,
        problems=(406, 410, 416),
        tag="artifacts",
    ),
    get(
        ARTIFACT + "/raw",
        _raw,
        "An artifact's bytes as stored",
        params=ArtifactPath,
        result=_BYTES,
        problems=(410, 416),
        tag="artifacts",
    ),
    get(ARTIFACT, _artifact, "An artifact", params=ArtifactPath, result=ArtifactDetail, tag="artifacts"),
    get(
        PROJECT + "/artifacts",
        _search,
        "Search artifacts of all runs",
        slow=True,
        params=SearchQuery,
        result=Page[ArtifactView],
        tag="artifacts",
    ),
)
