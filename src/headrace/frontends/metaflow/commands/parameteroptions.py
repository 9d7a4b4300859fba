"""The options of ``run`` and ``resume`` that parameters of a flow are.

What comes of them is that of Metaflow, which hands on to ``click`` 7 whatever a ``Parameter`` is given: flags, counts,
several words, variables of the environment, prompts, callbacks. Here ``click`` only takes the words apart.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from typing import Any

import click

from headrace.frontends.metaflow.authoring.parameters import JSONType, Parameter

_NAMES = {"str": "text", "int": "integer", "bool": "boolean"}


class ParameterType(click.ParamType):  # type: ignore[type-arg]
    """Says to what parameter an option belongs, and how help calls its values."""

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter
        kind = parameter.kind
        self.name = "json" if kind is JSONType else _name(kind)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value as it is: ``ParameterOption`` converts it."""
        return value


def _name(kind: Any) -> str:
    if isinstance(kind, tuple):
        return f"<{' '.join(_name(one).upper() for one in kind)}>"
    name = str(getattr(kind, "__name__", None) or getattr(kind, "name", "text"))
    return _NAMES.get(name, name)


class ParameterOption(click.Option):
    """The option of a parameter. ``default_of`` gives the value of one that is not given; None: it stays unset."""

    def __init__(self, parameter: Parameter, default_of: Callable[[Parameter], Any] | None) -> None:
        self.parameter = parameter
        self._default_of = default_of
        counts = parameter.counts or (parameter.is_flag and parameter.is_multiple)
        kind = ParameterType(parameter)
        super().__init__(
            [f"--{parameter.name}", variable(parameter)],
            type=kind,
            required=bool(parameter.required) and parameter.default is None and default_of is not None,
            count=counts,
            nargs=1 if parameter.is_flag or counts else parameter.nargs,
            multiple=parameter.is_multiple and not counts,
            hidden=bool(parameter.more.get("hidden")),
            is_eager=bool(parameter.more.get("is_eager")),
            metavar=parameter.more.get("metavar") or kind.name.upper() + ("..." if parameter.nargs != 1 else ""),
            help=str(parameter.help or "") + _facts(parameter),
            default=None,
            **({"is_flag": True} if parameter.is_flag and not counts else {}),
        )

    @property
    def variables(self) -> list[str]:
        """Where in the environment its value may be."""
        given = self.parameter.more.get("envvar") or []
        auto = self.parameter.more.get("allow_from_autoenv", True)
        own = ["METAFLOW_RUN_" + self.parameter.name.replace("-", "_").upper()] if auto else []
        return [*([given] if isinstance(given, str) else given), *own]

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Find the value: in the words, the environment, by asking, in the default; convert it, call the callback."""
        try:
            value, found = self._found(opts.get(self.name or ""), ctx)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx=ctx, param=self) from None
        except click.BadParameter as error:  # of a type of click's, which does not know where it is used
            error.ctx, error.param = error.ctx or ctx, error.param or self
            raise
        if self.required and value in (None, ()) and not ctx.resilient_parsing:
            raise click.MissingParameter(ctx=ctx, param=self)
        callback = self.parameter.more.get("callback")
        if callback is not None and (found or self._default_of is not None) and not ctx.resilient_parsing:
            seen = copy.copy(self)
            seen.name = self.parameter.name.replace("-", "_").lower()
            value = callback(ctx, seen, value)
        ctx.params[self.name or ""] = value
        return value, args

    def _found(self, raw: Any, ctx: click.Context) -> tuple[Any, bool]:
        """The value, and whether it was given."""
        parameter = self.parameter
        if raw is not None and not (self.count and not raw):
            if parameter.is_flag:
                raw = (parameter.activation,) * raw if parameter.is_multiple else parameter.activation
            value = parameter.convert(raw)
            if value is not None:  # else it is the null of JSON, which stands for the default
                return value, True
        if self._default_of is None or ctx.resilient_parsing:
            return None, False
        text = self._from_environment()
        if text is not None:
            return parameter.convert(parameter.cut(text)), True
        if parameter.more.get("prompt"):
            return self._ask(), True
        return self._default_of(parameter), False

    def _from_environment(self) -> str | None:
        several = not isinstance(self.parameter.more.get("envvar"), str | None)
        for name in self.variables:
            text = os.environ.get(name)
            if text or (text is not None and (several or name.startswith("METAFLOW_RUN_"))):
                return text
        return None

    def _ask(self) -> Any:
        assert self._default_of is not None
        parameter = self.parameter
        prompt = parameter.more["prompt"]
        text = parameter.name.replace("-", "_").lower().replace("_", " ").capitalize() if prompt is True else prompt
        default = self._default_of(parameter)
        if parameter.is_bool_flag:
            return click.confirm(text, default)
        return click.prompt(
            text,
            default=default,
            hide_input=bool(parameter.more.get("hide_input")),
            confirmation_prompt=bool(parameter.more.get("confirmation_prompt")),
            value_proc=lambda one: _converted(parameter, one),
        )


def _converted(parameter: Parameter, text: Any) -> Any:
    try:
        return parameter.convert(parameter.cut(text) if isinstance(text, str) else text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None  # asks again


def variable(parameter: Parameter) -> str:
    """The keyword of its option."""
    return "parameter_" + parameter.name.replace("-", "_")


def words_of_parameters(cls: Any) -> dict[str, int]:
    """Of each option that is a parameter, how many words follow it, before mutators have their say."""
    found = {}
    for one in cls._parameters().values():
        found[f"--{one.name}"] = 0 if one.is_flag or one.counts else one.nargs
    return found


def _facts(parameter: Parameter) -> str:
    """What help says behind the text of a parameter: its variable, its default."""
    facts = []
    if parameter.more.get("show_envvar") and parameter.more.get("envvar"):
        names = parameter.more["envvar"]
        facts.append(f"env var: {names if isinstance(names, str) else ', '.join(names)}")
    default = parameter.default
    if default is None and (parameter.is_flag or parameter.counts):
        default = False if parameter.is_flag else 0
    if default is not None and parameter.show_default is not False:
        facts.append(f"default: {_shown(parameter, default)}")
    return f"  [{'; '.join(facts)}]" if facts else ""


def _shown(parameter: Parameter, default: Any) -> str:
    shown: Any = parameter.show_default
    if isinstance(shown, str):
        return f"({shown})"
    if callable(default):
        return f"deploy-time value of {parameter.name}"
    return ", ".join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)
