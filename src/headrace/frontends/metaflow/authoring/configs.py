"""``Config``: values from files or the command line, known before the flow is built, so that decorators may use them.

Until they are read, ``config.a.b`` and ``config_expr("config.a.b")`` are ``DelayEvaluator`` objects; ``prepare`` puts
the values in their place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from headrace.frontends.metaflow.authoring.parameters import ParameterContext, load_function
from headrace.frontends.metaflow.exceptions import CommandException, CommandUsageException, MetaflowException
from headrace.frontends.metaflow.names import stored

_UNPACK = "_unpacked_delayed_"


@stored
class ConfigValue(dict[str, Any]):
    """The value of a config: a mapping that cannot be changed, read as ``value.key`` or ``value["key"]``.

    It is a ``dict`` for ``isinstance`` and ``json.dumps``.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__({key: wrap(one) for key, one in data.items()})

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__") or key not in self:
            raise AttributeError(key, name=key, obj=self)
        return self[key]

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("ConfigValue is immutable")

    __setattr__ = __delattr__ = __setitem__ = __delitem__ = _refuse
    clear = update = setdefault = pop = popitem = __ior__ = _refuse

    def copy(self) -> ConfigValue:
        """The same again."""
        return ConfigValue(self)

    def __reduce__(self) -> Any:
        return ConfigValue, (self.to_dict(),)

    def to_dict(self) -> dict[Any, Any]:
        """The same as plain dictionaries and lists."""
        plain: dict[Any, Any] = unwrap(self)
        return plain


def wrap(value: Any) -> Any:
    """``value`` with mappings in it as ``ConfigValue``."""
    if isinstance(value, ConfigValue):
        return value
    if isinstance(value, Mapping):
        return ConfigValue(value)
    if isinstance(value, (list, tuple)):
        return type(value)([wrap(one) for one in value])
    return value


def unwrap(value: Any) -> Any:
    """``value`` with ``ConfigValue`` in it as plain dictionaries."""
    if isinstance(value, Mapping):
        return {key: unwrap(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([unwrap(one) for one in value])
    return value


class _Unread(Mapping[str, Any]):
    """What stands for a mapping that is not known yet: ``**`` of it is one key that says whose place it keeps."""

    def __iter__(self) -> Iterator[str]:
        return iter([f"{_UNPACK}{id(self)}"])

    def __len__(self) -> int:
        return 1

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class DelayEvaluator(_Unread):
    """An expression over configs whose value is not known yet."""

    def __init__(self, expression: str, known: dict[str, Any] | None = None) -> None:
        self._expression = expression
        self._known = known  # the names of the module that the expression is written in

    def __getattr__(self, name: str) -> DelayEvaluator:
        if name.startswith("__"):
            raise AttributeError(name)
        return DelayEvaluator(f"{self._expression}.{name}", self._known)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str) and key.startswith(_UNPACK):
            return self
        if isinstance(key, DelayEvaluator):
            return DelayEvaluator(f"{self._expression}[{key._expression}]", self._known)
        return DelayEvaluator(f"{self._expression}[{key!r}]", self._known)

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """Its value, now that the configs are read.

        Raises:
            MetaflowException: the configs have no such value.
        """
        try:
            return eval(self._expression, self._known or {}, dict(values))  # an expression in the user's own file
        except Exception as error:
            raise MetaflowException(
                f"The configuration expression {self._expression!r} cannot be evaluated: "
                f"{type(error).__name__}: {error}"
            ) from error


def config_expr(expression: str) -> DelayEvaluator:
    """An expression over the flow's configs, for use in decorators."""
    import sys

    return DelayEvaluator(expression, sys._getframe(1).f_globals)


def evaluated(value: Any, values: Mapping[str, Any]) -> Any:
    """``value`` with expressions over configs in it evaluated; ``**config`` in dictionaries is unpacked."""
    if isinstance(value, Config):
        return values[value.name]
    if isinstance(value, DelayEvaluator):
        return value(values)
    if type(value) is dict:
        result: dict[Any, Any] = {}
        for key, one in value.items():
            if isinstance(key, str) and key.startswith(_UNPACK):
                result.update(unwrap(evaluated(one, values)))
            else:
                result[key] = evaluated(one, values)
        return result
    if type(value) in (list, tuple, set):
        return type(value)([evaluated(one, values) for one in value])
    return value


def is_unpacked(key: str) -> bool:
    """Whether a keyword stands for an unpacked config."""
    return key.startswith(_UNPACK)


class Config(_Unread):
    """A named configuration of a flow. See docs/metaflow.md."""

    IS_CONFIG_PARAMETER = True

    def __init__(
        self,
        name: str,
        default: Any = None,
        default_value: Any = None,
        help: str | None = None,  # noqa: A002 - the name that flows use
        required: bool | None = None,
        parser: str | Callable[[str], Any] | None = None,
        plain: bool = False,
        **more: Any,
    ) -> None:
        if default is not None and default_value is not None:
            raise MetaflowException(f"Config *{name}* can have a default or a default_value, not both.")
        self.name = name
        self.default = default
        self.default_value = default_value
        self.help = help
        self.required = required
        self.parser = parser
        self.plain = plain

    def __getattr__(self, name: str) -> DelayEvaluator:
        if name.startswith("_"):
            raise AttributeError(name)
        return DelayEvaluator(f"{self.name}.{name}")

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str) and key.startswith(_UNPACK):
            return DelayEvaluator(self.name)
        return DelayEvaluator(self.name)[key]

    def resolve(self, context: ParameterContext, file: str | None, text: Any) -> Any:
        """The value: from ``text`` or ``file`` of the command line, else the default.

        Raises:
            CommandUsageException: it is missing, given twice, or cannot be read.
            MetaflowException: the parser or the function behind the default raised, or it is not a mapping.
        """
        if text is not None and file is not None:
            raise CommandUsageException(f"Config *{self.name}* is given as a file and as a value; give one of them.")
        if text is None and file is None:
            text = self._called(self.default_value, context)
            file = self._called(self.default, context)
        if text is None and file is not None:
            text = self._read(str(file))
        if text is None:
            if self.required:
                raise CommandUsageException(f"Config *{self.name}* is required: --config {self.name} FILE")
            return None
        return self._parse(text)

    def _called(self, default: Any, context: ParameterContext) -> Any:
        if not callable(default):
            return default
        try:
            return default(context)
        except Exception as error:
            raise MetaflowException(
                f"The function behind the default of Config *{self.name}* failed: {type(error).__name__}: {error}"
            ) from error

    def _read(self, file: str) -> str:
        try:
            with open(file, encoding="utf-8") as opened:  # noqa: PTH123
                return opened.read()
        except OSError as error:
            raise CommandUsageException(f"Config *{self.name}*: cannot read '{file}': {error.strerror}") from None

    def _parse(self, given: Any) -> Any:
        text = given if isinstance(given, str) else json.dumps(given)
        if self.parser is not None:
            value = self._parse_with(text)
        elif self.plain:
            return text
        else:
            try:
                value = json.loads(text)
            except ValueError as error:
                raise CommandUsageException(f"Config *{self.name}* is not valid JSON: {error}") from None
        if self.plain or value is None:
            return value
        if not isinstance(value, Mapping):
            raise CommandException(f"Config *{self.name}* must be a dictionary, not {type(value).__name__}")
        return ConfigValue(value)

    def _parse_with(self, text: str) -> Any:
        try:
            parse = load_function(self.parser) if isinstance(self.parser, str) else self.parser
            return parse(text)  # type: ignore[misc]
        except MetaflowException:
            raise
        except Exception as error:
            raise MetaflowException(
                f"The parser of Config *{self.name}* cannot read its value: {type(error).__name__}: {error}"
            ) from error
