"""Projects and their flows."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.model.accounts import ALL_PROJECTS
from headrace.server.call import Call
from headrace.server.read.paths import PROJECT, ProjectPath
from headrace.server.routes import Page, get


class ProjectView(msgspec.Struct, frozen=True, kw_only=True):
    """A project, and what who asks may do in it: ``viewer``, ``editor`` or ``admin``."""

    name: str
    role: str


class FlowView(msgspec.Struct, frozen=True, kw_only=True):
    """A flow of a project: how many runs it has, and when the newest was made (seconds since 1970)."""

    name: str
    runs: int
    newest: float


def _projects(call: Call[Any, None]) -> Page[ProjectView]:
    names = {*call.metadata.projects(), call.server.project, *call.principal.roles} - {ALL_PROJECTS}
    roles = [(name, call.principal.role_in(name)) for name in sorted(names)]
    return Page(items=[ProjectView(name=name, role=role.label) for name, role in roles if role is not None])


def _flows(call: Call[ProjectPath, None]) -> Page[FlowView]:
    scope = call.scope(call.params.project)
    found = scope.metadata.flows(scope.project)
    return Page(items=[FlowView(name=name, runs=count, newest=newest) for name, count, newest in found])


ROUTES = (
    get("/projects", _projects, "Projects that one may see", needs=None, result=Page[ProjectView], tag="projects"),
    get(PROJECT + "/flows", _flows, "Flows of a project", params=ProjectPath, result=Page[FlowView], tag="projects"),
)
