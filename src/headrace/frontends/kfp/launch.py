"""From a pipeline and its arguments to a finished run."""

from __future__ import annotations

import datetime
import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from headrace._base.process import claim_standard_descriptors
from headrace._base.sizes import parse_duration
from headrace.frontends.kfp.contract import JobFacts
from headrace.frontends.kfp.graph import components_of, titles_of
from headrace.frontends.kfp.interpreter import Interpreter
from headrace.frontends.kfp.interrupts import InterruptGate
from headrace.frontends.kfp.ir import Pipeline
from headrace.frontends.kfp.plan import Conditions, Planner
from headrace.frontends.kfp.scope import CANCELLED, FAILED, SUCCEEDED, Ending
from headrace.frontends.kfp.values import compact
from headrace.frontends.kfp.workspaces import made_workspace
from headrace.model.errors import HeadraceError
from headrace.model.records import Input, RunRecord
from headrace.model.states import RunState
from headrace.runtime import secrets
from headrace.services.session import NewSession, Reproduces, Resume, Session, recorded_details
from headrace.services.start import open_session, reopen_session
from headrace.stores import codecs
from headrace.wiring import Scope, WorkerOptions

DIALECT = "kfp"
#: What exit tasks hear of the documented states where the setting ``final_state`` is "backend".
_BACKEND_STATES = {"SUCCEEDED": "COMPLETE"}


class PipelineFailedError(HeadraceError):
    """A task of the pipeline failed: ``path`` is its step, ``traceback`` is empty if it raised nothing."""

    def __init__(self, message: str, path: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.traceback = traceback


class Ended(msgspec.Struct, frozen=True):
    """A run that is over: the outputs of the pipeline, or what was wrong."""

    run: RunRecord
    value: Any
    error: BaseException | None


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """Where to run, and how."""

    scope: Scope
    entry: str  # FILE:NAME, from which the pipeline can be loaded again
    resume: Resume | None = None
    reproduces: Reproduces | None = None
    max_parallel: int = 0
    use_cache: bool = True
    tags: tuple[tuple[str, str], ...] = ()
    seed: int | None = None
    place: str = ""
    driver: str = "here"  # or "cluster"; empty: as the place says
    debug: bool = False
    containers: str = "auto"
    final_state: str = "documented"
    secrets: dict[str, tuple[str, ...]] = {}  # by label of the executor
    secret_values: dict[str, str] = {}


def run_pipeline(
    pipeline: Pipeline, arguments: dict[str, Any], how: Launch, began: Callable[[Session], None] | None = None
) -> Ended:
    """Run a pipeline that was checked to its end; ``began`` is told its session before it starts.

    Raises:
        HeadraceError: it cannot be started.
    """
    claim_standard_descriptors()
    session = _open(pipeline, arguments, how)
    if began is not None:
        began(session)
    if how.secret_values:
        share_secrets(session, how.secret_values)
    gate = InterruptGate()
    with session.interruptible(), gate.installed():
        return _drive(pipeline, arguments, session, how, gate)


def _open(pipeline: Pipeline, arguments: dict[str, Any], how: Launch) -> Session:
    scope = how.scope
    stores, settings = scope.opened_stores(), scope.settings
    file = how.entry.rpartition(":")[0]
    new = NewSession(
        flow=pipeline.name,
        entry=how.entry,
        dialect=DIALECT,
        code=scope.workspace.code_rules(file),
        files=() if file.endswith(".py") or not file else ((os.path.basename(file), file),),  # noqa: PTH119
        inputs=tuple(Input(name, codecs.pack(value, stores.artifacts)) for name, value in arguments.items()),
        params=tuple((name, compact(value)) for name, value in arguments.items()),
        tags=how.tags,
        max_parallel=1 if how.debug else how.max_parallel or settings.max_parallel,
        cleanup=parse_duration(settings.cleanup),
        store_wait=parse_duration(settings.store_wait),
        use_cache=how.use_cache,
        seed=how.seed,
        reproduces=how.reproduces,
        titles=titles_of(pipeline.spec),
    )
    before = how.resume.run if how.resume is not None else None
    place = how.place or (recorded_details(stores.metadata.run_by_id(before.id) or before).place if before else "")
    places = scope.workspace.places(WorkerOptions(debug=how.debug, entry=how.entry, driver=how.driver), place)
    if how.resume is not None:
        return reopen_session(stores, places, new, how.resume)
    return open_session(stores, places, new)


def planner_of(pipeline: Pipeline, session: Session, job: JobFacts, conditions: Conditions) -> Planner:
    """What makes calls of a pipeline's tasks, with all that its components need made ready.

    Raises:
        EnvironmentSetupError: a package, a Python, an image or a command is missing; the message names the task.
    """
    planner = Planner(pipeline, session, job, conditions)
    planner.prepare(components_of(pipeline.spec))
    return planner


def share_secrets(session: Session, values: Mapping[str, str]) -> None:
    """Let components have the values of secrets, and nobody see them."""
    secrets.known_values.update(values.values())
    session.share_secrets({secrets.of_step(name): value for name, value in values.items()})


def _drive(pipeline: Pipeline, arguments: dict[str, Any], session: Session, how: Launch, gate: InterruptGate) -> Ended:
    try:
        workspace = made_workspace(pipeline, job_facts(pipeline, session.run, how.scope.settings.home), session.cluster)
        job = workspace.job
        conditions = Conditions(
            room=session.place("").capacity.largest,
            home=how.scope.settings.home,
            cluster=session.cluster,
            workspace_claim=workspace.claim,
            use_cache=how.use_cache,
            containers=how.containers,
            secrets=how.secrets,
        )
        planner = planner_of(pipeline, session, job, conditions)
        states = _BACKEND_STATES if how.final_state == "backend" else {}
        interpreter = Interpreter(pipeline, session, planner, job, states)
        try:
            ending = interpreter.run(arguments, gate)
        except KeyboardInterrupt as error:
            interpreter.clean_up(gate)  # here: the engine takes calls of a flow that handles its interrupt
            return _interrupted(session, error)
        if ending.state == SUCCEEDED:
            workspace.drop()
        return _finish(session, interpreter, ending)
    except BaseException as error:
        if not session.finished:
            session.give_up(error)
        raise


def _interrupted(session: Session, error: KeyboardInterrupt) -> Ended:
    session.give_up(error)
    run = session.stores.metadata.run_by_id(session.run.id) or session.run
    if run.state is RunState.CANCELLED:
        return Ended(run, None, None)
    raise error


def _finish(session: Session, interpreter: Interpreter, ending: Ending) -> Ended:
    if ending.state == FAILED:
        assert interpreter.first_failure is not None
        path, error, task = interpreter.first_failure
        failed = str(task.id) if task is not None else ""
        traceback = task.problem.traceback if task is not None and task.problem is not None else ""
        run = session.finish(RunState.FAILED, error=error, traceback=traceback, failed_task=failed)
        message = f"{session.run.name}: task {path!r} failed: {error}"
        return Ended(run, None, PipelineFailedError(message, path, traceback))
    if ending.state == CANCELLED:  # the run was to run some tasks alone, or somebody cancelled one
        return Ended(session.finish(RunState.FAILED, error="a task was cancelled"), None, None)
    outputs: dict[str, Any] = {}
    for name, ref in ending.outputs.parameters.items():
        outputs[name] = ref.load(interpreter.store)
    for name, refs in ending.outputs.artifacts.items():
        loaded = [one.load(interpreter.store) for one in refs]
        outputs[name] = loaded[0] if len(loaded) == 1 else loaded
    run = session.finish(RunState.SUCCEEDED, result=(outputs,) if outputs else ())
    return Ended(run, outputs, None)


def job_facts(pipeline: Pipeline, run: RunRecord, home: str) -> JobFacts:
    """What placeholders say of a run whose store is in the folder ``home``."""
    name = f"{pipeline.name}-{run.number}"
    created = datetime.datetime.fromtimestamp(run.created, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    base = Path(home).absolute() / "kfp" / f"{run.project}-{name}"
    workspace = ""
    if pipeline.kubernetes.pipeline_config.get("workspace") is not None:
        workspace = str(base / "workspace")
    return JobFacts(
        name=name,
        resource_name=name,
        uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run.project}/{run.name}@{run.created!r}")),
        root=(pipeline.spec.default_pipeline_root or str(base / "root")).rstrip("/"),
        workspace=workspace,
        create_time=created,
        schedule_time=created,
    )
