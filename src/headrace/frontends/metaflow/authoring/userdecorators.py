"""Decorators and mutators that users write: around a step, of a step, of a flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import GeneratorType
from typing import Any

from headrace.frontends.metaflow.authoring.decorators import (
    FLOW_DEFAULTS,
    STEP_DEFAULTS,
    Decorator,
    find,
    flow_decorators,
    is_step,
    parse_attributes,
    parse_spec,
)
from headrace.frontends.metaflow.authoring.parameters import Parameter
from headrace.frontends.metaflow.exceptions import (
    BadFlowDecoratorException,
    BadStepDecoratorException,
    DuplicateFlowDecoratorException,
    DuplicateStepDecoratorException,
    MetaflowException,
    UnknownFlowDecoratorException,
    UnknownStepDecoratorException,
)

#: What a user step decorator yields to have the step skipped.
USER_SKIP_STEP: dict[str, Any] = {}


#: The classes that users defined, by their full names.
_kinds: dict[str, type[Any]] = {}


def full_name(kind: type[Any]) -> str:
    """``module.Class``, by which users know a decorator of theirs."""
    return f"{kind.__module__}.{kind.__qualname__}"


class _UserBase:
    """Something of the user's that is put on a step or flow, bare or with arguments."""

    _args: tuple[Any, ...] = ()
    _kwargs: dict[str, Any] = {}  # noqa: RUF012 - replaced, never changed
    decorator_name = ""
    statically_defined = True
    inserted_by: list[str] | None = None

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if not cls.__module__.startswith("headrace."):
            _kinds[full_name(cls)] = cls

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        if len(args) == 1 and not kwargs and _is_target(args[0]):
            made._setup((), {})
            return made._attach(args[0])
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._setup(args, kwargs)

    def _setup(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._args, self._kwargs = args, kwargs
        self.decorator_name = type(self).__name__

    def __call__(self, target: Any) -> Any:
        return self._attach(target)

    def _attach(self, target: Any) -> Any:
        raise NotImplementedError

    def init(self, *args: Any, **kwargs: Any) -> None:
        """Take the arguments of the decorator."""
        if args or kwargs:
            raise MetaflowException(f"{self.decorator_name} takes no arguments: it has no method init")

    def external_init(self, values: dict[str, Any]) -> None:
        """Call ``init`` with configs in the arguments replaced by ``values``."""
        from headrace.frontends.metaflow.authoring.configs import evaluated

        self.init(*evaluated(list(self._args), values), **evaluated(dict(self._kwargs), values))


def _is_target(value: Any) -> bool:
    return is_step(value) or (isinstance(value, type) and hasattr(value, "_flow_decorators"))


# --- around steps ---------------------------------------------------------------------------------------------------


class UserStepDecorator(_UserBase):
    """Code before and after a step: ``pre_step``, ``post_step``, ``skip_step``."""

    _skip: bool | dict[str, Any] = False

    def _attach(self, target: Any) -> Any:
        if not getattr(target, "is_step", False):
            raise BadStepDecoratorException(self.decorator_name, target)
        target.wrappers.append(self)
        return target

    @property
    def skip_step(self) -> bool | dict[str, Any]:
        """Whether what is wrapped is skipped; a dictionary holds arguments for ``self.next``."""
        return self._skip

    @skip_step.setter
    def skip_step(self, value: bool | dict[str, Any]) -> None:
        self._skip = value

    def pre_step(self, step_name: str, flow: Any, inputs: Any = None) -> Callable[..., Any] | None:
        """Before the step; may return a function to call in its place."""
        return None

    def post_step(self, step_name: str, flow: Any, exception: Exception | None = None) -> Any:
        """After the step; returns the exception to raise, if any, or that and arguments for ``self.next``."""
        return exception


class _GeneratorDecorator(UserStepDecorator):
    """A generator as a user step decorator."""

    _function: Callable[..., Any]

    def init(self, *args: Any, **kwargs: Any) -> None:
        if args:
            raise MetaflowException(f"{self.decorator_name} takes keyword arguments only")
        self._attributes = kwargs

    def pre_step(self, step_name: str, flow: Any, inputs: Any = None) -> Callable[..., Any] | None:
        function = type(self)._function
        arguments: list[Any] = [step_name, flow, inputs]
        if function.__code__.co_argcount > 3:
            arguments.append(self._attributes)
        self._generator = function(*arguments)
        if not isinstance(self._generator, GeneratorType):
            self._skip = True
            return None
        try:
            yielded = self._generator.send(None)
        except StopIteration as stop:
            self._skip = stop.value if isinstance(stop.value, dict) else True
            self._generator = None
            return None
        if isinstance(yielded, dict):
            self._skip = yielded or True
        return yielded if callable(yielded) else None

    def post_step(self, step_name: str, flow: Any, exception: Exception | None = None) -> Any:
        if self._generator is None:
            return exception
        try:
            if exception is None:
                self._generator.send(None)
            else:
                self._generator.throw(exception)
        except StopIteration as stop:
            return (None, stop.value) if isinstance(stop.value, dict) else None
        except Exception as error:
            return error
        raise MetaflowException(f"{self.decorator_name} may yield at most once")


def user_step_decorator(function: Any) -> Any:
    """Make a generator ``f(step_name, flow, inputs, attributes=None)`` a decorator of steps."""
    facts = {"__module__": function.__module__, "__qualname__": function.__qualname__, "__doc__": function.__doc__}
    return type(function.__name__, (_GeneratorDecorator,), {"_function": staticmethod(function), **facts})


def call_wrapped(
    wrappers: list[UserStepDecorator], step_name: str, flow: Any, inputs: Any, call: Callable[..., Any], go_on: Any
) -> None:
    """Run a step inside its user decorators, the outermost last in ``wrappers``.

    ``go_on(arguments)`` is ``self.next`` as the step would call it, with some arguments replaced.
    """
    if not wrappers:
        _call(call, flow, inputs)
        return
    wrapper, rest = wrappers[-1], wrappers[:-1]
    failure: Exception | None = None
    instead = wrapper.pre_step(step_name, flow, inputs)
    skip = wrapper.skip_step
    if skip:
        go_on(skip if isinstance(skip, dict) else {})
    else:
        try:
            if instead is not None:
                answer = _call(instead, flow, inputs)
                if answer is True or isinstance(answer, dict):
                    go_on(answer if isinstance(answer, dict) else {})
            else:
                call_wrapped(rest, step_name, flow, inputs, call, go_on)
        except Exception as error:
            failure = error
    answer = wrapper.post_step(step_name, flow, failure)
    arguments = None
    if isinstance(answer, tuple):
        answer, arguments = (*answer, None)[:2]
    if answer is not None:
        raise answer
    if arguments is not None or failure is not None:
        go_on(arguments or {})


def _call(function: Callable[..., Any], flow: Any, inputs: Any) -> Any:
    return function(flow) if inputs is None else function(flow, inputs)


# --- mutators -------------------------------------------------------------------------------------------------------


class _Mutator(_UserBase):
    """Changes what it is put on, or adds to it, twice before a run."""

    def pre_mutate(self, mutable: Any) -> None:
        """Called once configs are read; parameters and flow decorators may be changed here only."""

    def mutate(self, mutable: Any) -> None:
        """Called once the command line is read."""

    def add_to_package(self) -> Any:
        """Files for the package, as ``(path, its place there, ContentType)``; ``authoring.packaging`` asks for them."""
        return ()


class StepMutator(_Mutator):
    """Changes the decorators of a step: ``pre_mutate``, ``mutate``."""

    def _attach(self, target: Any) -> Any:
        if not getattr(target, "is_step", False):
            raise BadStepDecoratorException(self.decorator_name, target)
        target.config_decorators.append(self)
        return target


class FlowMutator(_Mutator):
    """Changes a flow: its parameters, its decorators, those of its steps."""

    _flow_cls: Any = None

    def _attach(self, target: Any) -> Any:
        if not isinstance(target, type) or not hasattr(target, "_flow_decorators"):
            raise BadFlowDecoratorException(f"{self.decorator_name} can be applied only to FlowSpecs.")
        flow: Any = target
        if "_flow_mutators" not in vars(flow):
            flow._flow_mutators = []
        flow._flow_mutators.append(self)
        self._flow_cls = flow
        return flow


Spec = tuple[str, str, list[Any], dict[str, Any]]


class _Duplicates:
    IGNORE, ERROR, OVERRIDE = 1, 2, 3


class _Mutable(_Duplicates):
    """What steps and flows have in common for mutators."""

    @property
    def decorator_specs(self) -> Iterator[Spec]:
        """``(name, full name, arguments, keyword arguments)`` of each decorator."""
        raise NotImplementedError

    def has_decorator(self, name: str) -> bool:
        """Whether there is a decorator of that name."""
        return bool(self.get_decorator_specs(name))

    def get_decorator_specs(self, name: str) -> list[Spec]:
        """The specs of that name."""
        return [one for one in self.decorator_specs if name in one[:2]]


def _spec(one: Decorator) -> Spec:
    return one.name, one.full_name, [], dict(one.attributes)


def _user_spec(one: _UserBase) -> Spec:
    return one.decorator_name, full_name(type(one)), list(one._args), dict(one._kwargs)


def user_kind(name: str) -> type[_UserBase] | None:
    """What the user wrote for steps that goes by a name: ``wrap``, ``module.wrap``; None: there is none, or several do.

    Raises:
        MetaflowException: its module cannot be imported.
    """
    found: list[Any] = [kind for full, kind in _kinds.items() if full == name or full.endswith(f".{name}")]
    if not found and "." in name:
        import importlib

        module, _, rest = name.rpartition(".")
        try:
            found = [getattr(importlib.import_module(module), rest, None)]
        except ImportError as error:
            raise MetaflowException(f"Could not import user decorator {name}: {error}") from error
    kind = found[0] if len(found) == 1 else None
    return kind if isinstance(kind, type) and issubclass(kind, (UserStepDecorator, StepMutator)) else None


def parse_any_spec(text: str) -> Decorator | _UserBase:
    """What ``--with name:key=value,key=value`` means; ``name`` may be that of a decorator or mutator of the user's.

    Raises:
        UnknownStepDecoratorException: there is no such decorator; InvalidDecoratorAttribute: it has no such attribute.
    """
    name, _, rest = text.partition(":")
    kind = None if name in STEP_DEFAULTS else user_kind(name)
    if kind is None:
        return parse_spec(text)
    return kind(**parse_attributes(text, rest))


def added_names(texts: Iterable[str]) -> list[str]:
    """The names of the decorators that ``--with`` gives; raises as ``parse_any_spec`` does."""
    found = [parse_any_spec(text) for text in texts]
    return [one.name if isinstance(one, Decorator) else one.decorator_name for one in found]


def attach_dynamic(cls: Any, decorator_texts: Iterable[str]) -> None:
    """Put what ``--with`` says on all steps; a decorator that the file has stays as it is there.

    A mutator among them is called at once if those of the file were called already.
    """
    values = vars(cls).get("_config_values", {})
    for text in decorator_texts:
        for name, function in cls._steps.items():
            one = parse_any_spec(text)
            if isinstance(one, Decorator):
                if one.allow_multiple or find(function, one.name) is None:
                    function.decorators.append(one)
            elif not any(type(have) is type(one) for have in (*function.wrappers, *function.config_decorators)):
                one.external_init(values)
                one._attach(function)
                if isinstance(one, StepMutator) and not vars(cls).get("_headrace_begun"):
                    one.mutate(MutableStep(MutableFlow(cls, values, early=False), cls._steps[name]))


def _name_of(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind))


class MutableStep(_Mutable):
    """A step as mutators see it."""

    def __init__(self, flow: MutableFlow, function: Any) -> None:
        self._flow = flow
        self._function = function

    @property
    def flow(self) -> MutableFlow:
        """The flow of the step."""
        return self._flow

    @property
    def decorator_specs(self) -> Iterator[Spec]:
        """``(name, full name, arguments, keyword arguments)`` of each decorator."""
        yield from map(_spec, self._function.decorators)
        yield from map(_user_spec, (*self._function.wrappers, *self._function.config_decorators))

    def add_decorator(
        self,
        deco_type: Any,
        deco_args: list[Any] | None = None,
        deco_kwargs: dict[str, Any] | None = None,
        duplicates: int = _Duplicates.IGNORE,
    ) -> Any:
        """Add a decorator, given as such, by its class, or as text; None when it was there and ``IGNORE`` is said."""
        if isinstance(deco_type, str):
            name, colon, rest = deco_type.partition(":")
            if colon and (deco_args or deco_kwargs):
                raise MetaflowException(
                    f"Arguments of the decorator {deco_type!r} are given twice: in it and beside it"
                )
            kind = None if name in STEP_DEFAULTS else user_kind(name)
            if kind is not None:
                deco_type, deco_kwargs = kind, parse_attributes(deco_type, rest) if colon else deco_kwargs
        if isinstance(deco_type, type) and issubclass(deco_type, _UserBase):
            return self._add_user(deco_type(*(deco_args or ()), **(deco_kwargs or {})), duplicates)
        if isinstance(deco_type, str) and ":" in deco_type:
            one = parse_spec(deco_type)
        else:
            name = _name_of(deco_type)
            if name not in STEP_DEFAULTS:
                known = ", ".join(STEP_DEFAULTS)
                raise UnknownStepDecoratorException(f"There is no step decorator '{name}'; there are {known}")
            if deco_args:
                raise MetaflowException(f"Step decorators such as '{name}' take no positional arguments")
            one = Decorator(name, deco_kwargs or {}, defaults=STEP_DEFAULTS[name], static=False)
        decorators = self._function.decorators
        if not one.allow_multiple and any(have.name == one.name for have in decorators):
            if duplicates == self.IGNORE:
                return None
            if duplicates == self.ERROR:
                raise DuplicateStepDecoratorException(one.name, self._function)
            decorators[:] = [have for have in decorators if have.name != one.name]
        decorators.append(one)
        return one

    def _add_user(self, made: _UserBase, duplicates: int) -> Any:
        """Put on the step what the user wrote; None when it has it already, and that is to be so."""
        if not isinstance(made, UserStepDecorator):
            raise MetaflowException(f"{made.decorator_name} cannot be added by a mutator: it is not a step decorator")
        wrappers = self._function.wrappers
        if any(type(have) is type(made) for have in wrappers):
            if duplicates != self.OVERRIDE:
                return None
            wrappers[:] = [have for have in wrappers if type(have) is not type(made)]
        made.external_init(self._flow._values)
        made._attach(self._function)
        return made

    def remove_decorator(
        self, deco_name: str, deco_args: list[Any] | None = None, deco_kwargs: dict[str, Any] | None = None
    ) -> bool:
        """Remove decorators of that name, and of these arguments when they are given; whether there was one."""
        function = self._function
        asked = None if deco_args is None and deco_kwargs is None else (list(deco_args or []), deco_kwargs or {})

        def stays(spec: Spec) -> bool:
            return deco_name not in spec[:2] or (asked is not None and asked != spec[2:])

        before = len(function.decorators) + len(function.wrappers)
        function.decorators[:] = [one for one in function.decorators if stays(_spec(one))]
        function.wrappers[:] = [one for one in function.wrappers if stays(_user_spec(one))]
        return len(function.decorators) + len(function.wrappers) < before


class MutableFlow(_Mutable):
    """A flow as mutators see it."""

    def __init__(self, cls: Any, values: dict[str, Any], *, early: bool) -> None:
        self._cls = cls
        self._values = values
        self._early = early

    @property
    def configs(self) -> Iterator[tuple[str, Any]]:
        """The configs by name."""
        yield from self._values.items()

    @property
    def parameters(self) -> Iterator[tuple[str, Parameter]]:
        """The parameters by name."""
        yield from sorted(self._cls._parameters().items())

    @property
    def steps(self) -> Iterator[tuple[str, MutableStep]]:
        """The steps by name."""
        for name, function in sorted(self._cls._steps.items()):
            yield name, MutableStep(self, function)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._cls._steps:
            return MutableStep(self, self._cls._steps[name])
        if name in self._values:
            return self._values[name]
        if name in self._cls._parameters():
            return self._cls._parameters()[name]
        raise AttributeError(f"Flow {self._cls.__name__} has no step, config or parameter '{name}'")

    def _only_early(self, what: str) -> None:
        if not self._early:
            raise MetaflowException(f"{what} can be called in pre_mutate only")

    def add_parameter(self, name: str, value: Parameter, overwrite: bool = False) -> None:
        """Add a parameter."""
        self._only_early("add_parameter")
        if not isinstance(value, Parameter):
            raise MetaflowException(f"add_parameter takes a Parameter or an IncludeFile, not {value!r}")
        if hasattr(self._cls, name) and not overwrite:
            raise MetaflowException(
                f"Flow {self._cls.__name__} has an attribute '{name}' already; overwrite=True replaces it"
            )
        setattr(self._cls, name, value)

    def remove_parameter(self, parameter_name: str) -> bool:
        """Remove a parameter; whether there was one."""
        self._only_early("remove_parameter")
        for attribute, parameter in self._cls._parameters().items():
            if parameter_name == parameter.name:
                for kind in self._cls.__mro__:
                    if attribute in vars(kind):
                        delattr(kind, attribute)
                return True
        return False

    @property
    def decorator_specs(self) -> Iterator[Spec]:
        """``(name, full name, arguments, keyword arguments)`` of each flow decorator."""
        yield from map(_spec, flow_decorators(self._cls))
        for kind in self._cls.__mro__:
            yield from map(_user_spec, vars(kind).get("_flow_mutators", []))

    def add_decorator(
        self,
        deco_type: Any,
        deco_args: list[Any] | None = None,
        deco_kwargs: dict[str, Any] | None = None,
        duplicates: int = _Duplicates.IGNORE,
    ) -> Any:
        """Add a flow decorator or another mutator."""
        self._only_early("add_decorator")
        if isinstance(deco_type, type) and issubclass(deco_type, FlowMutator):
            made = deco_type(*(deco_args or ()), **(deco_kwargs or {}))
            made.external_init(self._values)
            made._attach(self._cls)
            return made
        name, attributes = _name_of(deco_type), dict(deco_kwargs or {})
        if ":" in name:
            name, attributes = parse_flow_spec(name)
        if name not in FLOW_DEFAULTS:
            known = ", ".join(FLOW_DEFAULTS)
            raise UnknownFlowDecoratorException(f"There is no flow decorator '{name}'; there are {known}")
        if deco_args:
            raise MetaflowException(f"Flow decorators such as '{name}' take no positional arguments")
        if self.has_decorator(name) and duplicates != self.OVERRIDE:
            if duplicates not in (self.IGNORE, self.ERROR):
                raise MetaflowException(f"add_decorator: duplicates={duplicates!r} is not IGNORE, ERROR or OVERRIDE")
            if duplicates == self.ERROR:
                raise DuplicateFlowDecoratorException(f"Flow {self._cls.__name__} has a decorator '{name}' already")
            return None
        own = vars(self._cls).get("_flow_decorators") or {}
        one = Decorator(name, attributes, defaults=FLOW_DEFAULTS[name], static=False)
        self._cls._flow_decorators = {**own, name: [one]}
        return one

    def remove_decorator(
        self, deco_name: str, deco_args: list[Any] | None = None, deco_kwargs: dict[str, Any] | None = None
    ) -> bool:
        """Remove flow decorators of that name; whether there was one."""
        self._only_early("remove_decorator")
        found = self.has_decorator(deco_name)
        for kind in self._cls.__mro__:
            vars(kind).get("_flow_decorators", {}).pop(deco_name, None)
        return found


def parse_flow_spec(text: str) -> tuple[str, dict[str, Any]]:
    """``project:name=x`` as name and attributes."""
    name, _, rest = text.partition(":")
    return name, parse_attributes(text, rest)
