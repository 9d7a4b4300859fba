"""Lists of runs, and one run at a glance."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec

from headrace.server.call import Call
from headrace.server.cursors import read_cursor, write_cursor
from headrace.server.read.paths import PROJECT, RUN, Cursor, Fields, Limit, Number, ProjectPath, RunPath, run_of
from headrace.server.routes import Page, get
from headrace.services.describe import RunView, describe_run
from headrace.services.marks import LISTED
from headrace.services.query import parse_query
from headrace.services.run_rows import RunRow, as_recorded, parse_states, rows_of
from headrace.stores.metadata.protocol import RunFilter, SortKey
from headrace.stores.metadata.sort_keys import sort_key


class RunsQuery(ProjectPath, frozen=True, kw_only=True):
    """Which runs, as ``headrace runs`` takes it."""

    where: Annotated[tuple[str, ...], msgspec.Meta(description="Such as `metrics.accuracy > 0.9`; all must hold")] = ()
    flow: str | None = None
    state: Annotated[tuple[str, ...], msgspec.Meta(description="Runs in one of these states")] = ()
    tag: Annotated[tuple[str, ...], msgspec.Meta(description="A name, or name=value; all must be there")] = ()
    mark: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="pinned, archived or deleted, with ! in front: not so; all must hold. "
            "Without any, runs that are neither archived nor deleted"
        ),
    ] = ()
    sort: Annotated[
        str,
        msgspec.Meta(
            description="By `metrics.NAME`, `params.NAME`, `tags.NAME` or a value of the run, such as `duration`; "
            "with `-` in front the greatest first. Runs without a value come last. Without it: the newest first"
        ),
    ] = ""
    fields: Fields | None = None
    cursor: Cursor | None = None
    limit: Limit = 50


def _runs(call: Call[RunsQuery, None]) -> Page[RunRow]:
    want = call.params
    scope = call.scope(want.project)
    where = tuple(condition for text in want.where for condition in parse_query(text))
    query = (want.project, want.flow, want.tag, want.where, want.state, want.mark, want.sort)
    condition = RunFilter(
        project=scope.project,
        flow=want.flow,
        tags=want.tag,
        marks=want.mark or LISTED,
        where=where,
        before_id=None if want.sort else read_cursor(want.cursor, Number, query),
        limit=want.limit + 1,
        sort=want.sort,
        after=read_cursor(want.cursor, SortKey, query) if want.sort else None,
    )
    found = scope.metadata.runs(as_recorded(scope.metadata, condition, parse_states(want.state)))
    page = found[: want.limit]
    following = None
    if len(found) > want.limit:
        last = page[-1]
        following = write_cursor(sort_key(scope.metadata, last, want.sort) if want.sort else last.id, query)
    return Page(items=rows_of(scope.metadata, page, time.time()), next=following)


def _run(call: Call[RunPath, None]) -> RunView:
    scope, run = run_of(call)
    return describe_run(scope.metadata, run, time.time())


ROUTES = (
    get(PROJECT + "/runs", _runs, "Runs, newest first or sorted", params=RunsQuery, result=Page[RunRow], fields=True),
    get(RUN, _run, "A run at a glance", params=RunPath, result=RunView),
)
