"""What ``self`` is inside a step: the base of ``FlowSpec``.

Artifacts are plain attributes. Those that a task inherits are not loaded before they are looked at: ``__getattr__``
fetches them from the task's ``Artifacts``, which ``running.task`` puts on the instance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from types import FunctionType, MethodType
from typing import Any

from headrace._base.attributes import own
from headrace.frontends.metaflow.authoring.configs import Config
from headrace.frontends.metaflow.authoring.decorators import is_step
from headrace.frontends.metaflow.authoring.items import IMMUTABLE, Lent, lend
from headrace.frontends.metaflow.authoring.parameters import Parameter
from headrace.frontends.metaflow.authoring.splits import GANG, ForeachFrame, Frame, Transition, shown_value
from headrace.frontends.metaflow.exceptions import (
    InvalidNextException,
    MetaflowException,
    MissingInMergeArtifactsException,
    UnhandledInMergeArtifactsException,
)
from headrace.frontends.metaflow.names import FLOW_NAME
from headrace.model.values import Packed
from headrace.runtime.raw import RawCall

#: Attributes of an instance that are ours, not artifacts.
STATE = "_headrace"
#: Marks an instance that a task makes.
_MAKING = "_headrace_making"
#: Types whose length is the number of their items; that of a table of pandas is not: its items are its columns.
_SIZED = frozenset([list, tuple, dict, set, frozenset, str, bytes, range])
#: Attributes of a flow that are no parameters, configs or constants, whatever a class puts there.
_NOT_VALUES = frozenset(["cmd", "foreach_stack", "index", "input", "script_name", "name"])


class Artifacts:
    """The artifacts that a task has, by name, and what was loaded of them."""

    def __init__(self, call: RawCall, table: dict[str, Packed], constants: frozenset[str], stack: list[Frame]) -> None:
        self.call = call
        self.table = table
        self.constants = constants
        self.stack = stack
        self.step = ""
        self.is_join = False
        self.ended = False  # of a branch of a join
        self.caught = False  # it ended with a failure that was caught
        self.transition: Transition | None = None
        self.loaded: dict[str, Any] = {}  # as first seen, to tell what was replaced
        self.fixed: dict[str, Any] = {}  # constants and parameters that were looked at
        self.inputs: dict[int, Any] = {}
        self.lent: dict[tuple[str, int], Lent] = {}

    def fetch(self, name: str) -> Any:
        """The value of an inherited artifact; raises KeyError."""
        value = self.call.load(self.table[name])
        self.loaded[name] = value
        if type(value) is list:
            for (of, index), lent in self.lent.items():  # what the step holds already is an item of it
                if of == name:
                    value[index] = lent.item
        return value

    def constant(self, name: str) -> Any:
        """The value of a parameter or class attribute, as the run began with it.

        Raises:
            KeyError: the run began without it, as the original says it: the file got the parameter since.
        """
        if name not in self.fixed:
            self.fixed[name] = self.call.load(self.table[name])
        return self.fixed[name]

    def take_item(self, name: str, index: int) -> Lent | None:
        """An item of an inherited list that is not loaded yet; None: it is to be loaded for that."""
        key = (name, index)
        if key not in self.lent:
            packed = self.table.get(name)
            lent = lend(self.call.load, packed, index) if packed is not None and name not in self.loaded else None
            if lent is None:
                return None
            self.lent[key] = lent
        return self.lent[key]

    def unchanged(self, name: str, value: Any) -> bool:
        """Whether an attribute is certainly what was inherited."""
        return type(value) in IMMUTABLE and name in self.loaded and self.loaded[name] is value


class FlowSpecMeta(type):
    """Knows the steps, parameters and constants of a flow, those of its bases included."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **more: Any) -> None:
        super().__init__(name, bases, namespace, **more)
        cls._steps_by_name: dict[str, Any] | None = None

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a flow, as its file does to start it, and remember with what: tasks do it again."""
        cls._called = args, kwargs
        return super().__call__(*args, **kwargs)

    @property
    def _graph(cls) -> Any:
        from headrace.frontends.metaflow.authoring.graph import graph_of

        return graph_of(cls)

    @property
    def _steps(cls) -> dict[str, Any]:
        """The step functions by name, in the order of definition, bases first."""
        if cls._steps_by_name is None:
            found: dict[str, Any] = {}
            for kind in reversed(cls.__mro__):
                for name, value in vars(kind).items():
                    if is_step(value):
                        found.setdefault(name, None)
            steps = {name: getattr(cls, name) for name in found}
            cls._steps_by_name = {name: f for name, f in steps.items() if is_step(f)}
        return cls._steps_by_name

    def _parameters(cls) -> dict[str, Parameter]:
        """Parameters by the attribute that holds them."""
        return {name: value for name, value in cls._attributes() if isinstance(value, Parameter)}

    def _configs(cls) -> dict[str, Config]:
        """Configs by the attribute that holds them."""
        return {name: value for name, value in cls._attributes() if isinstance(value, Config)}

    def _constants(cls) -> dict[str, Any]:
        """Class attributes that are values: artifacts of every task."""
        return {
            name: value
            for name, value in cls._attributes()
            if not isinstance(
                value, (Parameter, Config, property, classmethod, staticmethod, FunctionType, MethodType, type)
            )
            and not callable(value)
            and not hasattr(type(value), "__get__")
        }

    def _attributes(cls) -> Iterator[tuple[str, Any]]:
        seen: dict[str, Any] = {}
        for kind in cls.__mro__:
            if kind is object or kind.__module__.startswith("headrace."):
                continue
            for name, value in vars(kind).items():
                if not name.startswith("_") and name not in _NOT_VALUES:
                    seen.setdefault(name, value)
        return iter(seen.items())


class _Made(BaseException):
    """Leaves the ``__init__`` of a flow in a task: under Metaflow, that of ``FlowSpec`` runs the step, and exits."""


def make(cls: Any, called: tuple[tuple[Any, ...], dict[str, Any]] | None) -> Any:
    """A flow as its own ``__init__``, if it has one, leaves it where that calls the one of ``FlowSpec``.

    ``called`` are the arguments that its file calls it with; None: it was not run, only loaded.
    """
    flow = cls.__new__(cls)
    if cls.__init__.__module__.startswith("headrace."):
        return flow
    args, kwargs = called or ((), {})
    flow.__dict__[_MAKING] = True
    try:
        cls.__init__(flow, *args, **kwargs)
    except _Made:
        pass
    finally:
        flow.__dict__.pop(_MAKING, None)
    return flow


def check_needs_no_arguments(cls: Any) -> None:
    """Refuse a class that only its own file can call.

    Raises:
        MetaflowException: its ``__init__`` wants arguments.
    """
    import inspect

    try:
        inspect.signature(cls.__init__).bind(None)
    except TypeError as error:
        raise MetaflowException(
            f"{cls.__name__}.__init__ cannot be called without arguments ({error}), and only its own file gives them: "
            "run that by itself, or give them defaults."
        ) from None


def bare(cls: Any) -> Any:
    """A flow whose own ``__init__`` was not called: all that it has are the artifacts of a task."""
    return cls.__new__(cls)


class FlowBase(metaclass=FlowSpecMeta):
    """Methods marked with ``@step`` are steps, attributes of ``self`` artifacts. ``flow.FlowSpec`` adds the start."""

    _flow_decorators: dict[str, Any] = {}  # noqa: RUF012 - each class with decorators has its own

    def __init__(self) -> None:
        if _MAKING in self.__dict__:
            raise _Made

    # --- what flows look at -----------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The flow's name, or what the step set."""
        name: str = self.__dict__.get(FLOW_NAME, type(self).__name__)
        return name

    @name.setter
    def name(self, value: str) -> None:
        self.__dict__[FLOW_NAME] = value

    @property
    def script_name(self) -> str:
        """The name of the file that runs."""
        import os
        import sys

        file = getattr(sys.modules.get(type(self).__module__), "__file__", None) or sys.argv[0]
        return os.path.basename(file)  # noqa: PTH119

    @property
    def _graph(self) -> Any:
        return type(self)._graph

    @classmethod
    def _get_parameters(cls) -> Iterator[tuple[str, Any]]:
        yield from sorted({**cls._parameters(), **cls._configs()}.items())

    def __iter__(self) -> Iterator[Any]:
        return iter(getattr(self, node.name) for node in self._graph)

    def __str__(self) -> str:
        state: Artifacts | None = self.__dict__.get(STATE)
        if state is None or not state.step:
            return f"<flow {self.name}>"
        if not state.stack:
            return f"<flow {self.name} step {state.step}>"
        at = ",".join(str(frame.index) for frame in state.stack)
        shown = str(self.input)
        shown = f"{shown[:20]}..." if len(shown) > 20 else shown
        given = "" if self.input is None else f" (input: {shown})"
        return f"<flow {self.name} step {state.step}[{at}]{given}>"

    def __getattr__(self, name: str) -> Any:
        state: Artifacts | None = self.__dict__.get(STATE)
        if state is not None and name in state.table and not name.startswith("__"):
            value = self.__dict__[name] = state.fetch(name)
            return value
        if state is not None and name in _MADE:
            return _MADE[name](self, state)
        raise AttributeError(f"Flow {type(self).__name__} has no attribute '{name}'", name=name, obj=self)

    def __getstate__(self) -> Any:
        raise MetaflowException(
            "Flows can't be serialized. Maybe you tried to assign *self* or one of the *inputs* to an attribute? "
            "Instead of serializing the whole flow, you should choose specific attributes, e.g. *input.some_var*, to "
            "be stored."
        )

    # --- foreach ----------------------------------------------------------------------------------------------

    @property
    def index(self) -> int | None:
        """The number of this branch of the innermost foreach."""
        state: Artifacts | None = self.__dict__.get(STATE)
        return state.stack[-1].index if state is not None and state.stack else None

    @property
    def input(self) -> Any:
        """The value that this branch of the innermost foreach is for."""
        return self._find_input(-1)

    def foreach_stack(self) -> list[tuple[int, int, Any]] | None:
        """``(index, number of splits, value)`` of every foreach around the step, outermost first."""
        state: Artifacts | None = self.__dict__.get(STATE)
        if state is None:
            return None
        return [(f.index, f.num_splits, self._find_input(at)) for at, f in enumerate(state.stack)]

    def _find_input(self, at: int) -> Any:
        state: Artifacts | None = self.__dict__.get(STATE)
        if state is None or not state.stack:
            return None
        at %= len(state.stack)
        if at not in state.inputs:
            frame = state.stack[at]
            if frame.is_gang:
                return frame.index
            lent = state.take_item(frame.var, frame.index) if frame.var not in self.__dict__ else None
            if lent is not None:
                return lent.item
            try:
                values = getattr(self, frame.var)
            except AttributeError:  # behind a join, which inherits nothing, and stays without it when it merges
                state.inputs[at] = None
                return None
            state.inputs[at] = _pick(values, frame.index)
        return state.inputs[at]

    # --- joins ------------------------------------------------------------------------------------------------

    def merge_artifacts(self, inputs: Any, exclude: list[str] | None = None, include: list[str] | None = None) -> None:
        """Take over what the branches agree on; see docs/metaflow.md.

        Raises:
            MetaflowException: not in a join, or both lists are given.
            UnhandledInMergeArtifactsException: branches disagree on something that ``self`` has not.
            MissingInMergeArtifactsException: ``include`` names what no branch has.
        """
        state: Artifacts | None = self.__dict__.get(STATE)
        step = state.step if state is not None else "?"
        if state is None or not state.is_join:
            raise MetaflowException(f"merge_artifacts can only be called in a join and step *{step}* is not a join")
        if include and exclude:
            raise MetaflowException("`exclude` and `include` are mutually exclusive in merge_artifacts")
        chosen, unhandled = _agreed(self, state, inputs, include or (), exclude or ())
        if unhandled:
            names = ", ".join(unhandled)
            raise UnhandledInMergeArtifactsException(
                f"Step *{step}* cannot merge the following artifacts due to them having conflicting values:\n[{names}]."
                "\nTo remedy this issue, be sure to explicitly set those artifacts (using self.<artifact_name> = ...) "
                "prior to calling merge_artifacts.",
                unhandled,
            )
        missing = sorted(name for name in include or () if name not in chosen and not hasattr(self, name))
        if missing:
            raise MissingInMergeArtifactsException(
                f"Step *{step}* specifies that [{', '.join(missing)}] should be merged but they are not found in any "
                "of the inputs",
                missing,
            )
        state.table.update(chosen)

    # --- going on ---------------------------------------------------------------------------------------------

    def next(self, *dsts: Any, **kwargs: Any) -> None:
        """Say which steps follow; the last thing that a step does.

        Raises:
            InvalidNextException: it cannot be done so.
        """
        state: Artifacts | None = self.__dict__.get(STATE)
        if state is None:
            raise InvalidNextException("self.next() works only inside a step that runs")
        step = state.step
        if state.transition is not None:
            raise InvalidNextException(
                f"Multiple self.next() calls detected in step *{step}*. Call self.next() only once."
            )
        unknown = kwargs.keys() - {"foreach", "num_parallel", "condition"}
        if unknown:
            raise InvalidNextException(
                f"Step *{step}* passes an unknown keyword argument {sorted(unknown)[0]!r} to self.next()."
            )
        if not dsts:
            raise InvalidNextException(f"Step *{step}* calls self.next() without a target.")
        condition, foreach, gang = kwargs.get("condition"), kwargs.get("foreach"), kwargs.get("num_parallel")
        if condition is not None and (foreach is not None or gang is not None):
            raise InvalidNextException(f"Step *{step}*: a switch cannot be combined with foreach or num_parallel.")
        if condition is not None or isinstance(dsts[0], dict):
            state.transition = self._switch(step, dsts, condition)
            return
        names = [self._target(step, one) for one in dsts]
        if foreach is not None and len(names) != 1:
            raise InvalidNextException(f"Step *{step}* has a foreach with several targets; it can have one only.")
        if foreach is not None:
            state.transition = Transition(names, "foreach", foreach, self._count(step, foreach))
        elif gang is not None:
            if len(names) != 1 or not isinstance(gang, int) or gang < 1:
                raise InvalidNextException(
                    f"Step *{step}* sets num_parallel={gang!r}: it must be a number from 1, with one target step."
                )
            state.transition = Transition(names, "parallel", GANG, gang)
        else:
            state.transition = Transition(names)

    def _target(self, step: str, dst: Any) -> str:
        name = own(own(dst, "__func__"), "__name__")
        if name is None or name not in type(self)._steps:
            if name is None and (held := next((key for key in type(self)._steps if vars(self).get(key) is dst), None)):
                raise InvalidNextException(
                    f"Step *{step}* goes on to {repr(dst)[:60]}, which is not a step: *self.{held}* has that value. "
                    "Call the artifact something else than the step."
                )
            raise InvalidNextException(
                f"Step *{step}* specifies a self.next() transition to an unknown step, *{name or repr(dst)}*."
            )
        return str(name)

    def _switch(self, step: str, dsts: tuple[Any, ...], condition: Any) -> Transition:
        if not isinstance(dsts[0], dict) or not dsts[0] or len(dsts) != 1 or not isinstance(condition, str):
            raise InvalidNextException(
                f"Step *{step}*: a switch is self.next({{value: self.step, ...}}, condition='name of an artifact')."
            )
        try:
            value = getattr(self, condition)
        except AttributeError:
            raise InvalidNextException(
                f"Condition variable *self.{condition}* in step *{step}* does not exist. Make sure you set "
                f"self.{condition} in this step."
            ) from None
        if value not in dsts[0]:
            raise RuntimeError(
                f"Switch condition variable '{condition}' has value '{value}' which is not in the available cases: "
                f"{list(dsts[0])}"
            )
        return Transition([self._target(step, dsts[0][value])], "switch", condition)

    def _count(self, step: str, var: Any) -> int:
        if not isinstance(var, str):
            raise InvalidNextException(
                f"Step *{step}* has an invalid foreach: it takes the name of an artifact, as a string."
            )
        try:
            values = getattr(self, var)
        except AttributeError:
            raise InvalidNextException(
                f"Foreach variable *self.{var}* in step *{step}* does not exist. Check your variable."
            ) from None
        try:
            count = len(values) if type(values) in _SIZED else sum(1 for _ in values)
        except TypeError:
            raise InvalidNextException(
                f"Foreach variable *self.{var}* in step *{step}* is not iterable. Check your variable."
            ) from None
        if not count:
            raise InvalidNextException(
                f"Foreach iterator over *{var}* in step *{step}* produced zero splits. Check your variable."
            )
        return int(count)


def _pick(values: Any, index: int) -> Any:
    try:
        return values[index]
    except TypeError:
        from itertools import islice

        return next(islice(values, index, index + 1))


def _agreed(
    flow: FlowBase, state: Artifacts, inputs: Any, include: Collection[str], exclude: Collection[str]
) -> tuple[dict[str, Packed], list[str]]:
    """What may be merged, and what branches disagree on. What an earlier call merged is settled."""
    chosen: dict[str, Packed] = {}
    unhandled: dict[str, None] = {}
    for one in inputs:
        branch: Artifacts = one.__dict__[STATE]
        for name, packed in branch.table.items():
            if name in state.table or name in flow.__dict__ or name in exclude:
                continue
            if include and name not in include:
                continue
            before = chosen.setdefault(name, packed)
            if before.digest != packed.digest:
                unhandled[name] = None
    return chosen, sorted(unhandled)


def _frames(flow: FlowBase, state: Artifacts) -> list[ForeachFrame]:
    shown = [None if one.is_gang else shown_value(flow._find_input(at)) for at, one in enumerate(state.stack)]
    graph, found = flow._graph, []
    for frame, value in zip(state.stack, shown, strict=True):
        step = graph[frame.step].out_funcs[0] if frame.step in graph else frame.step
        found.append(ForeachFrame(step, frame.var, None if frame.is_gang else frame.num_splits, frame.index, value))
    return found


def _graph_info(flow: FlowBase, _: Artifacts) -> dict[str, Any]:
    from headrace.frontends.metaflow.authoring.graphinfo import graph_info

    return graph_info(type(flow))


#: What steps may look at that Metaflow itself makes, of ``self`` and of the branches of a join.
_MADE: dict[str, Callable[[FlowBase, Artifacts], Any]] = {
    "_current_step": lambda _, state: state.step,
    "_foreach_stack": _frames,
    "_graph_info": _graph_info,
    "_task_ok": lambda _, state: state.ended,
    "_success": lambda _, state: state.ended and not state.caught,
    "_exception": lambda _flow, _state: None,
}


class Inputs:
    """The branches that meet in a join: by name of their step, by number, or one after the other."""

    def __init__(self, flows: list[tuple[str, FlowBase]]) -> None:
        self.flows = [flow for _, flow in flows]
        for step, flow in flows:
            setattr(self, step, flow)

    def __getitem__(self, at: int) -> FlowBase:
        return self.flows[at]

    def __iter__(self) -> Iterator[FlowBase]:
        return iter(self.flows)

    def __len__(self) -> int:
        return len(self.flows)
