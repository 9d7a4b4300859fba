"""A flow file as programs drive it: its class, loaded beside ``__main__``, and keywords checked and turned into words.

What a command takes is asked of the command line itself, so that the two cannot differ.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import click

from headrace._base.backports import chdir
from headrace.frontends.metaflow.authoring.configs import ConfigValue
from headrace.frontends.metaflow.authoring.parameters import JSONType, Parameter
from headrace.frontends.metaflow.authoring.prepare import prepare
from headrace.frontends.metaflow.commands.cli import make_group
from headrace.frontends.metaflow.identity import user_name
from headrace.frontends.metaflow.programs.flow_loader import load_flow

#: Keywords whose name is not that of the option's variable.
_KEYWORDS = {"more_decospecs": "decospecs", "namespace": "user_namespace"}
_CONFIGS = ("config", "config_value")


class FlowFile:
    """The flow of a file. ``path`` is absolute.

    Raises:
        FileNotFoundError: there is no such file.
        MetaflowException: it holds no flow, or several.
        Exception: whatever the file itself raises when it is loaded.
    """

    def __init__(self, path: str, cwd: str, env: Mapping[str, str]) -> None:
        self.path = os.path.abspath(path)  # noqa: PTH100
        self._cwd = cwd
        self._env = env
        self._fresh: Any = load_flow(self.path, lasting=False)
        self.name: str = self._fresh.__name__

    def command(self, top: dict[str, Any], name: str, given: dict[str, Any]) -> list[str]:
        """What follows ``python`` to call command ``name``: ``top`` are keywords before it, ``given`` those after.

        Raises:
            ValueError: a keyword is unknown, or one is missing.
            TypeError: a value is of another type than the option takes.
        """
        cls, self._fresh = (
            self._fresh or load_flow(self.path, lasting=False),
            None,
        )  # configs and mutators change a class for good
        configs = {key: _Configs([f"--{key.replace('_', '-')}", key]) for key in _CONFIGS} if cls._configs() else {}
        for key in configs.keys() & top.keys():
            _check_type(key, configs[key], top[key])
        self._prepare(cls, top)
        group = make_group(cls)
        early = _words({**_options(group), **configs}, top)
        options = _options(group.commands[name])
        if name == "resume":  # a resume from a program has the values that its origin had
            options = {key: one for key, one in options.items() if not _is_parameter(one)}
        return [self.path, *early, name, *_words(options, given)]

    def _prepare(self, cls: Any, top: dict[str, Any]) -> None:
        """Let configs and mutators have their say: they may add parameters."""
        files: dict[str, str] = json.loads(self._env.get("METAFLOW_FLOW_CONFIG", "{}"))
        texts: dict[str, Any] = json.loads(self._env.get("METAFLOW_FLOW_CONFIG_VALUE", "{}"))
        files |= dict(top.get("config") or ())
        texts |= {key: _as_json(value) for key, value in top.get("config_value") or ()}
        with chdir(self._cwd):
            prepare(cls, files, texts, user_name())


class OfFlowFile:
    """What drives a flow file from a program: in folder ``cwd``, with ``env`` beside the environment.

    Other keywords are options before the command.

    Raises:
        FileNotFoundError: there is no such file.
        MetaflowException: it holds no flow, or several.
    """

    def __init__(
        self,
        flow_file: str,
        show_output: bool = True,
        profile: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        file_read_timeout: int = 3600,
        **kwargs: Any,
    ) -> None:
        self.flow_file = os.path.abspath(flow_file)  # noqa: PTH100
        self.show_output = show_output
        self.profile, self.env = profile, env
        self.env_vars = {**os.environ, **(env or {}), **({"METAFLOW_PROFILE": profile} if profile else {})}
        self.cwd = cwd or os.getcwd()  # noqa: PTH109
        self.file_read_timeout = file_read_timeout
        self.top_level_kwargs = kwargs
        self._flow = FlowFile(self.flow_file, self.cwd, self.env_vars)


# --- keywords to words --------------------------------------------------------------------------------------------


class _Configs(click.Option):
    """``--config`` and ``--config-value``, which the command line takes apart by itself."""


def _options(command: click.Command) -> dict[str, click.Parameter]:
    """What a command takes, by keyword."""
    found: dict[str, click.Parameter] = {}
    for one in command.params:
        name = _flag(one).replace("-", "_").lower() if _is_parameter(one) else str(one.name)
        found[_KEYWORDS.get(name, name)] = one
    return found


def _is_parameter(option: click.Parameter) -> bool:
    return isinstance(getattr(option.type, "parameter", None), Parameter)


def _flag(option: click.Parameter) -> str:
    return option.opts[0].lstrip("-")


def _words(options: dict[str, click.Parameter], given: dict[str, Any]) -> list[str]:
    words: list[str] = []
    behind: list[str] = []  # arguments follow all options
    for key, value in given.items():
        option = options.get(key)
        if option is None:
            raise ValueError(f"Unknown argument: '{key}', possible args are: {', '.join(options)}")
        _check_type(key, option, value)
        if value is None:
            continue
        if isinstance(option, click.Argument):
            behind.append(str(value))
        else:
            words += _of_option(option, value)
    missing = [_flag(one) for key, one in options.items() if one.required and key not in given]
    if missing:
        raise ValueError(f"Missing argument: {missing[0]} is required.")
    return words + behind


def _of_option(option: click.Parameter, value: Any) -> list[str]:
    name = f"--{_flag(option)}"
    if isinstance(option, _Configs):
        return [word for config, one in value for word in (name, config, _as_json(one))]
    if getattr(option, "count", False):
        return [name] * (value if isinstance(value, int) else len(value))
    if getattr(option, "is_flag", False):
        return [name] if value else list(option.secondary_opts[:1])
    if option.nargs != 1:
        return [word for one in (value if option.multiple else [value]) for word in (name, *map(str, one))]
    if option.multiple:
        return [f"{name}={one}" for one in value]
    return [f"{name}={json.dumps(value) if _kind(option) is JSONType else value}"]


def _as_json(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value.to_dict() if isinstance(value, ConfigValue) else value)


def _check_type(key: str, option: click.Parameter, value: Any) -> None:
    if value is None and not option.required:
        return
    kind = _kind(option)
    if isinstance(option, _Configs):
        fits, expected = _are_configs(option, value), "a list of (name, value)"
    elif getattr(option, "count", False):
        fits, expected = isinstance(value, (int, list, tuple)), "how often"
    elif getattr(option, "is_flag", False) and _is_parameter(option):
        fits, expected = value in (True, False, option.type.parameter.activation), "True or False"  # type: ignore[attr-defined]
    elif option.multiple or option.nargs != 1:
        fits = isinstance(value, (list, tuple)) and (option.multiple or len(value) == option.nargs)
        expected = "a list" if option.multiple else f"{option.nargs} values"
        if not _is_parameter(option):
            fits, expected = fits and all(isinstance(one, str) for one in value), "a list of texts"
    elif kind is JSONType:
        fits, expected = value is not None, "what JSON can hold"
    else:
        fits = isinstance(value, (int, float) if kind is float else kind)
        expected = kind.__name__
    if not fits:
        raise TypeError(f"Invalid type for '{key}': expected {expected}, but found {value!r}")


def _are_configs(option: click.Parameter, value: Any) -> bool:
    kinds = str if option.name == "config" else (dict, ConfigValue)
    return isinstance(value, (list, tuple)) and all(
        isinstance(one, (list, tuple)) and len(one) == 2 and isinstance(one[0], str) and isinstance(one[1], kinds)
        for one in value
    )


def _kind(option: click.Parameter) -> Any:
    """The Python type that an option takes."""
    parameter = getattr(option.type, "parameter", None)
    if isinstance(parameter, Parameter):
        kind = parameter.kind
        return kind if kind in (int, float, bool, JSONType) else str
    if getattr(option, "is_flag", False):
        return bool
    return {"integer": int, "float": float}.get(option.type.name, str)
