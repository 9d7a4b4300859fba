"""``@step``: a function that becomes a task when a flow calls it, and stays a function everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from headrace._base.attributes import own
from headrace._base.sizes import parse_duration, parse_size
from headrace.frontends.native.futures import Future
from headrace.frontends.native.script import wrong
from headrace.frontends.native.signature import Signature, item_call
from headrace.model.environments import Environment
from headrace.model.errors import CallError, UsageError
from headrace.model.pods import PodSettings
from headrace.model.policy import Resources, Retry, StepPolicy
from headrace.runtime.context import await_plainly, call_plainly, do_not_reuse, plain_call
from headrace.runtime.registry import register
from headrace.services.current import taking

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import TypedDict, Unpack

    class Options(TypedDict, total=False):
        """What ``@step(...)`` and ``step.options(...)`` take; see ``step``."""

        name: str
        cpu: float
        memory: str | int | None
        gpu: int
        retries: int | Retry | Mapping[str, Any]
        timeout: str | float | timedelta | None
        isolated: bool
        cache: bool
        env: Mapping[str, str]
        tags: Sequence[str] | Mapping[str, Any]
        max_parallel: int
        place: str
        secrets: str | Sequence[str]
        environment: Environment | str | None
        image: str
        pod: PodSettings | None


#: Policies of one step that are remembered, so that ``options`` in a loop makes each once.
_VARIANTS = 1_000

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
T = TypeVar("T")


class Step(Generic[P, R]):
    """A step. Call it, ``submit`` it or ``map`` it inside a flow; call it anywhere else to run the plain function."""

    def __init__(self, function: Callable[P, R], name: str = "", policy: StepPolicy | None = None) -> None:
        self._static = isinstance(function, staticmethod)
        if isinstance(function, staticmethod):  # @step above @staticmethod
            function = function.__func__
        self.__wrapped__ = function
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", "")
        self.__qualname__ = getattr(function, "__qualname__", "")
        self.__module__ = function.__module__ or ""  # code that `exec` runs may have none
        self.name = name or self.__name__
        self.policy = policy or StepPolicy()
        _refuse(function, self.name)
        #: What tells this step from another one of its name.
        self.identity: object = function.__code__
        #: Whether it is a ``Command``.
        self.is_command = False
        self.signature = Signature(function)
        #: Whether the function is a coroutine function.
        self.is_async = bool(function.__code__.co_flags & 0x80)
        self.slot = register(function)
        self._fields: tuple[str, ...] | None = None
        self._declared = (self.name, self.policy)
        self._variants: dict[tuple[str, StepPolicy], Step[P, R]] = {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it as a task and return its result; outside a run, call the function."""
        run = taking(self.name)
        if run is None:
            plain: Any = self._call_plainly(args, kwargs)
            return plain  # type: ignore[no-any-return]
        if self.is_async:
            pending: Any = run.call(self, args, kwargs)  # awaited by the flow, as the function's own coroutine would be
            return pending  # type: ignore[no-any-return]
        result: R = run.run(self, args, kwargs)
        return result

    @overload
    def submit(self: Step[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> Future[T]: ...

    @overload
    def submit(self, *args: Any, **kwargs: Any) -> Future[R]: ...

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start it as a task and return at once. Arguments may be, or contain, futures of other tasks."""
        run = taking(self.name)
        if run is None:
            return self._at_once(args, kwargs)
        future: Future[Any] = run.submit(self, args, kwargs)
        return future

    def _call_plainly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        function = self._plain_function()
        if Future.outside:
            args, kwargs = _resolved(args), _resolved(kwargs)
        if self.is_async:
            return await_plainly(function, args, kwargs)
        return call_plainly(function, args, kwargs)

    def _plain_function(self) -> Callable[..., Any]:
        """What runs when the step is called outside of a run."""
        return self.__wrapped__

    def _at_once(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[R]:
        self.signature.bind(args, kwargs)
        try:
            result = self._call_plainly(args, kwargs)
            if self.is_async:
                import asyncio

                result = asyncio.run(result)
        except Exception as error:
            return Future.failed(error)
        return Future.of(result)

    @overload
    def map(self: Step[..., Coroutine[Any, Any, T]], items: Iterable[Any], /, **shared: Any) -> list[Future[T]]: ...

    @overload
    def map(self, items: Iterable[Any], /, **shared: Any) -> list[Future[R]]: ...

    def map(self, items: Iterable[Any], /, **shared: Any) -> list[Future[Any]]:
        """Start one task per item; ``shared`` goes to all of them.

        An item becomes the first argument that ``shared`` leaves free: ``fit.map(depths, frame=frame)`` calls
        ``fit(frame, depth)`` as well as ``fit(depth, frame)``.
        """
        try:
            items = iter(items)
        except TypeError:
            raise CallError(f"{self.name}.map() takes an iterable of first arguments, not {items!r:.100}") from None
        run = taking(self.name)
        if run is None:
            place = self.signature.open_place(shared)
            return [self._at_once(*item_call(place, item, shared)) for item in items]
        futures: list[Future[Any]] = run.map(self, items, shared)
        return futures

    def options(self, **options: Unpack[Options]) -> Step[P, R]:
        """The same step with another policy, for some of its calls: ``fit.options(memory="16GiB")(...)``.

        Limits hold for all calls of a step together, whatever their options; with another ``name`` it is another step.
        """
        return self._variant(options.get("name", self.name) or self.__name__, policy_of(self.policy, options))

    def _variant(self, name: str, policy: StepPolicy) -> Step[P, R]:
        found = self._variants.get((name, policy))
        if found is None:
            _check_name(name)
            found = object.__new__(type(self))
            found.__dict__.update(self.__dict__)  # the function, its slot and the variants are shared
            found.name, found.policy = name, policy
            if len(self._variants) >= _VARIANTS:
                self._variants.clear()
            found = self._variants.setdefault((name, policy), found)
        return found

    @property
    def fields(self) -> tuple[str, ...]:
        """The outputs by name, of a step whose return type is a NamedTuple, dataclass or TypedDict."""
        if self._fields is None:
            self._fields = _fields_of(self.__wrapped__)
        return self._fields

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None or self._static:
            return self
        kind, of = ("a class method", "class") if isinstance(instance, type) else ("an instance method", "instance")
        raise wrong(
            f"step {self.name!r} is {kind}: a task has no {of}. Make it a function or a "
            "@staticmethod, and pass what it needs as arguments"
        )

    def __reduce__(self) -> Any:
        # By name: a worker has the same module. Steps made inside functions or in a notebook have no name to go by.
        if "<locals>" in self.__qualname__ or _is_interactive(self.__module__):
            return Step, (self.__wrapped__, self.name, self.policy)
        if (self.name, self.policy) != self._declared:
            return _variant, (self.__module__, self.__qualname__, self.name, self.policy)
        return _by_name, (self.__module__, self.__qualname__)

    def __repr__(self) -> str:
        return f"<step {self.name}>"


def _resolved(value: Any) -> Any:
    """``value`` with the results of the futures in it: what a task would get, for a step that runs as a function."""
    if isinstance(value, Future):
        return value.result()
    if type(value) in (list, tuple):
        items = [_resolved(item) for item in value]
        return type(value)(items) if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if type(value) is dict:
        pairs = {key: _resolved(item) for key, item in value.items()}
        return pairs if any(pairs[key] is not item for key, item in value.items()) else value
    return value


def _variant(module: str, qualname: str, name: str, policy: StepPolicy) -> Any:
    step = _by_name(module, qualname)
    return step._variant(name, policy) if isinstance(step, Step) else step


def _is_interactive(module: str) -> bool:
    """Whether this is a notebook or a prompt: what it defines is not there in a worker that was started afresh."""
    return module == "__main__" and not hasattr(sys.modules.get("__main__"), "__file__")


def _by_name(module: str, qualname: str) -> Any:
    import importlib

    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(
    *,
    name: str = "",
    cpu: float = 1,
    memory: str | int | None = None,
    gpu: int = 0,
    retries: int | Retry | Mapping[str, Any] = 0,
    timeout: str | float | timedelta | None = None,
    isolated: bool = False,
    cache: bool = False,
    env: Mapping[str, str] = ...,
    tags: Sequence[str] | Mapping[str, Any] = (),
    max_parallel: int = 0,
    place: str = "",
    secrets: str | Sequence[str] = (),
    environment: Environment | str | None = None,
    image: str = "",
    pod: PodSettings | None = None,
) -> Callable[[Callable[P, R]], Step[P, R]]: ...


def step(function: Any = None, /, **options: Any) -> Any:
    """Make a function a step of flows.

    Args:
        function: the function, when used without parentheses; options may follow it.
        options: ``name`` (default: the function's); what an attempt needs: ``cpu`` cores, ``memory`` (``"4GiB"`` or
            bytes; more is an out-of-memory failure), ``gpu`` devices; ``retries`` (a number, or a ``Retry`` with
            delay, backoff, jitter, exceptions and growing memory, or a dictionary of these); ``timeout`` per attempt
            (``"10m"`` or seconds);
            ``isolated=True`` for a fresh process per attempt; ``cache=True`` to reuse results across runs; ``env``
            variables to set; ``tags``; ``max_parallel`` tasks of this step at once (0: no limit); ``place``, the name
            of a place of the project where attempts run (default: where those of the run do); ``secrets``,
            names of variables whose values come from the environment, files or the keyring, and are stored nowhere;
            ``environment``, an ``Environment`` with the interpreter and packages of the step, or the name of one of
            ``[tool.headrace.environments]``; ``image``, the container image that attempts run in, by podman or docker,
            or as a pod; ``pod``, a ``Pod`` with what else its pods are to be like in a place that is a Kubernetes
            cluster.

    Raises:
        DefinitionError: an option is unknown or impossible, or the function cannot be a step.
    """
    if function is not None and not options:
        return Step(function)
    policy = policy_of(StepPolicy(), options)

    def decorate(wrapped: Any) -> Any:
        return Step(wrapped, options.get("name", ""), policy)

    return decorate if function is None else decorate(function)


def do_not_cache() -> None:
    """Say in a step with ``cache=True`` that what it returns this time is for this run alone, as a fallback would be.

    The run goes on with the result and keeps it; other runs run the step. Where the step does not cache, or is called
    outside of a run, nothing changes.

    Raises:
        UsageError: it was called outside of a step.
    """
    if not do_not_reuse() and plain_call() is None:
        raise UsageError("do_not_cache was called outside of a step: call it in a function under @step(cache=True)")


def policy_of(base: StepPolicy, options: Mapping[str, Any]) -> StepPolicy:
    """``base`` with what ``options`` say.

    Raises:
        DefinitionError: an option is unknown or impossible.
    """
    import msgspec

    changes: dict[str, Any] = {}
    resources: dict[str, Any] = {}
    for name, value in options.items():
        if name not in _CHECKS:
            raise wrong(_unknown(name))
        try:
            checked = _CHECKS[name](value)
        except (ValueError, TypeError, AttributeError) as error:
            raise wrong(f"step option {name}={value!r}: {error}") from None
        if name in ("cpu", "memory", "gpu"):
            resources[name] = checked
        elif name != "name":
            changes["retry" if name == "retries" else name] = checked
    if changes.get("image") and changes.get("environment"):
        raise wrong("a step has either environment= or image=: an image brings its own interpreter and packages")
    if resources:
        changes["resources"] = msgspec.structs.replace(base.resources, **resources)
        Resources(*msgspec.structs.astuple(changes["resources"]))
    return msgspec.structs.replace(base, **changes)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("it must be a number")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("it must be a whole number")
    if value < 0:
        raise ValueError("it cannot be negative")
    return value


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it must be True or False")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("it must be a text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, Mapping):
        return tuple(f"{_text(name)}={text}" if text != "" else name for name, text in value.items())
    return (value,) if isinstance(value, str) else tuple(_text(one) for one in value)


def _retry(value: Any) -> Retry:
    if isinstance(value, Mapping):
        return Retry(**value)
    return value if isinstance(value, Retry) else Retry(_whole(value))


def _size(value: Any) -> int:
    return 0 if value is None else parse_size(value)


def _duration(value: Any) -> float:
    return 0.0 if value is None else parse_duration(value)


def _variables(value: Any) -> tuple[tuple[str, str], ...]:
    pairs = tuple((str(name), str(text)) for name, text in value.items())
    for name, text in pairs:
        if not name or "=" in name or "\0" in name + text:
            raise ValueError(f"an environment variable cannot be called {name!r} or hold a NUL")
    return pairs


def _secrets(value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value)
    for name in names:
        if not isinstance(name, str) or not name.isascii() or not name.isidentifier():
            raise ValueError(f"a secret is named like an environment variable, such as HF_TOKEN, not {name!r}")
    return names


def _environment(value: Any) -> Environment | None:
    if value is None or isinstance(value, Environment):
        return value
    if isinstance(value, str) and value:
        return Environment(name=value)
    hint = "; variables are set by env=" if isinstance(value, dict) else ""
    raise ValueError(f"it must be a headrace.Environment, or the name of one of [tool.headrace.environments]{hint}")


def _image(value: Any) -> str:
    if not isinstance(value, str) or value.startswith("-") or value != value.strip() or any(map(str.isspace, value)):
        raise ValueError("it must be the name of an image, such as 'docker.io/library/r-base:4.4'")
    return value


def _pod(value: Any) -> PodSettings | None:
    if value is None or isinstance(value, PodSettings):
        return value
    raise ValueError("it must be a headrace.Pod, such as Pod(node_selector={'disk': 'ssd'})")


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "name": _text,
    "cpu": _number,
    "memory": _size,
    "gpu": _whole,
    "retries": _retry,
    "timeout": _duration,
    "isolated": _yes_or_no,
    "cache": _yes_or_no,
    "env": _variables,
    "tags": _texts,
    "max_parallel": _whole,
    "place": _text,
    "secrets": _secrets,
    "environment": _environment,
    "image": _image,
    "pod": _pod,
}


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    near = [known for known in _CHECKS if name.startswith(known)] or get_close_matches(name, list(_CHECKS), 1)
    return f"a step has no option {name!r}" + (
        f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(_CHECKS)}"
    )


def _refuse(function: Any, name: str) -> None:
    if isinstance(function, type):
        raise wrong(f"@step is for functions, {name} is a class")
    if isinstance(function, classmethod):
        raise wrong(f"step {name!r} is a class method: a task has no class; make it a @staticmethod")
    code = own(function, "__code__")
    if code is None:
        raise wrong(f"@step is for Python functions, {function!r} is not one; wrap it in one")
    if code.co_flags & (0x20 | 0x200):
        raise wrong(
            f"step {name!r} is a generator: its values would be made one by one, but a task's result is stored whole. "
            "Return a list, or make a step of what handles one item and use step.map(...)"
        )
    _check_name(name)


def _check_name(name: str) -> None:
    if not name or "/" in name or name == "<lambda>":
        raise wrong(f"a step needs a name without '/', {name!r} is none; use @step(name=...) on a function")


def _fields_of(function: Any) -> tuple[str, ...]:
    annotation = function.__annotations__.get("return")
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, function.__globals__)
        except Exception:  # only importable for type checkers: then it is one output
            return ()
    if not isinstance(annotation, type):
        return ()
    kind: Any = annotation
    names: tuple[str, ...] = ()
    if issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        names = tuple(annotation._fields)
    elif "__dataclass_fields__" in annotation.__dict__:
        names = tuple(kind.__dataclass_fields__)
    elif hasattr(annotation, "__total__") and issubclass(annotation, dict) and kind.__total__:
        names = tuple(kind.__annotations__)
    return () if "result" in names else names
