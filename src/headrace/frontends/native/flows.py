"""``@flow``: a function whose call is a run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

import msgspec

from headrace._base.attributes import own
from headrace._base.collection import CollectionPausedForImports
from headrace._base.sizes import parse_duration
from headrace.frontends.native.options import FlowOptions
from headrace.frontends.native.script import show_well, wrong
from headrace.frontends.native.seeds import check_seed
from headrace.frontends.native.signature import Signature, parameters_of
from headrace.model.environments import Environment
from headrace.runtime import context
from headrace.services.current import run_of_this_code

if TYPE_CHECKING:
    from datetime import timedelta

    from headrace.client.runs import Run
    from headrace.frontends.native.launch import Launch
    from headrace.wiring import Scope

P = ParamSpec("P")
R = TypeVar("R")


class Flow(Generic[P, R]):
    """A flow. Calling it creates a run and returns what the function returns; inside a run it is a part of that run."""

    __headrace_flow__ = True
    dialect = "native"

    def __init__(self, function: Callable[P, R], name: str = "", options: FlowOptions | None = None) -> None:
        if isinstance(function, staticmethod):  # @flow above @staticmethod
            function = function.__func__
        self.__wrapped__ = function
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", "")
        self.__qualname__ = getattr(function, "__qualname__", "")
        self.__module__ = function.__module__ or ""  # code that `exec` runs may have none
        self.name = name or self.__name__
        self.settings = options or FlowOptions()
        code = own(function, "__code__")
        if code is None:
            raise wrong(f"@flow is for Python functions, {function!r} is not one")
        if code.co_flags & (0x20 | 0x200):
            raise wrong(f"flow {self.name!r} is a generator: nobody would take its values; return a list")
        if not self.name or "/" in self.name or self.name == "<lambda>":
            raise wrong(f"a flow needs a name without '/', {self.name!r} is none; use @flow(name=...)")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it. Raises what the flow raises."""
        if run_of_this_code() is not None or context.current() is not None:
            return self.__wrapped__(*args, **kwargs)
        show_well()
        if self.is_async and _in_event_loop():
            from headrace.frontends.native.launch import run_flow_async

            return run_flow_async(self, self.bind(args, kwargs), _here())  # type: ignore[return-value]
        with CollectionPausedForImports():
            from headrace.frontends.native.launch import run_flow

        return run_flow(self, self.bind(args, kwargs), _here()).value  # type: ignore[no-any-return]

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Run:
        """Run it and return the ``Run``, also when it failed: look at ``run.state``, ``run.result``, ``run.error``.

        ``seed=`` is the seed of the run's random numbers, unless the flow has a parameter of that name.
        """
        from headrace.client.default import default_scope

        return self._run_in(default_scope(), args, kwargs)

    def _run_in(self, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Run:
        """``run`` in a workspace and project of the caller's choice."""
        from headrace.client.runs import Run
        from headrace.frontends.native.launch import Launch, run_flow

        values = dict(kwargs)
        seed = None
        if "seed" in values and not _takes(self.__wrapped__, "seed"):
            seed = check_seed(values.pop("seed"))
        ended = run_flow(self, self.bind(args, values), Launch(scope=scope, seed=seed), reraise=False)
        return Run._in(scope, ended.run.name)

    def main(self, argv: Sequence[str] | None = None) -> R:
        """Run it with parameters from the command line: the last line of a script that takes options."""
        from headrace.frontends.native.launch import run_flow
        from headrace.frontends.native.parameters import help_text, parameter_specs, parse_arguments
        from headrace.model.errors import UsageError

        given = list(sys.argv[1:] if argv is None else argv)
        specs = parameter_specs(self.__wrapped__)
        if given in (["--help"], ["-h"]) and not _takes(self.__wrapped__, "help"):
            print(help_text(self.name, self.__doc__ or "", specs))
            raise SystemExit(0)
        try:
            values = parse_arguments(specs, given)
        except UsageError as error:
            print(f"{self.name}: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        return run_flow(self, values, _here()).value  # type: ignore[no-any-return]

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The parameters of a call, checked and converted, defaults filled in.

        Raises:
            ParameterError: one is unknown, missing or of the wrong type.
        """
        if not (args or kwargs or _has_parameters(self.__wrapped__)):
            return {}
        from headrace.frontends.native.parameters import bind_values, parameter_specs

        return bind_values(parameter_specs(self.__wrapped__), _named(self.__wrapped__, args, kwargs))

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        own_flags, inner_flags = self.__wrapped__.__code__.co_flags, parameters_of(self.__wrapped__).__code__.co_flags
        return bool((own_flags | inner_flags) & 0x80)

    def __repr__(self) -> str:
        return f"<flow {self.name}>"


def _here() -> Launch:
    """In the workspace and project that the surroundings of the process say."""
    from headrace.client.default import default_scope
    from headrace.frontends.native.launch import Launch

    return Launch(scope=default_scope())


def _takes(function: Any, name: str) -> bool:
    code = parameters_of(function).__code__
    return bool(code.co_flags & 0x08) or name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _has_parameters(function: Any) -> bool:
    code = parameters_of(function).__code__
    return bool(code.co_flags & 0x0C or code.co_argcount or code.co_kwonlyargcount)


def _named(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    if not args:
        return kwargs
    loose = Signature(parameters_of(function))
    named = dict(zip(loose.names, args, strict=False))
    if len(args) > len(loose.names) or set(named) & set(kwargs):
        loose.bind(args, kwargs)
    return {**named, **kwargs}


def _in_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@overload
def flow(function: Callable[P, R], /) -> Flow[P, R]: ...


@overload
def flow(
    *,
    name: str = "",
    tags: Sequence[str] | Mapping[str, object] = (),
    max_parallel: int = 0,
    keep_going: bool = False,
    seed: int | None = None,
    cleanup: str | float | timedelta | None = None,
    environment: Environment | str | None = None,
    on_success: Callable[..., Any] | None = None,
    on_failure: Callable[..., Any] | None = None,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...


def flow(function: Any = None, /, *, name: str = "", **options: Any) -> Any:
    """Make a function a flow.

    Args:
        function: the function, when used without parentheses.
        name: what its runs are called; default: the function's name.
        options: ``tags`` for all runs, ``"name"`` or ``"name=value"``; ``max_parallel`` tasks at once (0: as many as
            the machine holds); ``keep_going=True`` lets tasks that run finish when the flow fails; ``seed`` of the
            random numbers of all runs (default: another one for each run); ``cleanup``
            is how long steps may run that the flow calls when it is stopped, in ``finally:`` say (default: the setting
            ``cleanup``, 60 seconds); ``environment``, as for a step, is that of the steps that name none;
            ``on_success`` and ``on_failure`` are called
            with the ``Run`` when it has ended.
    """
    if function is not None:
        return Flow(function)
    settings = _settings(options)

    def decorate(wrapped: Any) -> Any:
        return Flow(wrapped, name, settings)

    return decorate


def _settings(options: dict[str, Any]) -> FlowOptions:

    known = FlowOptions.__struct_fields__
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise wrong(f"a flow has no option {unknown[0]!r}; it has name, {', '.join(known)}")
    tags = options.get("tags")
    if isinstance(tags, str):
        options["tags"] = [tags]
    elif isinstance(tags, Mapping):
        options["tags"] = [f"{name}={value}" for name, value in tags.items()]
    try:
        if options.get("cleanup") is not None:
            options["cleanup"] = parse_duration(options["cleanup"])
        if isinstance(options.get("environment"), str):
            options["environment"] = Environment(name=options["environment"])
        settings = msgspec.convert(options, FlowOptions)
    except (msgspec.ValidationError, ValueError) as error:
        raise wrong(f"flow options: {error}") from None
    if settings.max_parallel < 0:
        raise wrong(f"flow options: max_parallel is {settings.max_parallel}, it cannot be negative")
    if settings.seed is not None:
        check_seed(settings.seed)
    return settings
