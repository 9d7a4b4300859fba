"""One task of a Metaflow flow, in a worker: artifacts in, the step's function, artifacts out.

``run_step`` is the raw function of every step (see ``runtime.raw``). Outputs are the artifacts that the step made or
changed; what it inherits and leaves alone is not written again. ``_transition`` says where the flow goes on.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from headrace._base.backports import add_note
from headrace._base.frames import is_ours
from headrace.frontends.metaflow import current as current_module
from headrace.frontends.metaflow.authoring.configs import ConfigValue, wrap
from headrace.frontends.metaflow.authoring.decorators import Decorator, find, keep_only
from headrace.frontends.metaflow.authoring.flowspec import STATE, Artifacts, FlowBase, Inputs, bare, make
from headrace.frontends.metaflow.authoring.gangs import ALONE, place_of, set_environment
from headrace.frontends.metaflow.authoring.graph import graph_of
from headrace.frontends.metaflow.authoring.graphinfo import graph_info
from headrace.frontends.metaflow.authoring.packages import attach_packages
from headrace.frontends.metaflow.authoring.parameters import IncludeFile, Parameter
from headrace.frontends.metaflow.authoring.prepare import prepare
from headrace.frontends.metaflow.authoring.projects import Naming
from headrace.frontends.metaflow.authoring.splits import Frame, Transition
from headrace.frontends.metaflow.authoring.userdecorators import call_wrapped
from headrace.frontends.metaflow.exceptions import (
    ArtifactNotStorable,
    FailureHandledByCatch,
    MetaflowException,
    MetaflowExceptionWrapper,
    TimeoutException,
    trace_of,
    without_stars,
)
from headrace.frontends.metaflow.names import ATTEMPT, FLOW_NAME, FOREACH, INPUTS, SUCCESS, TRANSITION, is_artifact
from headrace.frontends.metaflow.running import process_exit
from headrace.frontends.metaflow.standin import SHIM, find_first
from headrace.model.errors import BlobError, NotStorableError
from headrace.model.messages import Output
from headrace.model.values import Packed
from headrace.runtime import context, registry
from headrace.runtime.raw import RawCall
from headrace.services.tracebacks import users_frames

if TYPE_CHECKING:
    from headrace.frontends.metaflow.cards.attask import CardMaker

_NOT_ARTIFACTS = (MethodType, FunctionType, Parameter)


class StepSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker needs to run a step: where its class is, and what the run is."""

    step: str
    flow: str
    home: int
    slot: int
    module: str
    qualname: str
    constants: tuple[str, ...]
    retries: int
    targets: tuple[str, ...]  # where a step goes on whose failure is caught
    decorators: tuple[str, ...] = ()  # ``--with``
    configs: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    only: tuple[str, ...] | None = None  # decorators that count; None: all
    persist: bool = True
    environment: str = "local"  # ``--environment``
    called: Packed | None = None  # what the file calls the class with; None: the class was not called
    alone: bool = True  # whether the attempt has its process for itself
    main: str = ""  # the module that is the running script: users know it as ``__main__``

    def __call__(self, call: RawCall) -> dict[str, Any]:
        """Run one attempt."""
        try:
            return run_step(self, call)
        except BlobError:  # an input is to be made again
            raise
        except Exception as error:
            if isinstance(error, MetaflowException) and error is not _told.get("error"):
                error.message = without_stars(error.message)
                print(f"{error.headline}:\n    {error}", file=sys.stderr)
            elif error is not _told.get("error"):  # not the step itself: what comes before it or after
                _report(self, error)
            raise
        finally:
            _told.clear()


def run_step(spec: StepSpec, call: RawCall) -> dict[str, Any]:
    """Run one attempt of a step; the outputs by name."""
    flow, inputs = open_flow(spec, call)
    state: Artifacts = flow.__dict__[STATE]
    function = type(flow)._steps[spec.step]
    tries = call.tries
    os.environ.update(METAFLOW_RUN_ID=call.task.split("/")[1], PYTHONUNBUFFERED="x")  # for programs that it starts
    cards = _cards(function, flow, call, state) if find(function, "card") is not None else None
    current_module.enter({**task_facts(spec, call, state), **({"card": cards.current} if cards is not None else {})})
    process_exit.begin(spec.alone)
    try:
        caught = _run_caught(spec, function, flow, inputs, tries)
        outputs = _outputs(flow, state) if spec.persist else {}
        if caught:
            outputs[SUCCESS] = False
            context.do_not_reuse()  # it may not fail again
        if cards is not None:
            cards.finish(outputs)
    except Exception as error:
        if cards is not None and tries > spec.retries and not isinstance(error, BlobError):
            cards.fail(error)
        raise
    finally:
        try:
            process_exit.end(spec.alone)  # what runs until then, and at the exit, is part of the task yet
        finally:
            current_module.leave()
            del flow.__dict__[STATE]
    if not spec.persist:
        return {}
    transition = state.transition
    outputs[TRANSITION] = None if transition is None else transition.as_list()
    return outputs


def open_flow(spec: StepSpec, call: RawCall) -> tuple[Any, Inputs | None]:
    """``self`` and ``inputs`` of the step, as they are before it runs; ``self`` is to lose ``STATE`` after that."""
    cls = _flow_class(spec)
    flow = make(cls, call.load(spec.called) if spec.called is not None else None)
    state, inputs = _artifacts(spec, call, cls)
    state.step = spec.step
    for name in spec.constants:  # set in an ``__init__``, which does not change them
        flow.__dict__.pop(name, None)
    flow.__dict__[STATE] = state
    return flow, inputs


def _cards(function: Any, flow: Any, call: RawCall, state: Artifacts) -> CardMaker:
    from headrace.frontends.metaflow.cards.attask import CardMaker

    return CardMaker(function, flow, call, state.table)


# --- the class and its instance -----------------------------------------------------------------------------------

_classes: dict[tuple[str, ...], Any] = {}


def _flow_class(spec: StepSpec) -> Any:
    key = (spec.module, spec.qualname, *spec.decorators, *(() if spec.only is None else ("only", *spec.only)))
    cls = _classes.get(key)
    if cls is None:
        cls = registry.registered(spec.home, spec.slot)
        if cls is None:
            import importlib

            find_first(SHIM)  # a worker of an environment begins with its packages alone
            cls = sys.modules.get(spec.module) or importlib.import_module(spec.module)
            for part in spec.qualname.split("."):
                cls = getattr(cls, part)
            prepare(cls, {}, {}, spec.facts["username"], spec.configs, _naming(spec), added=spec.decorators)
            attach_packages(cls, spec.environment)
            if spec.only is not None:
                keep_only(cls, spec.only)
        graph_info(cls)
        for name in spec.constants:
            fixed = _fixed(name, getattr(cls, name, None), _form(cls, name, spec))
            setattr(cls, name, FlowBase.name if name == FLOW_NAME else fixed)  # in place of what a class puts there
        _classes[key] = cls
    return cls


def _naming(spec: StepSpec) -> Naming:
    """What the command line said of the project of the run."""
    kind, _, branch = spec.facts.get("branch_name", "").partition(".")
    return Naming(branch if kind != "user" and branch else None, kind == "prod")


def _form(cls: Any, name: str, spec: StepSpec) -> Callable[[Any], Any] | None:
    """What makes the value that steps see of the one that is stored."""
    if name in spec.configs:
        return wrap
    parameter = cls._parameters().get(name)
    return parameter.look if isinstance(parameter, IncludeFile) else None


def _fixed(name: str, declared: Any, form: Callable[[Any], Any] | None) -> property:
    """A parameter or constant as steps see it: the value that the run began with, which cannot be set.

    In the ``__init__`` of a flow it is what the class ``declared``; to set it there has no effect.
    """

    def get(self: FlowBase) -> Any:
        if STATE not in self.__dict__:
            return self.__dict__.get(name, declared)
        value = self.__dict__[STATE].constant(name)
        return value if form is None else form(value)

    def refuse(self: FlowBase, value: Any) -> None:
        if STATE in self.__dict__:
            raise AttributeError("Flow level attributes and Parameters are not modifiable")
        self.__dict__[name] = value

    return property(get, refuse)


# --- artifacts in -------------------------------------------------------------------------------------------------


def _artifacts(spec: StepSpec, call: RawCall, cls: Any) -> tuple[Artifacts, Inputs | None]:
    constants = frozenset(spec.constants)
    arguments = call.arguments
    stack = [Frame(*frame) for frame in call.load(arguments[FOREACH].value)] if FOREACH in arguments else []
    table = {name: one.value for name, one in arguments.items() if is_artifact(name)}
    state = Artifacts(call, table, constants, stack)
    if INPUTS not in arguments:
        return state, None
    state.is_join = True
    argument = arguments[INPUTS]
    branches: list[Any] = call.load(argument.value)
    flows = []
    for step, frames, holes in branches:
        branch = dict(table)
        for name, hole in holes.items():  # of a spun join, an artifact of a branch is an input by itself
            if is_artifact(name):
                branch[name] = argument.fills[hole] if type(hole) is int else arguments[hole].value
        flow = bare(cls)
        one = flow.__dict__[STATE] = Artifacts(call, branch, constants, [Frame(*frame) for frame in frames])
        one.step, one.ended, one.caught = step, True, SUCCESS in holes
        flows.append((step, flow))
    return state, Inputs(flows)


def task_facts(spec: StepSpec, call: RawCall, state: Artifacts) -> dict[str, Any]:
    """What ``current`` knows in the task."""
    _, run, _, task = call.task.split("/")
    facts = {
        **spec.facts,
        "flow_name": spec.flow,
        "run_id": run,
        "step_name": spec.step,
        "task_id": task,
        "retry_count": call.tries - 1,
        "pathspec": call.task,
        "is_running_flow": True,
        "graph": lambda: graph_info(_flow_class(spec)),
        "graph_info": lambda: graph_info(_flow_class(spec)),
        "tags": set(spec.facts.get("tags", ())),
    }
    if "triggers" in spec.facts:
        facts["trigger"] = lambda: _trigger(spec)
    place = place_of(state.stack, call.task, call.gang.address if call.gang is not None else "")
    if place is not None:
        facts["parallel"], facts["is_parallel"] = place, True
    if current_module.GANGS in facts:
        facts[current_module.GANGS] = ALONE
    return facts


def _trigger(spec: StepSpec) -> Any:
    from headrace.frontends.metaflow.client.runs import Trigger

    return Trigger(spec.facts["triggers"])


# --- running ------------------------------------------------------------------------------------------------------


def _run_caught(spec: StepSpec, function: Any, flow: Any, inputs: Inputs | None, tries: int) -> bool:
    """Run the step, with ``@catch`` where it has it. True: it failed and that was caught."""
    catch = find(function, "catch")
    state: Artifacts = flow.__dict__[STATE]
    var = catch.attributes["var"] if catch is not None else None
    if catch is not None and tries > spec.retries + 1:  # the process died in all real attempts
        try:
            raise FailureHandledByCatch(spec.retries)  # to have a traceback
        except FailureHandledByCatch as error:
            _catch(spec, catch, flow, error)
        return True
    try:
        _call(spec, function, flow, inputs)
    except BlobError:
        raise
    except BaseException as error:  # SystemExit and the like are caught as well
        _leave_out_ours(error)
        if catch is None or tries <= spec.retries:
            raised = error if isinstance(error, Exception) else None
            if raised is not None:
                _advise(raised, flow, inputs)
                _report(spec, raised, flow)
            else:
                _tell(spec, error)
            _keep_what_failed(spec, flow, state, raised, last=tries > spec.retries)
            raise
        _catch(spec, catch, flow, error)
        return True
    if var:
        setattr(flow, var, None)
    return False


def _catch(spec: StepSpec, catch: Decorator, flow: Any, error: BaseException) -> None:
    """Say what was caught, keep it as an artifact, and go on as the graph has it."""
    if catch.attributes["print_exception"]:
        print(f"@catch caught an exception from {_shown(spec, flow)}")
        _print_trace(spec, error, ">  ", sys.stdout)
    if catch.attributes["var"]:
        setattr(flow, catch.attributes["var"], _wrapped(spec, error))
    flow.__dict__[STATE].transition = Transition(list(spec.targets)) if spec.targets else None


def _wrapped(spec: StepSpec, error: BaseException) -> MetaflowExceptionWrapper:
    """An exception as an artifact; what the flow's own file defines is of ``__main__`` there."""
    wrapper = MetaflowExceptionWrapper(error)
    module, _, name = wrapper.type.rpartition(".")
    if module == spec.main:
        wrapper.type = f"__main__.{name}"
        wrapper.stacktrace = _of_main(spec, wrapper.stacktrace or "") or None
    return wrapper


def _of_main(spec: StepSpec, trace: str) -> str:
    """A traceback as Python writes it when the flow's file is the script: without its name before its classes."""
    if not spec.main:
        return trace
    return "".join(line.removeprefix(f"{spec.main}.") for line in trace.splitlines(keepends=True))


def _keep_what_failed(spec: StepSpec, flow: Any, state: Artifacts, error: BaseException | None, *, last: bool) -> None:
    """Log the artifacts of a failed attempt and its exception, so that one can look at them."""
    attempt = context.current()
    if attempt is None or not spec.persist:
        return
    mark = "" if last else f"{ATTEMPT}{state.call.attempt - 1}_"
    if error is not None:
        flow.__dict__["_exception"] = _wrapped(spec, error)
    for name, value in list(vars(flow).items()):
        if name == STATE or name.startswith("__") or isinstance(value, _NOT_ARTIFACTS):
            continue
        try:
            attempt.artifact(state.call.pack(mark + name, value))
        except (NotStorableError, MetaflowException):  # it failed for another reason, which is told
            continue
    flow.__dict__.pop("_exception", None)


#: The error of the attempt that is known to its reader.
_told: dict[str, BaseException] = {}


def _report(spec: StepSpec, error: BaseException, flow: Any = None) -> None:
    """Write to the log what ended the attempt."""
    _told["error"] = error
    if isinstance(error, MetaflowException):
        error.message = without_stars(error.message)
    print(f"{_shown(spec, flow)} failed:", file=sys.stderr)
    _print_trace(spec, error, "    ", sys.stderr)


def _tell(spec: StepSpec, error: BaseException) -> None:
    """Write to the log what ends a process: what ``sys.exit`` was given to say, else a traceback."""
    if isinstance(error, SystemExit):
        if not isinstance(error.code, int | None):
            print(_printable(str(error.code)), file=sys.stderr)
    elif not isinstance(error, KeyboardInterrupt):
        _print_trace(spec, error, "", sys.stderr)


def _shown(spec: StepSpec, flow: Any) -> str:
    """The step with its place in foreach, unless there is none yet or what it is for cannot be shown."""
    with contextlib.suppress(Exception):
        if flow is not None:
            return _printable(FlowBase.__str__(flow))
    return f"<flow {spec.flow} step {spec.step}>"


def _printable(text: str) -> str:
    """A text that every stream takes: what is not a character, as half a surrogate pair, by its number."""
    return text.encode(errors="backslashreplace").decode()


def _print_trace(spec: StepSpec, error: BaseException, indent: str, out: TextIO) -> None:
    text = users_frames(_of_main(spec, trace_of(error)))
    for line in text.splitlines():
        print(indent + _printable(line), file=out)


def _advise(error: Exception, flow: Any, inputs: Inputs | None) -> None:
    """Add to an attribute that is not there where it may be, or what is."""
    if isinstance(error, AttributeError) and isinstance(error.obj, ConfigValue):
        add_note(error, f"The config has {', '.join(map(str, error.obj)) or 'nothing'} there.")
    if not isinstance(error, AttributeError) or error.obj is not flow or not isinstance(error.name, str):
        return
    from difflib import get_close_matches

    state: Artifacts = flow.__dict__[STATE]
    known = [name for name in {*state.table, *vars(flow), *state.constants} if not name.startswith("_")]
    if inputs is not None and any(error.name in one.__dict__[STATE].table for one in inputs):
        add_note(
            error,
            f"The branches have it: inputs[0].{error.name}, [one.{error.name} for one in inputs], or "
            "self.merge_artifacts(inputs) where they agree.",
        )
    elif close := get_close_matches(error.name, known, 1):
        add_note(error, f"Did you mean '{close[0]}'?")
    elif any(node.num_args > 1 for node in graph_of(type(flow))):
        add_note(error, "A join passes on only what it sets itself or takes over with self.merge_artifacts(inputs).")


def _leave_out_ours(error: BaseException) -> None:
    """Let the traceback begin at the step's own code, as it is printed and kept."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    if trace is not None:
        error.__traceback__ = trace


def _call(spec: StepSpec, function: Any, flow: Any, inputs: Inputs | None) -> None:
    """The step's function, within what its decorators ask for."""
    timeout = find(function, "timeout")
    seconds = timeout_seconds(timeout.attributes) if timeout is not None else 0
    if not seconds:
        call_plainly(function, flow, inputs)
        return
    import signal

    message = f"Step {spec.step} timed out after {_in_words(timeout.attributes)}"  # type: ignore[union-attr]

    def expired(_: int, frame: Any) -> None:
        import traceback
        from datetime import datetime

        print(f"{datetime.now():%Y-%m-%d %H:%M:%S.%f}"[:-3], message)
        frames = traceback.extract_stack(frame)
        begin = max((at for at, one in enumerate(frames) if is_ours(one.filename)), default=-1) + 1
        stack = "".join(traceback.format_list(frames[begin:])).splitlines()
        raise TimeoutException(
            "\n".join([message, "Stack when the timeout was raised:", *(f">  {one}" for one in stack)])
        )

    signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        call_plainly(function, flow, inputs)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def call_plainly(function: Any, flow: Any, inputs: Inputs | None) -> None:
    """The step's function within what users put around it, with its secrets."""
    if find(function, "secrets") is not None:
        from headrace.frontends.metaflow.authoring.secrets import set_secrets

        set_secrets(function)
    place = current_module.facts().get("parallel")
    if place is not None:
        set_environment(function, place, current_module.facts()["run_id"])
    if function.wrappers:

        def go_on(arguments: dict[str, Any]) -> None:
            _go_on(flow, arguments)

        call_wrapped(list(function.wrappers), function.__name__, flow, inputs, function, go_on)
    elif inputs is None:
        function(flow)
    else:
        function(flow, inputs)


def _go_on(flow: Any, arguments: dict[str, Any]) -> None:
    """``self.next`` as the step's last statement has it, with some arguments replaced."""
    cls = type(flow)
    node = graph_of(cls)[flow.__dict__[STATE].step]
    if not node.out_funcs:
        return
    flow.__dict__[STATE].transition = None
    if node.condition:
        cases = {_case(flow, key): getattr(flow, name) for key, name in node.switch_cases.items()}
        flow.next(cases, **{"condition": node.condition, **arguments})
        return
    how: dict[str, Any] = {}
    if node.foreach_param:
        how["foreach"] = node.foreach_param
    if node.parallel_foreach:
        how["num_parallel"] = node.num_parallel or 0
    flow.next(*[getattr(flow, name) for name in node.out_funcs], **{**how, **arguments})


def _case(flow: Any, key: Any) -> Any:
    """The case of a switch: what its text means that was read as ``config:name.key``."""
    if not isinstance(key, str) or not key.startswith("config:"):
        return key
    config, name = key.removeprefix("config:").split(".")
    return getattr(getattr(flow, config), name)


def timeout_seconds(attributes: dict[str, Any]) -> int:
    """How long ``@timeout`` lets a step run."""
    return int(attributes["seconds"]) + int(attributes["minutes"]) * 60 + int(attributes["hours"]) * 3600


def _in_words(attributes: dict[str, Any]) -> str:
    return f"{attributes['hours']} hours, {attributes['minutes']} minutes, {attributes['seconds']} seconds"


# --- artifacts out ------------------------------------------------------------------------------------------------


def _outputs(flow: Any, state: Artifacts) -> dict[str, Any]:
    """What the task adds to the artifacts it inherited, packed.

    Raises:
        ArtifactNotStorable: the message names it.
    """
    for (name, _), lent in state.lent.items():
        if lent.changed and name not in state.constants:
            getattr(flow, name)  # loads the list, with the changed item in it
    outputs: dict[str, Any] = {}
    for name in sorted(vars(flow)):
        value = vars(flow)[name]
        if name == STATE or name.startswith("__") or isinstance(value, _NOT_ARTIFACTS):
            continue
        if state.unchanged(name, value):
            continue
        try:
            output = state.call.pack(name, value)
        except NotStorableError as error:
            raise ArtifactNotStorable(f"The artifact *{name}* cannot be stored: {error}") from error
        before = state.table.get(name)
        if before is None or before.digest != output.value.digest or state.is_join:
            outputs[name] = output
    if state.is_join:  # merged ones were no inputs of this task by themselves
        for name, packed in state.table.items():
            if name not in outputs and name not in state.constants:
                outputs[name] = Output(name, packed, _no_preview(packed))
    return outputs


def _no_preview(packed: Packed) -> Any:
    from headrace.model.values import Preview

    if packed.codec == "json" and packed.size <= 200:
        return Preview("", packed.inline.decode())
    return Preview("")
