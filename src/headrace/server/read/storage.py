"""What the stores hold, and what garbage collection would free."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec

from headrace.server.call import Call
from headrace.server.read.paths import PROJECT, ProjectPath
from headrace.server.routes import get
from headrace.services.garbage import Plan, Policy, choose_runs, plan


class StorageQuery(ProjectPath, frozen=True, kw_only=True):
    """A project, and the age from which its runs are asked about."""

    older_than: Annotated[float, msgspec.Meta(ge=0, le=1e10, description="Seconds since the end of a run")] = (
        30 * 86_400
    )


class StorageView(msgspec.Struct, frozen=True, kw_only=True):
    """``blobs`` and ``bytes`` of the whole artifact store; ``unused`` is what no run needs.

    ``older`` is what would go with the runs of the project that ended longer than ``older_than`` seconds ago.
    """

    blobs: int
    bytes: int
    unused: Plan
    older_than: float
    older: Plan


def _storage(call: Call[StorageQuery, None]) -> StorageView:
    want = call.params
    scope = call.scope(want.project)
    now = time.time()
    whole = call.metadata
    count = size = 0
    for blob in scope.artifacts.list():
        count += 1
        size += blob.size
    unused = plan(whole, scope.artifacts, [], now)
    runs = choose_runs(scope.metadata, scope.project, Policy(older_than=want.older_than), now)
    older = plan(whole, scope.artifacts, runs, now) if runs else unused
    return StorageView(blobs=count, bytes=size, unused=unused, older_than=want.older_than, older=older)


ROUTES = (
    get(
        PROJECT + "/storage",
        _storage,
        "What the stores hold, and what garbage collection would free",
        slow=True,
        admin=True,
        params=StorageQuery,
        result=StorageView,
        tag="server",
    ),
)
