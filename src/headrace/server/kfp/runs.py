"""Runs as the API of Kubeflow Pipelines shows them."""

from __future__ import annotations

import time
from typing import Any

from headrace.model.records import RunRecord, TaskRecord
from headrace.model.states import RunState, TaskState
from headrace.server.drivers.orders import ORDER_TAG, Orders
from headrace.server.kfp.documents import moment
from headrace.services.run_rows import driver_of
from headrace.stores.metadata.protocol import RunFilter
from headrace.wiring import Scope

_RUN_STATES = {
    RunState.RUNNING: "RUNNING",
    RunState.SUCCEEDED: "SUCCEEDED",
    RunState.FAILED: "FAILED",
    RunState.CANCELLED: "CANCELED",
    RunState.INTERRUPTED: "CANCELED",
}
_TASK_STATES = {
    TaskState.RUNNING: "RUNNING",
    TaskState.SUCCEEDED: "SUCCEEDED",
    TaskState.FAILED: "FAILED",
    TaskState.CANCELLED: "CANCELED",
}
#: Tasks that one answer tells of.
_TASKS = 2_000


def record_of(scope: Scope, document: dict[str, Any]) -> RunRecord | None:
    """The run that a document stands for; None until its driver has begun it."""
    found = scope.metadata.runs(RunFilter(tags=(f"{ORDER_TAG}={document['order']}",), limit=1))
    return found[0] if found else None


def view(scope: Scope, document: dict[str, Any], *, tasks: bool = False) -> dict[str, Any]:
    """A run for an answer; with ``tasks`` the state of each of its tasks."""
    shown = {key: value for key, value in document.items() if key not in ("order", "later", "canceling")}
    run = record_of(scope, document)
    state, error = _state(scope, document, run)
    shown["state"] = state
    shown["state_history"] = [{"update_time": document["created_at"], "state": "PENDING"}]
    if run is not None:
        if state != "RUNNING":
            shown["state_history"].append({"update_time": moment(run.created), "state": "RUNNING"})
        shown["state_history"].append({"update_time": moment(run.finished or run.created), "state": state})
        if run.finished is not None and state not in ("RUNNING", "CANCELING"):
            shown["finished_at"] = moment(run.finished)
    if error:
        shown["error"] = {"code": 2, "message": error, "details": []}
    if tasks and run is not None:
        records = scope.metadata.tasks(run.id)[:_TASKS]
        shown["run_details"] = {"task_details": [_task(document["run_id"], one) for one in records]}
    return shown


def _state(scope: Scope, document: dict[str, Any], run: RunRecord | None) -> tuple[str, str]:
    orders = Orders(scope.workspace.settings.home)
    if run is None:
        order = document.get("later") or document["order"]
        if orders.state(order) == "ended":
            return "FAILED", orders.output(order).strip() or "its driver ended before the run had begun"
        return ("CANCELING" if document.get("canceling") else "PENDING"), ""
    later = document.get("later")
    if later and run.state is not RunState.RUNNING and orders.state(later) != "ended":
        return "PENDING", ""
    if run.state is RunState.RUNNING:
        if driver_of(scope.metadata, run) == "gone":
            return "FAILED", "the process that drove the run is gone; it can be retried"
        return ("CANCELING" if document.get("canceling") else "RUNNING"), ""
    return _RUN_STATES[run.state], run.error if run.state is RunState.FAILED else ""


def _task(run_id: str, task: TaskRecord) -> dict[str, Any]:
    name = f"{task.step}/{task.number}"
    shown: dict[str, Any] = {
        "run_id": run_id,
        "task_id": name,
        "display_name": task.step.rpartition(".")[2],  # its key, as the backend says it
        "create_time": moment(task.created),
        "state": _TASK_STATES.get(task.state, "PENDING"),
    }
    if task.started is not None:
        shown["start_time"] = moment(task.started)
    if task.finished is not None:
        shown["end_time"] = moment(task.finished)
    if task.error:
        shown["error"] = {"code": 2, "message": task.error, "details": []}
    return shown


def now() -> str:
    """The time, for ``created_at``."""
    return moment(time.time())
