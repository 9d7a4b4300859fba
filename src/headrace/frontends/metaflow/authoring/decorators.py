"""``@step`` and decorators. A decorator is data, a name and attributes; ``running`` acts on it.

Flow decorators are kept on the class, step decorators on the function, in the order of application.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headrace.frontends.metaflow.authoring.configs import evaluated, is_unpacked
from headrace.frontends.metaflow.exceptions import (
    BadFlowDecoratorException,
    BadStepDecoratorException,
    DuplicateFlowDecoratorException,
    DuplicateStepDecoratorException,
    InvalidDecoratorAttribute,
    MetaflowException,
    UnknownStepDecoratorException,
)

#: What ``@batch`` takes: recorded, and nothing acts on it. ``@kubernetes`` is honoured in a place that is a cluster.
_BATCH: dict[str, Any] = dict.fromkeys(
    (
        *("cpu", "gpu", "memory", "image", "queue", "iam_role", "execution_role", "shared_memory", "max_swap"),
        *("swappiness", "inferentia", "trainium", "efa", "host_volumes", "efs_volumes", "aws_batch_tags"),
        *("tmpfs_size", "ephemeral_storage", "log_driver", "log_options", "executable"),
    )
)
_BATCH |= {"use_tmpfs": False, "tmpfs_tempdir": True, "tmpfs_path": "/metaflow_temp", "privileged": False}
_KUBERNETES: dict[str, Any] = dict.fromkeys(
    (
        *("image", "image_pull_policy", "image_pull_secrets", "service_account", "secrets", "node_selector"),
        *("namespace", "gpu", "gpu_vendor", "tolerations", "labels", "annotations", "use_tmpfs", "tmpfs_size"),
        *("persistent_volume_claims", "shared_memory", "port", "compute_pool", "executable", "security_context"),
    )
)
_KUBERNETES |= {"cpu": "1", "memory": "4096", "disk": "10240", "tmpfs_tempdir": True, "tmpfs_path": "/metaflow_temp"}
_KUBERNETES |= {"hostname_resolution_timeout": 600, "qos": "burstable", "extended_resources": {}}

#: Step decorators with their attributes and defaults.
STEP_DEFAULTS: dict[str, dict[str, Any]] = {
    "retry": {"times": "3", "minutes_between_retries": "2"},
    "catch": {"var": None, "print_exception": True},
    "timeout": {"seconds": 0, "minutes": 0, "hours": 0},
    "environment": {"vars": {}},
    "resources": {"cpu": None, "gpu": None, "disk": None, "memory": None, "shared_memory": None},
    "secrets": {"sources": [], "role": None, "allow_override": False},
    "card": {
        "type": "default",
        "options": {},
        "scope": "task",
        "rank": None,
        "timeout": 45,
        "id": None,
        "save_errors": True,
        "customize": False,
        "refresh_interval": 5,
    },
    "parallel": {},
    "pytorch_parallel": {"master_port": None},
    "conda": {"packages": {}, "libraries": {}, "python": None, "disabled": None},
    "pypi": {"packages": {}, "python": None, "disabled": None},
    "batch": _BATCH,
    "kubernetes": _KUBERNETES,
}
FLOW_DEFAULTS: dict[str, dict[str, Any]] = {
    "project": {"name": None, "production": False, "branch": None},
    "schedule": {"cron": None, "weekly": False, "daily": True, "hourly": False, "timezone": None},
    "trigger": {"event": None, "events": [], "options": {}},
    "trigger_on_finish": {"flow": None, "flows": [], "options": {}},
    "exit_hook": {"on_success": [], "on_error": [], "options": {}},
    "conda_base": {"packages": {}, "libraries": {}, "python": None, "disabled": None},
    "pypi_base": {"packages": {}, "python": None, "disabled": None},
}
#: Where Metaflow has the classes of decorators: their full names, by which mutators may know them.
_CLASSES = {
    "retry": "retry_decorator.RetryDecorator",
    "catch": "catch_decorator.CatchDecorator",
    "timeout": "timeout_decorator.TimeoutDecorator",
    "environment": "environment_decorator.EnvironmentDecorator",
    "resources": "resources_decorator.ResourcesDecorator",
    "secrets": "secrets.secrets_decorator.SecretsDecorator",
    "card": "cards.card_decorator.CardDecorator",
    "parallel": "parallel_decorator.ParallelDecorator",
    "pytorch_parallel": "frameworks.pytorch.PytorchParallelDecorator",
    "conda": "pypi.conda_decorator.CondaStepDecorator",
    "pypi": "pypi.pypi_decorator.PyPIStepDecorator",
    "batch": "aws.batch.batch_decorator.BatchDecorator",
    "kubernetes": "kubernetes.kubernetes_decorator.KubernetesDecorator",
    "project": "project_decorator.ProjectDecorator",
    "schedule": "aws.step_functions.schedule_decorator.ScheduleDecorator",
    "trigger": "events_decorator.TriggerDecorator",
    "trigger_on_finish": "events_decorator.TriggerOnFinishDecorator",
    "exit_hook": "exit_hook.exit_hook_decorator.ExitHookDecorator",
    "conda_base": "pypi.conda_decorator.CondaFlowDecorator",
    "pypi_base": "pypi.pypi_decorator.PyPIFlowDecorator",
}
_REPEATABLE = frozenset({"card", "exit_hook"})


class Decorator:
    """One decorator with its attributes. ``static``: written in the file; ``inserted`` by ``--with`` or a mutator."""

    def __init__(self, name: str, attributes: Mapping[str, Any], *, defaults: dict[str, Any], static: bool = True):
        self.name = name
        self.statically_defined = static
        self.inserted_by: list[str] | None = None
        self._defaults = defaults
        for one in attributes:
            if one not in defaults and not is_unpacked(one):
                raise InvalidDecoratorAttribute(name, one, defaults)
        self._take(attributes)

    def _take(self, attributes: Mapping[str, Any]) -> None:
        self.attributes = {**self._defaults, **attributes}
        self.given = dict(attributes)

    def resolve(self, values: Mapping[str, Any]) -> None:
        """Put the values of configs in place of expressions over them.

        An unpacked config may hold more than the decorator has attributes: that is left alone.

        Raises:
            MetaflowException: the configs lack something.
        """
        self._take(evaluated(self.given, values))

    @property
    def full_name(self) -> str:
        """Its name with that of the module that has it in Metaflow."""
        return f"metaflow.plugins.{_CLASSES[self.name]}"

    def __str__(self) -> str:
        if not self.given:
            return self.name
        return f"{self.name}:{','.join(f'{key}={value}' for key, value in self.given.items())}"

    @property
    def allow_multiple(self) -> bool:
        """Whether a step or flow may have several of it."""
        return self.name in _REPEATABLE


def step(f: Callable[..., Any] | None = None, *, start: bool = False, end: bool = False, node_info: Any = None) -> Any:
    """Mark a method as a step."""
    if f is None:
        return lambda function: step(function, start=start, end=end, node_info=node_info)
    function: Any = f
    function.is_step = True
    function.decorators = []
    function.config_decorators = []
    function.wrappers = []
    function.name = function.__name__
    function.is_start, function.is_end, function.node_info = start, end, node_info or {}
    return function


def is_step(value: object) -> bool:
    """Whether ``value`` is marked as a step, also by a wrapper that answers for the function it wraps.

    Only what can be called is asked: a dot dictionary would answer as well.
    """
    if not callable(value):
        return False
    try:
        return getattr(value, "is_step", False) is True
    except Exception:  # any code may stand behind an attribute
        return False


def attach(function: Any, decorator: Decorator) -> Any:
    """Put a decorator on a step.

    Raises:
        BadStepDecoratorException: it is not a step; DuplicateStepDecoratorException: it has the decorator already.
    """
    if not getattr(function, "is_step", False):
        raise BadStepDecoratorException(decorator.name, function)
    if not decorator.allow_multiple and any(d.name == decorator.name for d in function.decorators):
        raise DuplicateStepDecoratorException(decorator.name, function)
    function.decorators.append(decorator)
    return function


def find(function: Any, name: str) -> Decorator | None:
    """The decorator ``name`` of a step, if it has it."""
    for one in function.decorators:
        if one.name == name:
            found: Decorator = one
            return found
    return None


def flow_decorators(cls: Any, name: str = "") -> list[Decorator]:
    """The decorators of a flow, those of that name if one is given; bases included, the nearest first."""
    own = [kind.__dict__.get("_flow_decorators", {}) for kind in cls.__mro__]
    return [one for some in own for key, found in some.items() if not name or key == name for one in found]


def step_decorator(name: str) -> Callable[..., Any]:
    """The decorator ``@name``, to be used bare or with attributes."""

    def decorate(function: Any = None, **attributes: Any) -> Any:
        if function is not None:
            return attach(function, Decorator(name, {}, defaults=STEP_DEFAULTS[name]))
        return lambda target: attach(target, Decorator(name, attributes, defaults=STEP_DEFAULTS[name]))

    decorate.__name__ = decorate.__qualname__ = name
    decorate.__doc__ = f"The step decorator ``@{name}``; docs/metaflow.md says what it does."
    return decorate


def flow_decorator(name: str) -> Callable[..., Any]:
    """The decorator ``@name`` for a flow, to be used bare or with attributes."""

    def put(cls: Any, attributes: dict[str, Any]) -> Any:
        if not isinstance(cls, type) or not hasattr(cls, "_flow_decorators"):
            raise BadFlowDecoratorException(
                f"Decorator '{name}' can be applied only to FlowSpecs: put it above a class."
            )
        mine = cls.__dict__.get("_flow_decorators")
        if mine is None:
            mine = {}
            cls._flow_decorators = mine
        if name in mine and name not in _REPEATABLE:
            raise DuplicateFlowDecoratorException(f"Flow already has a decorator '{name}'. It can be given only once.")
        mine.setdefault(name, []).append(Decorator(name, attributes, defaults=FLOW_DEFAULTS[name]))
        return cls

    def decorate(cls: Any = None, **attributes: Any) -> Any:
        if cls is not None:
            return put(cls, {})
        return lambda target: put(target, attributes)

    decorate.__name__ = decorate.__qualname__ = name
    decorate.__doc__ = f"The flow decorator ``@{name}``; docs/metaflow.md says what it does."
    return decorate


def parse_spec(text: str) -> Decorator:
    """What ``name:key=value,key=value`` means of a decorator of Headrace; values are JSON where they can be.

    Raises:
        UnknownStepDecoratorException: there is no such decorator; InvalidDecoratorAttribute: it has no such attribute.
    """
    name, _, rest = text.partition(":")
    if name not in STEP_DEFAULTS:
        raise UnknownStepDecoratorException(
            f"Unknown step decorator '{name}'. The following decorators are supported: {', '.join(STEP_DEFAULTS)}"
        )
    return Decorator(name, parse_attributes(text, rest), defaults=STEP_DEFAULTS[name], static=False)


def parse_attributes(text: str, rest: str) -> dict[str, Any]:
    """``key=value,key=value`` as a dictionary; ``text`` is named in errors.

    Raises:
        MetaflowException: it is not of that form.
    """
    attributes = {}
    for piece in _split_pairs(rest):
        key, equals, value = piece.partition("=")
        if not equals:
            raise MetaflowException(f"{text}: '{piece}' is not of the form key=value")
        attributes[key.strip()] = _json_or_text(value)
    return attributes


_NEXT_PAIR = re.compile(r"[\s\w]+=")


def _split_pairs(text: str) -> list[str]:
    """Cut at commas outside brackets and quotes that a name and ``=`` follow."""
    pieces, start, depth, quote = [], 0, 0, ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{(":
            depth += 1
        elif char in "]})":
            depth -= 1
        elif char == "," and not depth and _NEXT_PAIR.match(text, at + 1):
            pieces.append(text[start:at])
            start = at + 1
    return [one for one in [*pieces, text[start:]] if one.strip()]


def _json_or_text(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError:
        return text.strip("'\"")


def keep_only(cls: Any, names: Sequence[str]) -> None:
    """Take all decorators off the steps of a flow but ``names``; those that users wrote themselves stay."""
    for function in cls._steps.values():
        function.decorators = [one for one in function.decorators if one.name in names]


retry, catch, timeout = step_decorator("retry"), step_decorator("catch"), step_decorator("timeout")
environment, resources, secrets = step_decorator("environment"), step_decorator("resources"), step_decorator("secrets")
card, parallel, pytorch_parallel = (
    step_decorator("card"),
    step_decorator("parallel"),
    step_decorator("pytorch_parallel"),
)
conda, pypi, batch, kubernetes = (step_decorator(one) for one in ("conda", "pypi", "batch", "kubernetes"))
project, schedule, trigger = flow_decorator("project"), flow_decorator("schedule"), flow_decorator("trigger")
trigger_on_finish, exit_hook = flow_decorator("trigger_on_finish"), flow_decorator("exit_hook")
conda_base, pypi_base = flow_decorator("conda_base"), flow_decorator("pypi_base")
