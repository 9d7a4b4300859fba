"""``Parameter``, ``JSONType`` and ``IncludeFile``: what a flow takes, from the command line to the first step."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from headrace.frontends.metaflow.exceptions import (
    MetaflowException,
    ParameterFieldFailed,
    ParameterFieldTypeMismatch,
)

RESERVED = frozenset(
    [
        "params",
        "with",
        "tag",
        "namespace",
        "obj",
        "tags",
        "decospecs",
        "run-id-file",
        "max-num-splits",
        "max-workers",
        "max-log-size",
        "user-namespace",
        "run-id",
        "task-id",
        "runner-attribute-file",
    ]
)


class _JSONType:
    """The type of a parameter whose value is JSON."""

    name = "JSON"

    def __repr__(self) -> str:
        return "JSON"


JSONType = _JSONType()


class ParameterContext(NamedTuple):
    """What the function behind a default is called with."""

    flow_name: str
    user_name: str
    parameter_name: str
    logger: Callable[..., None]
    ds_type: str
    configs: Any


class Parameter:
    """A named value that the flow takes. See docs/metaflow.md."""

    IS_CONFIG_PARAMETER = False

    def __init__(
        self,
        name: str,
        default: Any = None,
        type: Any = None,  # noqa: A002 - the name that flows use
        help: str | None = None,  # noqa: A002
        required: bool | None = None,
        show_default: bool | None = None,
        separator: str | None = None,
        **more: Any,
    ) -> None:
        self.name = name
        self.default = default
        self.type = type
        self.help = help
        self.required = required
        self.show_default = True if show_default is None else show_default
        self.separator = separator
        self.more = more
        if name.lower() in RESERVED:
            raise MetaflowException(f"Parameter name '{name}' is a reserved word. Please use a different name.")
        if not all(char.isalnum() or char in "_-" for char in name) or not name:
            raise MetaflowException(f"Parameter name '{name}' is not valid: use letters, digits and underscores.")
        if separator is not None and self.kind is not str:
            raise MetaflowException(f"Parameter *{name}*: Separator is only allowed for string parameters.")

    def __repr__(self) -> str:
        return f"metaflow.Parameter(name={self.name}, default={self.default!r})"

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    @property
    def kind(self) -> Any:
        """Its type: as given, else that of the default, else str."""
        if self.type is not None:
            return self.type
        if self.default is None or callable(self.default):
            return str
        if isinstance(self.default, (dict, list)):
            return JSONType
        return type(self.default) if isinstance(self.default, (str, int, float, bool)) else str

    @property
    def is_string_type(self) -> bool:
        """Whether values are texts."""
        return self.kind is str

    def resolve_default(self, context: ParameterContext) -> Any:
        """The default, with the function behind it called if there is one.

        Raises:
            ParameterFieldFailed: the function raised; ParameterFieldTypeMismatch: it is of another type.
        """
        value = self.default
        if callable(value) and not isinstance(value, type):
            try:
                value = self.default(context) if _takes_argument(self.default) else self.default()
            except Exception as error:
                raise ParameterFieldFailed(
                    f"When evaluating the field *default* for the Parameter *{self.name}*, the following exception "
                    f"occurred:\n\n{type(error).__name__}: {error}"
                ) from error
        return self.check_default(value)

    def check_default(self, value: Any) -> Any:
        """``value`` when it is of this parameter's type.

        Raises:
            ParameterFieldTypeMismatch: it is not.
        """
        kind = self.kind
        if value is None:
            return None
        if kind is JSONType:
            return self.parse(value) if isinstance(value, str) else value
        if self.separator is not None and isinstance(value, str):
            return self.parse(value)
        fits = isinstance(value, kind) if isinstance(kind, type) else True
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if not fits:
            raise ParameterFieldTypeMismatch(
                f"The value returned by the function or given as the default of the Parameter *{self.name}* has type "
                f"'{type(value).__name__}', but the parameter has type '{getattr(kind, '__name__', kind)}'."
            )
        return value

    def parse(self, text: Any) -> Any:
        """A value from the command line or the environment.

        Raises:
            ValueError: it does not fit the type.
        """
        kind = self.kind
        if not isinstance(text, str):
            return json.loads(json.dumps(text)) if kind is JSONType else self.check_default(text)
        if kind is JSONType:
            try:
                return json.loads(text)
            except ValueError:
                raise ValueError(f"{text} is not a valid JSON object") from None
        if kind is bool:
            return _parse_bool(text)
        if kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                what = "integer" if kind is int else "floating point value"
                raise ValueError(f"{text} is not a valid {what}") from None
        return text.split(self.separator) if self.separator is not None and text else text


def _parse_bool(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in ("true", "t", "1", "yes", "y"):
        return True
    if lowered in ("false", "f", "0", "no", "n"):
        return False
    raise ValueError(f"{text} is not a valid boolean")


def _takes_argument(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    return code is None or code.co_argcount > (1 if hasattr(function, "__self__") else 0)


class IncludedFile:
    """A file named on the command line, before it is read."""

    def __init__(self, path: str) -> None:
        self.path = path


class IncludeFile(Parameter):
    """A parameter whose value is what a file holds; ``self.name`` in a step is its content."""

    def __init__(
        self,
        name: str,
        default: Any = None,
        required: bool | None = None,
        is_text: bool = True,
        encoding: str | None = None,
        help: str | None = None,  # noqa: A002
        parser: Any = None,
        **more: Any,
    ) -> None:
        super().__init__(name, default=default, required=required, help=help, type=str, **more)
        self.is_text = is_text
        self.encoding = encoding or "utf-8"
        self.parser = parser

    def check_default(self, value: Any) -> Any:
        """The content of the file that ``value`` names."""
        return None if value is None else self.parse(value)

    def parse(self, text: Any) -> Any:
        """The content of file ``text``.

        Raises:
            ValueError: it cannot be read.
        """
        import os

        try:
            with open(os.path.expanduser(text), "rb") as file:  # noqa: PTH111, PTH123
                data = file.read()
        except OSError as error:
            raise ValueError(f"could not open file '{text}': {error.strerror}") from None
        content: Any = data.decode(self.encoding) if self.is_text else data
        if self.parser is not None:
            parse = load_function(self.parser) if isinstance(self.parser, str) else self.parser
            content = parse(content)
        return content


def load_function(name: str) -> Any:
    """The function that ``package.module.name`` names; parsers of this package go by their bare names."""
    import importlib

    if "." not in name:
        name = f"headrace.frontends.metaflow.configs.{name}"
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)
