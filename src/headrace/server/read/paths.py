"""The paths that routes share, and what they lead to."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from headrace.model.errors import NotFoundError
from headrace.model.records import RunRecord
from headrace.server.call import Call, Params
from headrace.services.names import find_run
from headrace.wiring import Scope

PROJECT = "/projects/{project}"
RUN = PROJECT + "/runs/{flow}/{number}"

#: The number of a run or a task.
Number = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
#: How many items of a list are asked for.
Limit = Annotated[int, msgspec.Meta(ge=1, le=1_000)]
Cursor = Annotated[str, msgspec.Meta(description="`next` of the answer before; nothing else goes on from there")]
Fields = Annotated[str, msgspec.Meta(description="Names of fields with commas between: items with these alone")]


class ProjectPath(Params, frozen=True, kw_only=True):
    """A project."""

    project: str


class RunPath(ProjectPath, frozen=True, kw_only=True):
    """A run of a project."""

    flow: str
    number: Number


def run_of(call: Call[Any, Any]) -> tuple[Scope, RunRecord]:
    """The project and the run that the path names, with inputs and details.

    Raises:
        NotFoundError: there is no such run.
    """
    params = call.params
    scope = call.scope(params.project)
    if "/" in params.flow:
        raise NotFoundError(f"no run is called {params.flow}/{params.number}")
    return scope, find_run(scope.metadata, scope.project, f"{params.flow}/{params.number}")
