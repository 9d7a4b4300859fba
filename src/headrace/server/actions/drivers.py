"""Starting drivers: going on with a run, running steps of it again, and a new run of a recorded flow."""

from __future__ import annotations

import os
import time
from typing import Annotated, Any

import msgspec

from headrace.model.errors import NotFoundError, RunBusyError, UsageError
from headrace.model.records import RunRecord
from headrace.server.call import Call
from headrace.server.drivers.orders import ORDER_TAG, Order, Orders
from headrace.server.drivers.supervisor import ensure
from headrace.server.problems import Problem
from headrace.server.read.paths import PROJECT, RUN, Number, ProjectPath, RunPath, run_of
from headrace.server.routes import Page, change, get
from headrace.services.control import requested
from headrace.services.describe import details_of
from headrace.services.names import find_run
from headrace.services.resumable import check_kept
from headrace.services.run_rows import driver_of
from headrace.settings import place_variables
from headrace.stores.metadata.protocol import RunFilter
from headrace.wiring import Scope, Workspace

_Step = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern="^[^-,]")]
_Parameter = Annotated[str, msgspec.Meta(pattern=r"^\w[\w.-]{0,199}$")]
_Parameters = Annotated[dict[_Parameter, Any], msgspec.Meta(max_length=1_000)]
_Tag = Annotated[str, msgspec.Meta(pattern=r"^[^=]{1,200}$")]
_TagText = Annotated[str, msgspec.Meta(max_length=1_000)]


class FlowPath(ProjectPath, frozen=True, kw_only=True):
    """A flow of a project."""

    flow: str


class OrderPath(ProjectPath, frozen=True, kw_only=True):
    """An order of a driver."""

    order: str


class Resumption(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a run goes on: parameters with new values, and whether results of steps whose code changed are kept."""

    parameters: _Parameters = {}
    reuse_changed: bool = False


class Retry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps whose tasks run again, with all that depends on them."""

    steps: Annotated[list[_Step], msgspec.Meta(min_length=1, max_length=100)]
    parameters: _Parameters = {}


class NewRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new run of a recorded flow.

    ``run`` is the number of the run whose code is taken, by default the flow's newest. ``parameters`` that are not
    given have the values of that run, or in a Metaflow file their defaults. ``tags`` are names with values.
    """

    run: Number | None = None
    parameters: _Parameters = {}
    tags: Annotated[dict[_Tag, _TagText], msgspec.Meta(max_length=100)] = {}


class DriverOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A driver that was ordered. ``state``: ``queued``, ``running`` or ``ended``; ``exit_code``: null while it runs, or
    where nobody saw its end. ``run`` is the run that it drives, empty until a new one has begun; ``output`` the end of
    what it printed."""

    id: str
    action: str
    state: str
    run: str
    user: str
    created: float
    exit_code: int | None
    output: str


def start_waiting(workspace: Workspace) -> None:
    """Go on with orders that a machine which was switched off has left."""
    home = workspace.settings.home
    if any(Orders(home).open()):
        ensure(home, _variables(workspace))


def _variables(workspace: Workspace) -> dict[str, str]:
    return place_variables(msgspec.structs.asdict(workspace.settings))


def _resume(call: Call[RunPath, Resumption]) -> DriverOrder:
    scope, run = run_of(call)
    words = ["resume", run.name, "--code", "recorded", *(["--reuse-changed"] if call.body.reuse_changed else [])]
    return _go_on(call, scope, run, "resume", words)


def _retry(call: Call[RunPath, Retry]) -> DriverOrder:
    scope, run = run_of(call)
    known = {one.step for one in scope.metadata.step_counts(run.id)}
    unknown = [step for step in call.body.steps if step not in known]
    if unknown:
        raise NotFoundError(f"{run.name} has no step {unknown[0]!r}; it has {', '.join(sorted(known)) or 'none'}")
    words = ["resume", run.name, "--code", "recorded", *(f"--from={step}" for step in call.body.steps)]
    return _go_on(call, scope, run, "retry", words)


def _go_on(call: Call[Any, Any], scope: Scope, run: RunRecord, action: str, words: list[str]) -> DriverOrder:
    check_kept(scope.metadata, run)
    if driver_of(scope.metadata, run) not in ("", "gone"):
        raise RunBusyError(f"{run.name} is running")
    return _order(call, scope, run, action, words)


def _start(call: Call[FlowPath, NewRun]) -> DriverOrder:
    scope, body = call.scope(call.params.project), call.body
    flow = call.params.flow
    run = find_run(scope.metadata, scope.project, flow if body.run is None else f"{flow}/{body.run}")
    words = ["run", f"--code-of={run.name}"]
    words += [f"--tag={name}={value}" if value else f"--tag={name}" for name, value in body.tags.items()]
    return _order(call, scope, run, "start", words)


def _order(call: Call[Any, Any], scope: Scope, run: RunRecord, action: str, words: list[str]) -> DriverOrder:
    if not call.server.config.drivers:
        raise Problem(
            403, "no-drivers", "this server starts no runs (headrace server --drivers does); use the command line"
        )
    run = scope.metadata.run_by_id(run.id) or run
    details = details_of(run)
    if run.dialect == "track" or (details.code is None and not details.sources):
        raise UsageError(f"{run.name} kept no code that its flow can be loaded from")
    order = Order(
        id=os.urandom(12).hex(),
        action=action,
        project=scope.project,
        run=run.name,
        user=scope.actor.user,
        created=time.time(),
        words=tuple(words),
        parameters=call.body.parameters,
        as_options=run.dialect == "metaflow",
        folder=details.cwd,
    )
    scope.metadata.commit([requested(run, scope.actor, action, order.id, order.created)])
    home = call.workspace.settings.home
    Orders(home).place(order)
    return _view(scope, order)


def _view(scope: Scope, order: Order) -> DriverOrder:
    orders = Orders(scope.workspace.settings.home)
    run = order.run
    if order.action == "start":
        tag = f"{ORDER_TAG}{':' if order.as_options else '='}{order.id}"  # tags of Metaflow have no values
        found = scope.metadata.runs(RunFilter(project=scope.project, tags=(tag,), limit=1))
        run = found[0].name if found else ""
    state, end = orders.state(order.id), orders.ended(order.id)
    if state != "ended":  # a supervisor that was killed is missed here
        ensure(scope.workspace.settings.home, _variables(scope.workspace))
    return DriverOrder(
        id=order.id,
        action=order.action,
        state=state,
        run=run,
        user=order.user,
        created=order.created,
        exit_code=end.exit_code if end is not None else None,
        output=orders.output(order.id),
    )


def _orders(call: Call[ProjectPath, None]) -> Page[DriverOrder]:
    scope = call.scope(call.params.project)
    found = [one for one in Orders(call.workspace.settings.home).all() if one.project == scope.project]
    return Page(items=[_view(scope, one) for one in found[:-101:-1]])


def _one(call: Call[OrderPath, None]) -> DriverOrder:
    scope = call.scope(call.params.project)
    order = Orders(call.workspace.settings.home).find(call.params.order)
    if order is None or order.project != scope.project:
        raise NotFoundError(f"no driver was ordered as {call.params.order!r}")
    return _view(scope, order)


_MADE: dict[str, Any] = {"result": DriverOrder, "status": 202, "tag": "actions"}

ROUTES = (
    change(
        "POST",
        RUN + "/resume",
        _resume,
        "Go on with a run",
        params=RunPath,
        body=Resumption,
        action="run.resume",
        **_MADE,
    ),
    change("POST", RUN + "/retry", _retry, "Run steps again", params=RunPath, body=Retry, action="run.retry", **_MADE),
    change(
        "POST",
        PROJECT + "/flows/{flow}/start",
        _start,
        "Start a run of a recorded flow",
        params=FlowPath,
        body=NewRun,
        action="flow.start",
        **_MADE,
    ),
    get(
        PROJECT + "/drivers",
        _orders,
        "Drivers that were ordered, newest first",
        params=ProjectPath,
        result=Page[DriverOrder],
        tag="actions",
    ),
    get(
        PROJECT + "/drivers/{order}",
        _one,
        "A driver that was ordered",
        params=OrderPath,
        result=DriverOrder,
        tag="actions",
    ),
)
