"""From a flow class and its parameters to a finished run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from headrace._base.sizes import parse_duration
from headrace._base.usercode import is_user_file, module_file
from headrace._base.variables import HAND_OVER
from headrace.frontends.metaflow.authoring.configs import ConfigValue, unwrap
from headrace.frontends.metaflow.authoring.decorators import flow_decorators
from headrace.frontends.metaflow.authoring.gangs import is_gang
from headrace.frontends.metaflow.authoring.graph import FlowGraph, graph_of
from headrace.frontends.metaflow.authoring.packages import attach_packages
from headrace.frontends.metaflow.authoring.parameters import Parameter, ParameterContext
from headrace.frontends.metaflow.client.providers import get_metadata
from headrace.frontends.metaflow.client.runfacts import fact_input
from headrace.frontends.metaflow.client.tags import RESUMED, check_count, check_tags, system_tags
from headrace.frontends.metaflow.current import GANGS, NAMESPACE, define
from headrace.frontends.metaflow.exceptions import (
    CommandException,
    CommandUsageException,
    Interrupted,
    MetaflowException,
    StepFailed,
)
from headrace.frontends.metaflow.identity import user_name
from headrace.frontends.metaflow.running.console import Console
from headrace.frontends.metaflow.running.imports import imports_of
from headrace.frontends.metaflow.running.plan import Ground, cluster_of, make_plans, set_up, unsupported_notes
from headrace.frontends.metaflow.running.runtime import KILLED, Runtime, last_words
from headrace.frontends.metaflow.settings import setting
from headrace.model.attempts import LogRules
from headrace.model.records import Input, RunRecord, task_text
from headrace.model.states import RunState
from headrace.model.values import Packed
from headrace.services.handing_over import HandedOver
from headrace.services.mainmodule import canonical_main
from headrace.services.places import Places
from headrace.services.session import NewSession, Reproduces, Resume, Session, recorded_details
from headrace.services.start import open_session, reopen_session
from headrace.services.stores import Stores
from headrace.stores import codecs
from headrace.wiring import Scope, WorkerOptions

_CUT = "[TRUNCATED - MAXIMUM LOG FILE SIZE REACHED]"


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says of a run, beside its parameters."""

    max_workers: int = 16
    max_num_splits: int = 100
    max_log_size: int = 10  # MiB of each stream of an attempt
    tags: tuple[str, ...] = ()
    decorators: tuple[str, ...] = ()
    run_id_file: str = ""
    attribute_file: str = ""
    namespace: str | None = None  # that tasks look in; empty: all
    quiet: bool = False
    project: dict[str, Any] = {}
    origin: RunRecord | None = None
    again: str = ""
    cache: bool = False
    debug: bool = False  # one task at a time, which keeps the terminal
    warm: bool = False  # tasks share processes
    place: str = ""  # where tasks run; empty: where those of ``origin`` did, else on this machine
    seed: int | None = None  # of random numbers; None: each task draws by chance
    triggers: list[dict[str, Any]] = []
    suffixes: str = ""  # of files that the run is to keep
    clone_only: bool = False  # run nothing, only take over what ``origin`` finished
    same_run: bool = False  # go on with ``origin`` itself, instead of taking over what it finished
    reproduces: Reproduces | None = None  # an earlier run that is run again as it is recorded
    environment: str = "local"
    words: tuple[str, ...] = ()  # options that bear on what tasks make, for a run that reproduces this one


def default_values(cls: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The value of every parameter, by attribute: given by its name, else its default.

    Raises:
        MetaflowException: a default cannot be had; CommandException: a required one is missing.
    """
    values = {}
    for attribute, parameter in cls._parameters().items():
        if parameter.name in given:
            values[attribute] = given[parameter.name]
            continue
        try:
            value = default_value(cls, parameter)
        except ValueError as error:
            raise CommandUsageException(f"Invalid default of --{parameter.name}: {error}") from None
        if value is None and parameter.required:
            name = parameter.name
            raise CommandException(f"Missing value for the required parameter *{name}*: give --{name} VALUE.")
        values[attribute] = value
    return values


def default_value(cls: Any, parameter: Parameter) -> Any:
    """The value of a parameter that is not given.

    Raises:
        MetaflowException: it cannot be had; ValueError: it does not fit the type.
    """
    define(vars(cls).get("_headrace_known", {}))
    return parameter.resolve_default(_context(cls, parameter))


def _context(cls: Any, parameter: Parameter) -> ParameterContext:
    values = vars(cls).get("_config_values", {})
    configs = ConfigValue({config.name: values.get(attribute) for attribute, config in cls._configs().items()})
    return ParameterContext(cls.__name__, user_name(), parameter.name, print, "local", configs)


def launch(cls: Any, values: dict[str, Any], options: RunOptions, scope: Scope) -> RunRecord:
    """Run a flow to its end, in ``scope``. ``values``: parameters by attribute.

    Raises:
        MetaflowException: it cannot be started, or failed; KeyboardInterrupt: it was stopped.
    """
    tags = tuple(check_tags(list(options.tags)))
    check_count(len(tags))
    canonical_main()
    attach_packages(cls, options.environment)
    graph = graph_of(cls)
    stores = scope.opened_stores()
    base = pack_base(cls, values, stores)
    driver = "cluster" if os.environ.get(HAND_OVER) else "here"
    entry, imports = entry_of(cls), imports_of(cls)
    how = WorkerOptions(preload=module_of(cls), debug=options.debug, entry=entry, imports=imports, driver=driver)
    places = scope.workspace.places(how, options.place or _place_of_origin(options, stores))
    workers = 1 if options.debug else max(1, options.max_workers)
    facts = run_facts(cls, options, tags)
    room = places.open(places.default).capacity.largest
    called, environment = pack_call(cls, stores), options.environment
    ground = Ground(
        *(room, workers, options.cache),
        called=called,
        warm=options.warm,
        environment=environment,
        place=places.default,
        clusters=places.clusters,
    )
    added = [name for name in cls._parameters() if name not in base]  # since the run that this one goes on from
    plans = make_plans(cls, (*base, *added), facts, options.decorators, ground)
    inputs = (
        *(Input(name, packed) for name, packed in base.items()),
        fact_input(cls, options.triggers, stores.artifacts, options.words),
    )
    params = tuple((name, _shown(value)) for name, value in {**values, **_configs(cls)}.items())
    new = _new_session(cls, options, inputs, params, workers, scope)
    if not (options.reproduces or options.same_run):  # those have their locks
        set_up(plans, places, os.path.dirname(entry.rpartition(":")[0]), quiet=options.quiet)  # noqa: PTH120
    seed = _seed(options, graph, stores)
    session = _open(stores, places, new, seed, options.same_run)
    console = Console(str(session.run.number), quiet=options.quiet)
    runtime = Runtime(session, graph, plans, base, console, options.max_num_splits)
    some = options.reproduces is not None and bool(options.reproduces.part)
    runtime.only_known = options.clone_only or some
    session.observe(runtime.tasks.happened, LogRules(cut=_CUT, killed=KILLED, failed=last_words))
    try:
        with session.interruptible():
            notes = [*unsupported_notes(cls, cluster=cluster_of(places.default, places.clusters))]
            record = _drive(session, runtime, console, notes, options)
    except (StepFailed, Interrupted):
        if options.reproduces is None:
            _call_hooks(cls, session, console, "on_error")
        raise
    if not (options.clone_only or options.reproduces):
        _call_hooks(cls, session, console, "on_success")
    return record


def _open(stores: Stores, places: Places, new: NewSession, seed: Resume | None, same_run: bool) -> Session:
    try:
        if seed is not None and same_run:
            return reopen_session(stores, places, new, seed)
        return open_session(stores, places, new, seed)
    except HandedOver as handed:
        handed.tell(os.environ[HAND_OVER])
        raise SystemExit(0) from None


def _new_session(
    cls: Any,
    options: RunOptions,
    inputs: tuple[Input, ...],
    params: tuple[tuple[str, str], ...],
    workers: int,
    scope: Scope,
) -> NewSession:
    """What the run records of itself; it has at most ``workers`` tasks at once."""
    entry = entry_of(cls)
    return NewSession(
        flow=cls.__name__,
        entry=entry,
        code=scope.workspace.code_rules(entry.rpartition(":")[0]),
        dialect="metaflow",
        inputs=inputs,
        params=params,
        tags=(
            *system_tags(user_name(), options.project),
            *_origin_tag(options),
            *((tag, "") for tag in check_tags(list(options.tags))),
        ),
        max_parallel=workers,
        stops_at_failure=True,
        log_limit=options.max_log_size << 20,
        store_wait=parse_duration(scope.settings.store_wait),
        seed=options.seed,
        files=_files(cls, options.suffixes),
        reproduces=options.reproduces,
    )


def _place_of_origin(options: RunOptions, stores: Stores) -> str:
    origin = options.origin
    return "" if origin is None else recorded_details(stores.metadata.run_by_id(origin.id) or origin).place


def _files(cls: Any, suffixes: str) -> tuple[tuple[str, str], ...]:
    """What the run keeps beside the files it imports; sources that cannot be read are left out."""
    mutated = any("_flow_mutators" in vars(kind) for kind in cls.__mro__)
    mutated |= any(function.config_decorators for function in cls._steps.values())
    if not (mutated or suffixes or setting("DEFAULT_PACKAGE_SUFFIXES")):
        return ()
    from headrace.frontends.metaflow.authoring.packaging import kept_files

    try:
        return tuple(kept_files(cls, suffixes).items())
    except Exception as error:
        print(f"Package creation failed for {cls.__name__}: {error}", file=sys.stderr)
        return ()


def _origin_tag(options: RunOptions) -> list[tuple[str, str]]:
    """Which run a new one takes over."""
    return [(RESUMED, str(options.origin.number))] if options.origin is not None and not options.same_run else []


def _call_hooks(cls: Any, session: Session, console: Console, kind: str) -> None:
    """Call what ``@exit_hook`` names, with the run where it takes one; the run is over, whatever they do."""
    if not flow_decorators(cls, "exit_hook"):
        return
    from headrace.frontends.metaflow.client.runs import Run, namespace

    for decorator in flow_decorators(cls, "exit_hook"):
        for named in decorator.attributes[kind]:
            namespace(None)
            try:
                hook = _hook(cls, named) if isinstance(named, str) else named
                hook(Run(session.run.name)) if hook.__code__.co_argcount else hook()
            except (Exception, SystemExit) as error:
                name = getattr(named, "__name__", named)
                console.say(f"The exit hook {name} failed: {type(error).__name__}: {error}", bad=True)


def _hook(cls: Any, name: str) -> Any:
    """The function that is named so: ``package.module.function``, or one of the flow's own file."""
    import importlib

    module, _, function = name.rpartition(".")
    return getattr(importlib.import_module(module) if module else sys.modules[cls.__module__], function)


def _seed(options: RunOptions, graph: FlowGraph, stores: Stores) -> Resume | None:
    if options.origin is None:
        return None
    ran = {one.step for one in stores.metadata.step_counts(options.origin.id)}
    again = tuple(_first_that_ran(graph, options.again, ran)) if options.again else ()
    return Resume(run=options.origin, again=again, reuse_changed=True)


def _first_that_ran(graph: FlowGraph, step: str, ran: set[str]) -> Iterator[str]:
    """The step itself, else those behind it that a run came to first by another way."""
    todo, seen = [step], {step}
    while todo:
        name = todo.pop()
        if name in ran:
            yield name
            continue
        for target in graph[name].out_funcs:
            if target not in seen:
                seen.add(target)
                todo.append(target)


def _drive(session: Session, runtime: Runtime, console: Console, notes: list[str], options: RunOptions) -> RunRecord:
    try:
        _write_files(session, options)
        for line in (f"Workflow starting (run-id {session.run.number}):", *notes):
            console.say(line)
        runtime.run()
    except BaseException as error:
        state = session.give_up(error)
        if isinstance(error, KeyboardInterrupt):
            console.say(f"Workflow {state}.", bad=True)
            console.flush()
            raise Interrupted(session.run.name) from error
        if isinstance(error, StepFailed):
            error.run = session.run.name
        console.flush()
        raise
    if runtime.failed:
        step, number = runtime.failed[0].id
        failed = str(runtime.failed[0].id)
        session.finish(RunState.FAILED, error=f"step {step} failed", failed_task=failed)
        console.flush()
        raise StepFailed(f"Step {step} (task-id {task_text(number)}) failed.", session.run.name, failed)
    if runtime.only_known and runtime.last is None:  # as far as it could be taken over
        if options.reproduces is not None:
            record = session.finish(RunState.INTERRUPTED, error=f"only {options.reproduces.part} was to run again")
        else:
            record = session.finish(RunState.INTERRUPTED, error="nothing was to run, only to be taken over")
            console.say(f"Taken over what was finished; nothing ran. `headrace resume {session.run.name}` goes on.")
    else:
        record = session.finish(RunState.SUCCEEDED)
        console.say("Done!")
    console.flush()
    return record


def pack_base(cls: Any, values: dict[str, Any], stores: Stores) -> dict[str, Packed]:
    """Parameters and constants as artifacts."""
    everything = {**cls._constants(), **_configs(cls), **values, "name": cls.__name__}
    packed = {}
    for name in sorted(everything):
        try:
            packed[name] = codecs.pack(everything[name], stores.artifacts)
        except TypeError as error:
            raise MetaflowException(f"The class attribute *{name}* cannot be stored: {error}") from error
    return packed


def pack_call(cls: Any, stores: Stores) -> Packed | None:
    """What the file calls the flow with, if that matters to a task.

    Raises:
        MetaflowException: it cannot be stored.
    """
    called = vars(cls).get("_called")
    if called is None or cls.__init__.__module__.startswith("headrace."):
        return None
    try:
        return codecs.pack(called, stores.artifacts)
    except TypeError as error:
        raise MetaflowException(f"{cls.__name__} is called with what cannot be stored: {error}") from error


def _configs(cls: Any) -> dict[str, Any]:
    return {name: unwrap(value) for name, value in vars(cls).get("_config_values", {}).items()}


def run_facts(cls: Any, options: RunOptions, tags: tuple[str, ...]) -> dict[str, Any]:
    """What ``current`` says of the run, the same in all its tasks."""
    user = user_name()
    return {
        "username": user,
        "namespace": f"user:{user}",
        "origin_run_id": str(options.origin.number) if options.origin is not None and not options.same_run else None,
        "parameter_names": sorted([*cls._parameters(), *cls._configs()]),
        "tags": list(tags),
        **({NAMESPACE: options.namespace or None} if options.namespace is not None else {}),
        **options.project,
        **({GANGS: True} if any(is_gang(one) for one in cls._steps.values()) else {}),
        **({"triggers": options.triggers} if options.triggers else {}),
    }


def module_of(cls: Any) -> tuple[str, ...]:
    """The module that workers load ahead, if it is one that can be imported."""
    module = sys.modules.get(cls.__module__)
    return (cls.__module__,) if getattr(module, "__file__", None) and cls.__module__ != "__main__" else ()


def entry_of(cls: Any) -> str:
    """Where a flow is, ``FILE:Class``: the script that runs it, which may have imported the class."""
    script = module_file(sys.modules["__main__"])
    file = script if script and is_user_file(script) else module_file(sys.modules[cls.__module__])
    return f"{file}:{cls.__qualname__}"


def _shown(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return repr(value)


def _write_files(session: Session, options: RunOptions) -> None:
    number = str(session.run.number)
    if options.run_id_file:
        write(options.run_id_file, number)
    if options.attribute_file:
        facts = {"run_id": number, "flow_name": session.run.flow, "metadata": get_metadata()}
        write(options.attribute_file, json.dumps(facts))


def write(path: str, text: str) -> None:
    """Write a small file, in a folder that is made if need be.

    Raises:
        MetaflowException: it cannot be written.
    """
    try:
        folder = os.path.dirname(path)  # noqa: PTH120
        if folder:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
        with open(path, "w") as file:  # noqa: PTH123
            file.write(text)
    except OSError as error:
        raise MetaflowException(f"The file *{path}* cannot be written: {error.strerror}.") from None
