"""Between the file and the graph: configs are read, expressions over them evaluated, mutators called."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from typing import Any

from headrace.frontends.metaflow.authoring.configs import Config, evaluated, unwrap
from headrace.frontends.metaflow.authoring.decorators import flow_decorators
from headrace.frontends.metaflow.authoring.parameters import ParameterContext
from headrace.frontends.metaflow.authoring.projects import Naming, project_facts
from headrace.frontends.metaflow.authoring.userdecorators import MutableFlow, MutableStep, attach_dynamic
from headrace.frontends.metaflow.current import define
from headrace.frontends.metaflow.exceptions import CommandUsageException, MetaflowException

#: Options before the command that take no value.
_FLAGS = frozenset(["--quiet", "--not-quiet", "--pylint", "--no-pylint", "--production", "--help"])


def split_configs(argv: list[str]) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """Take ``--config NAME FILE`` and ``--config-value NAME JSON`` out of what stands before the command.

    Returns the rest, files and values by name. What the command line does not give comes from ``METAFLOW_FLOW_CONFIG``
    and ``METAFLOW_FLOW_CONFIG_VALUE``.

    Raises:
        CommandUsageException: one of them lacks something; MetaflowException: a variable holds no JSON object.
    """
    given: dict[str, dict[str, Any]] = {"--config": {}, "--config-value": {}}
    rest: list[str] = []
    at = 0
    while at < len(argv) and argv[at].startswith("-"):
        option, joined, first = argv[at].partition("=")
        if option not in given:
            width = 1 if joined or option in _FLAGS else 2
            rest += argv[at : at + width]
            at += width
            continue
        words = [*([first] if joined else []), *argv[at + 1 : at + (2 if joined else 3)]]
        if len(words) < 2:
            raise CommandUsageException(f"{option} wants a name and a value")
        given[option][words[0]] = words[1]
        at += 2 if joined else 3
    files = given["--config"] or _from_variable("METAFLOW_FLOW_CONFIG")
    values = given["--config-value"] or _from_variable("METAFLOW_FLOW_CONFIG_VALUE")
    return [*rest, *argv[at:]], files, values


def _from_variable(name: str) -> dict[str, Any]:
    text = os.environ.get(name)
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise MetaflowException(f"The environment variable {name} holds no JSON: {error}") from None
    if not isinstance(found, dict):
        raise MetaflowException(f"The environment variable {name} must hold a JSON object: configs by name")
    return found


def prepare(
    cls: Any,
    files: dict[str, Any],
    texts: dict[str, Any],
    user: str,
    given: dict[str, Any] | None = None,
    naming: Naming | None = None,
    *,
    added: Sequence[str] = (),
) -> None:
    """Make ``cls`` ready to run: what ``begin`` and ``finish`` do, at once. Raises as they do."""
    begin(cls, files, texts, user, given, naming)
    finish(cls, added)


def begin(
    cls: Any,
    files: dict[str, Any],
    texts: dict[str, Any],
    user: str,
    given: dict[str, Any] | None = None,
    naming: Naming | None = None,
) -> None:
    """Make ``cls`` ready to be looked at: afterwards it holds no expression over configs.

    ``given`` are values of configs that are known already, as those of a run that is resumed; ``naming`` is what the
    command line says of its project.

    Raises:
        MetaflowException: a config cannot be had, an expression cannot be evaluated, or a mutator raised.
    """
    if vars(cls).get("_headrace_prepared"):
        return
    cls._headrace_prepared = True
    configs: dict[str, Config] = cls._configs()
    _refuse_unknown(configs, [*files, *texts])
    values: dict[str, Any] = {}
    for attribute, config in configs.items():
        if given is not None and attribute in given:
            values[attribute] = values[config.name] = given[attribute]
            continue
        context = ParameterContext(cls.__name__, user, config.name, print, "local", values)
        name = config.name
        values[attribute] = values[name] = config.resolve(context, files.get(name), texts.get(name))
    cls._config_values = {attribute: values[attribute] for attribute in configs}
    _evaluate(cls, values)
    _mutate_early(cls, values)
    define_flow(cls, naming or Naming(), user)  # decorators are settled: the flow has its names from here on
    _check_parameters(cls, values)
    cls._headrace_begun = True


def finish(cls: Any, added: Sequence[str] = ()) -> None:
    """Put the decorators of ``--with`` on the steps, then let mutators, which see these, have their second say, once.

    A command line does so when it has checked the flow.

    Raises:
        Exception: what one of them raises.
    """
    attach_dynamic(cls, added)
    if not vars(cls).get("_headrace_begun"):
        return
    cls._headrace_begun = False
    late = MutableFlow(cls, dict(cls._config_values), early=False)
    for mutator in _mutators(cls):
        mutator.mutate(late)
    for function in list(cls._steps.values()):
        for one in list(function.config_decorators):
            one.mutate(MutableStep(late, function))
    # To be read again: steps may have got other decorators.
    cls._steps_by_name = cls._headrace_graph = cls._headrace_graph_info = None


def define_flow(cls: Any, naming: Naming, user: str) -> None:
    """Let ``current`` know the flow and its project; one that is named wrongly is refused when the flow is checked."""
    cls._headrace_known = {"flow_name": cls.__name__}
    with contextlib.suppress(MetaflowException):
        cls._headrace_known |= project_facts(cls, naming.branch, naming.production, user)
    define(cls._headrace_known)


def _refuse_unknown(configs: dict[str, Config], names: list[str]) -> None:
    known = {one.name for one in configs.values()}
    if len(known) < len(configs):
        raise MetaflowException(f"Several configs of the flow have the same name; there are {', '.join(sorted(known))}")
    for name in names:
        if name not in known:
            raise CommandUsageException(f"There is no config '{name}'; there are {', '.join(sorted(known)) or 'none'}")


def _evaluate(cls: Any, values: dict[str, Any]) -> None:
    _evaluate_parameters(cls, values)
    for function in cls._steps.values():
        for one in function.decorators:
            one.resolve(values)
    for one in flow_decorators(cls):
        one.resolve(values)


def _evaluate_parameters(cls: Any, values: dict[str, Any]) -> None:
    for parameter in cls._parameters().values():
        for field in ("default", "help", "required", "type", "separator", "show_default"):
            setattr(parameter, field, unwrap(evaluated(getattr(parameter, field), values)))
        parameter.fill(unwrap(evaluated(parameter.more, values)))


def _check_parameters(cls: Any, values: dict[str, Any]) -> None:
    """Refuse parameters that are declared wrongly, those that mutators added included.

    Raises:
        MetaflowException: one is.
    """
    _evaluate_parameters(cls, values)
    seen: set[str] = set()
    for parameter in cls._parameters().values():
        parameter.check()
        if parameter.name.lower() in seen:
            raise MetaflowException(
                f"Parameter *{parameter.name}* is specified twice. Note that parameter names are case-insensitive."
            )
        seen.add(parameter.name.lower())


def _mutate_early(cls: Any, values: dict[str, Any]) -> None:
    for function in cls._steps.values():
        for one in (*function.wrappers, *function.config_decorators):
            one.external_init(values)
    for mutator in _mutators(cls):
        mutator.external_init(values)
    early = MutableFlow(cls, dict(cls._config_values), early=True)
    for mutator in _mutators(cls):
        mutator.pre_mutate(early)
    for function in list(cls._steps.values()):
        for one in list(function.config_decorators):
            one.pre_mutate(MutableStep(early, function))


def _mutators(cls: Any) -> list[Any]:
    return [one for kind in reversed(cls.__mro__) for one in vars(kind).get("_flow_mutators", [])]
