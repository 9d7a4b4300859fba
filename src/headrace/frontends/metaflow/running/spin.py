"""``spin``: run one step again, alone, with the inputs that a task of an earlier run had.

A spun task is an ordinary run of one task, kept in a project of its own (``client.providers.SPIN``): no listing of runs
shows it, and ``resume`` does not find it. What it takes is named by content, as in the run it came
from: nothing is copied.
"""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import msgspec

from headrace.frontends.metaflow.authoring.decorators import FLOW_DEFAULTS, flow_decorators, keep_only
from headrace.frontends.metaflow.authoring.gangs import GANG_DECORATORS
from headrace.frontends.metaflow.client import runs as client
from headrace.frontends.metaflow.client.providers import get_metadata, spin_settings
from headrace.frontends.metaflow.client.runfacts import FACTS, fact_input
from headrace.frontends.metaflow.client.tags import SPUN, SPUN_WITHOUT, system_tags
from headrace.frontends.metaflow.current import SPUN_FACT
from headrace.frontends.metaflow.exceptions import (
    CommandException,
    MetaflowException,
    MetaflowNotFound,
    StepFailed,
)
from headrace.frontends.metaflow.identity import user_name
from headrace.frontends.metaflow.names import INPUTS, INTERNAL, TRANSITION, branch_input
from headrace.frontends.metaflow.running.console import Console
from headrace.frontends.metaflow.running.launch import (
    RunOptions,
    entry_of,
    module_of,
    pack_base,
    pack_call,
    run_facts,
    write,
)
from headrace.frontends.metaflow.running.livetasks import LiveTasks
from headrace.frontends.metaflow.running.plan import Ground, StepPlan, make_plans
from headrace.frontends.metaflow.running.runtime import FINISHED, last_words
from headrace.model.attempts import LogRules
from headrace.model.calls import Call, PendingInput, TaskHandle
from headrace.model.errors import NotFoundError, NotStorableError
from headrace.model.outcomes import Cancelled
from headrace.model.records import Input, TaskId, task_text
from headrace.model.states import RunState
from headrace.model.values import Packed
from headrace.services.mainmodule import canonical_main
from headrace.services.session import NewSession, Session
from headrace.services.start import open_session
from headrace.services.stores import Stores
from headrace.stores import codecs
from headrace.wiring import Scope, WorkerOptions

#: Decorators that have an effect on a spun step.
ALLOWED = ("conda", "pypi", "conda_base", "pypi_base", "environment", "project", "timeout", "card")
_FORMS = (
    "start",
    "42/start",
    "42/start/1",
    "{flow}/42/start",
    "{flow}/42/start/1",
)


class SpinOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says, beside the task."""

    skip_decorators: bool = False
    artifacts_module: str | None = None
    persist: bool = False
    run_id_file: str = ""
    attribute_file: str = ""
    quiet: bool = False
    project: dict[str, Any] = {}


# --- which task ---------------------------------------------------------------------------------------------------


def parse_pathspec(text: str, flow: str) -> tuple[str, str | None]:
    """The step that ``text`` names, and the full address of a step or task; None: of the latest run.

    Raises:
        CommandException: it is of none of the forms, or of another flow.
    """
    parts = text.split("/")
    if len(parts) == 1:
        return parts[0], None
    if len(parts) == 2 or (len(parts) == 3 and parts[0] != flow):
        parts = [flow, *parts]
    if len(parts) > 4:
        forms = "\n".join(f"  - {one.format(flow=flow)}" for one in _FORMS)
        raise CommandException(f"Invalid pathspec format: '{text}'.\nExpected one of:\n{forms}")
    if parts[0] != flow:
        raise CommandException(f"Flow name '{parts[0]}' in pathspec does not match current flow '{flow}'.")
    return parts[2], "/".join(parts)


def find_task(flow: str, step: str, address: str | None) -> Any:
    """The task whose inputs are taken: the one named, else the newest of the step.

    Raises:
        MetaflowNotFound: there is none; MetaflowNamespaceMismatch: it is somebody else's.
    """
    if address is not None and address.count("/") == 3:
        try:
            return client.Task(address, _namespace_check=False)
        except (MetaflowNotFound, NotFoundError):
            raise MetaflowException(
                f"Invalid pathspec: {address} for step: {step}. See `headrace show {flow}/{address.split('/')[1]}`."
            ) from None
    if address is None:
        run = client.Flow(flow).latest_run
        if run is None:
            raise MetaflowNotFound(f"No run found for flow {flow}: run it, or name a task in full, as 42/{step}/3")
        address = f"{run.pathspec}/{step}"
    try:
        found = client.Step(address).task
    except MetaflowNotFound:
        found = None
    if found is None:
        raise MetaflowNotFound(f"No task found for step {step} in run {address.split('/')[1]}")
    return found


# --- with what ----------------------------------------------------------------------------------------------------


def read_artifacts(path: str) -> dict[str, Any]:
    """``ARTIFACTS`` of a module: values by name; for a join, such dictionaries by ``run/step/task`` of its branches.

    Raises:
        CommandException: the file cannot be loaded, or has no such dictionary.
    """
    spec = importlib.util.spec_from_file_location("headrace_spin_artifacts", path)
    if spec is None or spec.loader is None:
        raise CommandException(f"--artifacts-module: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise CommandException(f"--artifacts-module: {path}: {type(error).__name__}: {error}") from error
    found = getattr(module, "ARTIFACTS", None)
    if not isinstance(found, dict):
        raise CommandException(f"--artifacts-module: {path} has no dictionary ARTIFACTS")
    return found


def _pack(name: Any, value: Any, stores: Stores) -> Packed:
    if not isinstance(name, str) or name in INTERNAL:
        raise CommandException(f"ARTIFACTS: {name!r} cannot be the name of an artifact")
    try:
        return codecs.pack(value, stores.artifacts)
    except NotStorableError as error:
        raise CommandException(f"ARTIFACTS: {name} cannot be stored: {error}") from error


def _inputs(origin: Any, base: dict[str, Packed], given: dict[str, Any], stores: Stores) -> tuple[PendingInput, ...]:
    """What the new task is given: what the old one was, but for ``given`` and for what leads to its run."""
    values = dict(base)
    joined: Input | None = None
    for one in origin._record.inputs:
        if one.name == INPUTS:
            joined = one
        elif one.name != TRANSITION:
            values[one.name] = one.value
    if joined is None:
        values |= {name: _pack(name, value, stores) for name, value in given.items()}
    else:
        values |= _branches(origin, joined, given, stores)
    return tuple(PendingInput(name, values[name]) for name in sorted(values))


def _branches(origin: Any, joined: Input, given: dict[str, Any], stores: Stores) -> dict[str, Packed]:
    """The branches of a join, each artifact of them an input by itself: their tasks are not of this run."""
    outputs: dict[TaskId, dict[str, Packed]] = {}
    values: dict[str, Packed] = {}
    for number, source in enumerate(joined.sources):
        task = TaskId(source.step, source.number)
        if task not in outputs:
            outputs[task] = {one.name: one.value for one in origin._run.metadata.artifacts(origin._run.id, task)}
        values[branch_input(number)] = outputs[task][source.output]
    shape = []
    branches: Any = codecs.unpack(joined.value, stores.artifacts)
    for step, frames, holes in branches:
        parent = joined.sources[holes[TRANSITION]]
        names = {name: branch_input(hole) for name, hole in holes.items()}
        branch = f"{origin.path_components[1]}/{TaskId(parent.step, parent.number)}"
        for name, value in given.get(branch, {}).items():
            names[name] = branch_input(len(values))
            values[names[name]] = _pack(name, value, stores)
        shape.append([step, frames, names])
    return {**values, INPUTS: codecs.pack(shape, stores.artifacts)}


def _base(cls: Any, origin: Any, stores: Stores) -> dict[str, Packed]:
    """Parameters, configs and constants: those of the origin's run, and what the class has got since."""
    before = {one.name: one.value for one in origin._run.record(complete=True).inputs if one.name != FACTS}
    defaults = {attribute: _plain_default(one) for attribute, one in cls._parameters().items()}
    now = pack_base(cls, {name: value for name, value in defaults.items() if name not in before}, stores)
    return {**now, **before}


def _plain_default(parameter: Any) -> Any:
    return None if callable(parameter.default) else parameter.default


# --- running it ---------------------------------------------------------------------------------------------------


def ignored(cls: Any, step: str, options: SpinOptions) -> list[str]:
    """Decorators of the step and the flow that have no effect, as lines to show.

    Raises:
        MetaflowException: one of them makes a spin impossible.
    """
    names = [one.name for one in cls._steps[step].decorators]
    for name in names:
        if name in GANG_DECORATORS:
            raise MetaflowException(f"Spinning steps with @{name} decorator is not supported.")
    if options.skip_decorators:
        return []
    notes = [("Step", name) for name in names if name not in ALLOWED]
    notes += [("Flow", name) for name in FLOW_DEFAULTS if name not in ALLOWED and flow_decorators(cls, name)]
    return [
        f"[Warning] Ignoring {kind} decorator '{name}' as it is not supported in spin steps." for kind, name in notes
    ]


def spin(cls: Any, step: str, origin: Any, options: SpinOptions, scope: Scope) -> None:
    """Run ``step`` with the inputs of task ``origin``, in ``scope``.

    Raises:
        MetaflowException: it cannot be started; StepFailed: it failed; KeyboardInterrupt: it was stopped.
    """
    canonical_main()
    only = () if options.skip_decorators else ALLOWED
    keep_only(cls, only)
    stores = scope.of(spin_settings(scope.settings).project).stores
    given = read_artifacts(options.artifacts_module) if options.artifacts_module else {}
    base = _base(cls, origin, stores)
    pending = _inputs(origin, base, given, stores)
    places = scope.workspace.places(WorkerOptions(preload=module_of(cls)))
    facts = {
        **run_facts(cls, RunOptions(project={} if options.skip_decorators else options.project), ()),
        SPUN_FACT: True,
    }
    ground = Ground(places.open(places.default).capacity.largest, 1, called=pack_call(cls, stores))
    plan = make_plans(cls, tuple(base), facts, (), ground)[step]
    plan.spec = msgspec.structs.replace(plan.spec, only=only, persist=options.persist)
    new = NewSession(
        flow=cls.__name__,
        entry=entry_of(cls),
        dialect="metaflow",
        inputs=(*(Input(name, packed) for name, packed in base.items()), fact_input(cls, [], stores.artifacts)),
        tags=(
            *system_tags(user_name(), options.project),
            (SPUN, origin.pathspec),
            *(() if options.persist else ((SPUN_WITHOUT, "artifacts"),)),
        ),
        max_parallel=1,
    )
    session = open_session(stores, places, new)
    try:
        if options.run_id_file:
            write(options.run_id_file, str(session.run.number))
    except MetaflowException as error:
        session.give_up(error)
        raise
    _drive(session, plan, pending, Console(str(session.run.number), quiet=options.quiet))
    if options.attribute_file:
        facts = {"task_id": "1", "step_name": step, "run_id": str(session.run.number), "flow_name": cls.__name__}
        write(options.attribute_file, json.dumps({**facts, "metadata": f"spin@{get_metadata().partition('@')[2]}"}))


def _drive(session: Session, plan: StepPlan, pending: tuple[PendingInput, ...], console: Console) -> None:
    tasks = LiveTasks(session, {plan.name: plan}, console)
    session.observe(tasks.happened, LogRules(failed=last_words))
    with session.interruptible():
        try:
            [task] = tasks.submit([(Call(plan.info(session), pending), lambda task: _show_end(task, console))])
            tasks.follow()
        except BaseException as error:
            session.give_up(error)
            console.flush()
            raise
    if task.problem is None:
        session.finish(RunState.SUCCEEDED)
        return
    state = RunState.CANCELLED if isinstance(task.problem, Cancelled) else RunState.FAILED
    session.finish(state, error=task.problem.error, failed_task=str(task.id))
    raise StepFailed(f"Step {task.id.step} (task-id {task_text(task.id.number)}) failed.")


def _show_end(task: TaskHandle, console: Console) -> None:
    console.ended(str(task.id), *([FINISHED] if task.problem is None else ()))


__all__ = ["ALLOWED", "SpinOptions", "find_task", "ignored", "parse_pathspec", "spin"]
