"""Between the file and the graph: configs are read, expressions over them evaluated, mutators called."""

from __future__ import annotations

import json
import os
from typing import Any

from headrace.frontends.metaflow.configs import Config, evaluated
from headrace.frontends.metaflow.exceptions import CommandUsageException
from headrace.frontends.metaflow.parameters import ParameterContext
from headrace.frontends.metaflow.userdeco import MutableFlow, MutableStep


def split_configs(argv: list[str]) -> tuple[list[str], dict[str, str], dict[str, str]]:
    """Take ``--config NAME FILE`` and ``--config-value NAME JSON`` out of a command line: ``(rest, files, values)``.

    Raises:
        CommandUsageException: one of them lacks something.
    """
    files: dict[str, str] = json.loads(os.environ.get("METAFLOW_FLOW_CONFIG", "{}"))
    values: dict[str, str] = json.loads(os.environ.get("METAFLOW_FLOW_CONFIG_VALUE", "{}"))
    rest: list[str] = []
    at = 0
    while at < len(argv):
        if argv[at] in ("--config", "--config-value"):
            if at + 2 >= len(argv):
                raise CommandUsageException(f"{argv[at]} wants a name and a value")
            (files if argv[at] == "--config" else values)[argv[at + 1]] = argv[at + 2]
            at += 3
        else:
            rest.append(argv[at])
            at += 1
    return rest, files, values


def prepare(
    cls: Any, files: dict[str, str], texts: dict[str, Any], user: str, given: dict[str, Any] | None = None
) -> None:
    """Make ``cls`` ready to be looked at: afterwards it holds no expression over configs.

    ``given`` are values of configs that are known already, as those of a run that is resumed.

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
    _mutate(cls, values)


def _refuse_unknown(configs: dict[str, Config], names: list[str]) -> None:
    known = {one.name for one in configs.values()}
    for name in names:
        if name not in known:
            raise CommandUsageException(f"There is no config '{name}'; there are {', '.join(sorted(known)) or 'none'}")


def _evaluate(cls: Any, values: dict[str, Any]) -> None:
    for parameter in cls._parameters().values():
        for field in ("default", "help", "required", "type", "separator", "show_default"):
            setattr(parameter, field, evaluated(getattr(parameter, field), values))
    for function in cls._steps.values():
        for one in function.decorators:
            one.resolve(values)
    for kind in cls.__mro__:
        for some in vars(kind).get("_flow_decorators", {}).values():
            for one in some:
                one.resolve(values)


def _mutate(cls: Any, values: dict[str, Any]) -> None:
    for function in cls._steps.values():
        for one in (*function.wrappers, *function.config_decorators):
            one.external_init(values)
    mutators = [one for kind in reversed(cls.__mro__) for one in vars(kind).get("_flow_mutators", [])]
    for mutator in mutators:
        mutator.external_init(values)
    named = {attribute: cls._config_values[attribute] for attribute in cls._config_values}
    early = MutableFlow(cls, named, early=True)
    for mutator in mutators:
        mutator.pre_mutate(early)
    for function in list(cls._steps.values()):
        for one in list(function.config_decorators):
            one.pre_mutate(MutableStep(early, function))
    late = MutableFlow(cls, named, early=False)
    for mutator in mutators:
        mutator.mutate(late)
    for function in list(cls._steps.values()):
        for one in list(function.config_decorators):
            one.mutate(MutableStep(late, function))
