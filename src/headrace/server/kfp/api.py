"""The handlers of the API: what ``kfp.Client`` asks for (reference: kubeflow/pipelines, backend/api/v2beta1).

Bodies and answers have keys in snake case. A *namespace* is a project of Headrace. A request without one is for the
project of the object whose id it names, else for the server's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from headrace.frontends.kfp import arguments, validation
from headrace.frontends.kfp.errors import PipelineError
from headrace.frontends.kfp.ir import Pipeline
from headrace.frontends.kfp.pipeline_file import parse_pipeline, pipeline_of
from headrace.model.errors import HeadraceError
from headrace.model.states import RunState
from headrace.server.drivers.orders import Order, Orders
from headrace.server.drivers.supervisor import ensure
from headrace.server.kfp import runs
from headrace.server.kfp.documents import Documents, new_id, project_of
from headrace.server.kfp.filters import FilterError, matches
from headrace.services.control import request_cancel
from headrace.settings import place_variables
from headrace.wiring import Scope

_DEFAULT = "Default"
#: Codes of gRPC that errors carry beside their HTTP status.
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 413: 8, 500: 13, 501: 12}


class KfpError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Request(msgspec.Struct, frozen=True):
    """A request: the ids of its path, its query, its body; ``file`` is an upload.

    ``sees`` says whether who asks may see another project.
    """

    scope: Scope
    ids: tuple[str, ...]
    query: dict[str, str]
    body: dict[str, Any]
    file: bytes = b""
    may_drive: bool = True
    sees: Callable[[str], bool] = lambda _: False

    @property
    def documents(self) -> Documents:
        """What is kept of the project."""
        return Documents(self.scope.workspace.settings.home, self.scope.project)


def _found(documents: Documents, kind: str, name: str) -> dict[str, Any]:
    document = documents.get(kind, name)
    if document is None:
        raise KfpError(404, f"there is no {kind.removesuffix('s')} {name!r}")
    return document


def _page(request: Request, key: str, documents: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A page of a list, filtered and sorted as the query says."""
    try:
        found = [one for one in documents if matches(one, request.query.get("filter", ""))]
    except FilterError as error:
        raise KfpError(400, str(error)) from None
    field, _, direction = (request.query.get("sort_by") or "created_at desc").partition(" ")
    found.sort(
        key=lambda one: str(one.get("display_name" if field == "name" else field, "")), reverse="desc" in direction
    )
    try:
        start, size = int(request.query.get("page_token") or 0), int(request.query.get("page_size") or 10)
    except ValueError:
        raise KfpError(400, "page_token and page_size must be numbers") from None
    page = found[max(0, start) : max(0, start) + max(1, min(size, 1_000))]
    after = max(0, start) + len(page)
    return {key: page, "total_size": len(found), "next_page_token": str(after) if after < len(found) else ""}


# --- experiments ------------------------------------------------------------------------------------------------


def create_experiment(request: Request) -> Any:
    """``POST /experiments``: the one of that name, if there is one."""
    name = _name(request.body)
    for one in request.documents.all("experiments"):
        if one["display_name"] == name:
            return one
    return _experiment(request, name, str(request.body.get("description", "")))


def _experiment(request: Request, name: str, description: str = "") -> dict[str, Any]:
    made = {
        "experiment_id": new_id(),
        "display_name": name,
        "description": description,
        "created_at": runs.now(),
        "namespace": str(request.body.get("namespace") or ""),
        "storage_state": "AVAILABLE",
    }
    request.documents.put("experiments", made["experiment_id"], made)
    return made


def _name(body: dict[str, Any]) -> str:
    name = body.get("display_name") or body.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > 500:
        raise KfpError(400, "display_name must be a text that is not empty")
    return name


def _getter(kind: str) -> Callable[[Request], Any]:
    return lambda request: _found(request.documents, kind, request.ids[-1])


def _lister(kind: str, key: str) -> Callable[[Request], Any]:
    return lambda request: _page(request, key, request.documents.all(kind))


def _setter(kind: str, **fields: Any) -> Callable[[Request], Any]:
    def change(request: Request) -> Any:
        request.documents.put(kind, request.ids[-1], {**_found(request.documents, kind, request.ids[-1]), **fields})
        return {}

    return change


def _deleter(kind: str) -> Callable[[Request], Any]:
    def delete(request: Request) -> Any:
        _found(request.documents, kind, request.ids[-1])
        request.documents.delete(kind, request.ids[-1])
        return {}

    return delete


# --- pipelines --------------------------------------------------------------------------------------------------


def upload_pipeline(request: Request) -> Any:
    """``POST /pipelines/upload``: a pipeline with its first version."""
    told, spec = _uploaded(request)
    name = request.query.get("display_name") or request.query.get("name") or told.name
    if any(one["display_name"] == name for one in request.documents.all("pipelines")):
        raise KfpError(409, f"there is a pipeline {name!r}; upload a version of it")
    made = _pipeline(request, name, request.query.get("description", told.spec.pipeline_info.description))
    _version(request, made["pipeline_id"], name, spec)
    return made


def upload_version(request: Request) -> Any:
    """``POST /pipelines/upload_version``."""
    told, spec = _uploaded(request)
    pipeline = _found(request.documents, "pipelines", request.query.get("pipelineid", ""))
    name = request.query.get("display_name") or request.query.get("name") or told.name
    return _version(request, pipeline["pipeline_id"], name, spec)


def create_pipeline(request: Request) -> Any:
    """``POST /pipelines``: a pipeline without a version."""
    return _pipeline(request, _name(request.body), str(request.body.get("description", "")))


def _uploaded(request: Request) -> tuple[Pipeline, dict[str, Any]]:
    pipeline = parse_pipeline(request.file, "the uploaded file")
    validation.check(pipeline, pipeline.name)
    spec = msgspec.to_builtins(pipeline.spec)
    platform = msgspec.to_builtins(pipeline.platform)
    has_platform = bool(pipeline.platform.platforms)
    return pipeline, {"pipeline_spec": spec, "platform_spec": platform} if has_platform else spec


def _pipeline(request: Request, name: str, description: str) -> dict[str, Any]:
    made = {
        "pipeline_id": new_id(),
        "display_name": name,
        "name": name,
        "description": description,
        "created_at": runs.now(),
        "namespace": str(request.query.get("namespace") or ""),
    }
    request.documents.put("pipelines", made["pipeline_id"], made)
    return made


def _version(request: Request, pipeline: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    if any(one["display_name"] == name for one in _versions(request.documents, pipeline)):
        raise KfpError(409, f"the pipeline has a version {name!r}")
    made: dict[str, Any] = {
        "pipeline_id": pipeline,
        "pipeline_version_id": new_id(),
        "display_name": name,
        "name": name,
        "description": request.query.get("description", ""),
        "created_at": runs.now(),
        "pipeline_spec": spec,
    }
    request.documents.put("versions", made["pipeline_version_id"], made)
    return made


def _versions(documents: Documents, pipeline: str) -> list[dict[str, Any]]:
    return [one for one in documents.all("versions") if one["pipeline_id"] == pipeline]


def list_versions(request: Request) -> Any:
    """``GET /pipelines/{id}/versions``."""
    _found(request.documents, "pipelines", request.ids[0])
    return _page(request, "pipeline_versions", _versions(request.documents, request.ids[0]))


def delete_pipeline(request: Request) -> Any:
    """``DELETE /pipelines/{id}``: refused while it has versions, unless ``cascade`` says so."""
    _found(request.documents, "pipelines", request.ids[0])
    versions = _versions(request.documents, request.ids[0])
    if versions and request.query.get("cascade", "").lower() != "true":
        raise KfpError(400, f"the pipeline has {len(versions)} versions; delete them first, or say cascade=true")
    for one in versions:
        request.documents.delete("versions", one["pipeline_version_id"])
    request.documents.delete("pipelines", request.ids[0])
    return {}


# --- runs -------------------------------------------------------------------------------------------------------


def create_run(request: Request) -> Any:
    """``POST /runs``: check the pipeline and its arguments, and order a driver."""
    if not request.may_drive:
        raise KfpError(403, "this server starts no runs (headrace server --drivers does)")
    body = request.body
    reference = _mapping(body, "pipeline_version_reference")
    spec = body.get("pipeline_spec")
    if spec is None:
        spec = _referenced(request, reference)["pipeline_spec"]
    if not isinstance(spec, dict):
        raise KfpError(400, "pipeline_spec must be a mapping")
    pipeline = pipeline_of([spec], "pipeline_spec")
    validation.check(pipeline, pipeline.name)
    config = _mapping(body, "runtime_config")
    values = arguments.bind(pipeline, _mapping(config, "parameters"))
    run_id, order = new_id(), os.urandom(12).hex()
    told = {
        "pipeline_spec": msgspec.to_builtins(pipeline.spec),
        "platform_spec": msgspec.to_builtins(pipeline.platform),
    }
    file = request.documents.put_file(run_id, msgspec.json.encode(told))
    made: dict[str, Any] = {
        "run_id": run_id,
        "display_name": str(body.get("display_name") or pipeline.name)[:500],
        "description": str(body.get("description", "")),
        "experiment_id": str(body.get("experiment_id") or _default_experiment(request)),
        "storage_state": "AVAILABLE",
        "created_at": runs.now(),
        "scheduled_at": runs.now(),
        "runtime_config": config,
        "service_account": str(body.get("service_account", "")),
        **({"pipeline_version_reference": reference} if reference else {"pipeline_spec": spec}),
        "order": order,
    }
    request.documents.put("runs", run_id, made)
    _order(request, order, "start", ("run", str(file)), values)
    return runs.view(request.scope, made)


def _mapping(body: dict[str, Any], name: str) -> dict[str, Any]:
    found = body.get(name) or {}
    if not isinstance(found, dict):
        raise KfpError(400, f"{name} must be a mapping")
    return found


def _referenced(request: Request, reference: dict[str, Any]) -> dict[str, Any]:
    """The version of a pipeline that is to run, which may be in another project than the run."""
    version, pipeline = (str(reference.get(f"pipeline_{one}") or "") for one in ("version_id", "id"))
    kept = project_of(request.scope.workspace.settings.home, (version, pipeline))
    is_elsewhere = kept and kept != request.scope.project and request.sees(kept)
    documents = Documents(request.scope.workspace.settings.home, kept) if is_elsewhere else request.documents
    if version:
        return _found(documents, "versions", version)
    versions = _versions(documents, pipeline)
    if not versions:
        raise KfpError(400, "a run needs a pipeline_spec, or a pipeline_version_reference to a pipeline with a version")
    return max(versions, key=lambda one: str(one["created_at"]))


def _default_experiment(request: Request) -> str:
    for one in request.documents.all("experiments"):
        if one["display_name"] == _DEFAULT:
            return str(one["experiment_id"])
    return str(_experiment(request, _DEFAULT)["experiment_id"])


def _order(request: Request, order: str, action: str, words: tuple[str, ...], values: dict[str, Any]) -> None:
    scope = request.scope
    settings = scope.workspace.settings
    Orders(settings.home).place(
        Order(
            id=order,
            action=action,
            project=scope.project,
            run="",
            user=scope.actor.user,
            created=time.time(),
            words=words,
            parameters=values,
        )
    )
    ensure(settings.home, place_variables(msgspec.structs.asdict(settings)))


def get_run(request: Request) -> Any:
    """``GET /runs/{id}``."""
    return runs.view(request.scope, _found(request.documents, "runs", request.ids[0]), tasks=True)


def list_runs(request: Request) -> Any:
    """``GET /runs``."""
    experiment = request.query.get("experiment_id")
    found = [one for one in request.documents.all("runs") if not experiment or one["experiment_id"] == experiment]
    if "state" in request.query.get("filter", "") + request.query.get("sort_by", ""):  # which the run alone knows
        return _page(request, "runs", [runs.view(request.scope, one) for one in found])
    page = _page(request, "runs", found)
    return {**page, "runs": [runs.view(request.scope, one) for one in page["runs"]]}


def terminate_run(request: Request) -> Any:
    """``POST /runs/{id}:terminate``."""
    document = _found(request.documents, "runs", request.ids[0])
    request.documents.put("runs", request.ids[0], {**document, "canceling": True})
    run = runs.record_of(request.scope, document)
    if run is None:
        raise KfpError(409, "the run has not begun yet; terminate it once it runs")
    if run.state is RunState.RUNNING:
        request_cancel(request.scope.metadata, run, request.scope.actor, time.time())
    return {}


def retry_run(request: Request) -> Any:
    """``POST /runs/{id}:retry``: go on with it."""
    if not request.may_drive:
        raise KfpError(403, "this server starts no runs (headrace server --drivers does)")
    document = _found(request.documents, "runs", request.ids[0])
    run = runs.record_of(request.scope, document)
    if run is None or run.state is RunState.RUNNING:
        raise KfpError(400, "a run can be retried after it has ended")
    order = os.urandom(12).hex()
    later = {key: value for key, value in document.items() if key != "canceling"} | {"later": order}
    request.documents.put("runs", request.ids[0], later)
    _order(request, order, "resume", ("resume", run.name), {})
    return {}


# --- recurring runs ---------------------------------------------------------------------------------------------


def create_recurring(request: Request) -> Any:
    """``POST /recurringruns``: kept, and refused where it would have to fire by itself."""
    if request.body.get("trigger"):
        raise KfpError(501, "this server has no schedules yet: a recurring run with a trigger cannot be created")
    made: dict[str, Any] = {
        **request.body,
        "recurring_run_id": new_id(),
        "display_name": _name(request.body),
        "created_at": runs.now(),
        "updated_at": runs.now(),
        "status": "DISABLED" if request.body.get("mode") == "DISABLE" else "ENABLED",
        "max_concurrency": str(request.body.get("max_concurrency", 1)),
    }
    request.documents.put("recurring", made["recurring_run_id"], made)
    return made


def health(request: Request) -> Any:
    """``GET /healthz``."""
    return {"multi_user": False, "pipeline_store": ""}


#: Method, path (``*`` is an id) -> handler. Kinds of lists have the keys that the client expects.
HANDLERS: dict[tuple[str, str], Callable[[Request], Any]] = {
    ("GET", "healthz"): health,
    ("POST", "experiments"): create_experiment,
    ("GET", "experiments"): _lister("experiments", "experiments"),
    ("GET", "experiments/*"): _getter("experiments"),
    ("DELETE", "experiments/*"): _deleter("experiments"),
    ("POST", "experiments/*:archive"): _setter("experiments", storage_state="ARCHIVED"),
    ("POST", "experiments/*:unarchive"): _setter("experiments", storage_state="AVAILABLE"),
    ("POST", "pipelines"): create_pipeline,
    ("GET", "pipelines"): _lister("pipelines", "pipelines"),
    ("POST", "pipelines/upload"): upload_pipeline,
    ("POST", "pipelines/upload_version"): upload_version,
    ("GET", "pipelines/*"): _getter("pipelines"),
    ("DELETE", "pipelines/*"): delete_pipeline,
    ("GET", "pipelines/*/versions"): list_versions,
    ("GET", "pipelines/*/versions/*"): _getter("versions"),
    ("DELETE", "pipelines/*/versions/*"): _deleter("versions"),
    ("POST", "runs"): create_run,
    ("GET", "runs"): list_runs,
    ("GET", "runs/*"): get_run,
    ("DELETE", "runs/*"): _deleter("runs"),
    ("POST", "runs/*:terminate"): terminate_run,
    ("POST", "runs/*:retry"): retry_run,
    ("POST", "runs/*:archive"): _setter("runs", storage_state="ARCHIVED"),
    ("POST", "runs/*:unarchive"): _setter("runs", storage_state="AVAILABLE"),
    ("POST", "recurringruns"): create_recurring,
    ("GET", "recurringruns"): _lister("recurring", "recurringRuns"),
    ("GET", "recurringruns/*"): _getter("recurring"),
    ("DELETE", "recurringruns/*"): _deleter("recurring"),
    ("POST", "recurringruns/*:enable"): _setter("recurring", status="ENABLED", mode="ENABLE"),
    ("POST", "recurringruns/*:disable"): _setter("recurring", status="DISABLED", mode="DISABLE"),
}


def answer(request: Request, method: str, path: str) -> Any:
    """What a handler says.

    Raises:
        KfpError: the answer is not 200.
    """
    handler = HANDLERS.get((method, path))
    if handler is None:
        raise KfpError(404, f"there is no {method} {path}")
    try:
        return handler(request)
    except PipelineError as error:
        raise KfpError(400, str(error)) from None
    except HeadraceError as error:
        raise KfpError(409, str(error)) from None
