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
from headrace.frontends.metaflow.names import stored

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


class JSONTypeClass:
    """The type of a parameter whose value is JSON."""

    name = "JSON"

    def __repr__(self) -> str:
        return "JSON"


JSONType = JSONTypeClass()


class ParameterContext(NamedTuple):
    """What the function behind a default is called with."""

    flow_name: str
    user_name: str
    parameter_name: str
    logger: Callable[..., None]
    ds_type: str
    configs: Any


#: What ``click`` takes for an option beside what ``Parameter`` names; see ``commands.parameteroptions``.
_OPTIONS = frozenset(
    [
        *("is_flag", "flag_value", "count", "nargs", "multiple", "envvar", "show_envvar", "allow_from_autoenv"),
        *("prompt", "hide_input", "confirmation_prompt", "callback", "hidden", "metavar", "is_eager"),
        *("autocompletion", "show_choices"),  # of no effect
    ]
)


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
        self.show_default = show_default
        self.separator = separator
        self.more = more

    def __repr__(self) -> str:
        return f"metaflow.Parameter(name={self.name}, default={self.default!r})"

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def fill(self, more: dict[str, Any]) -> None:
        """Take what an unpacked config gave beside the arguments; those win over it."""
        self.more = {}
        for name, value in more.items():
            if name in _FIELDS:
                if getattr(self, name) is None:
                    setattr(self, name, value)
            else:
                self.more[name] = value

    def check(self) -> None:
        """Refuse what no run could do with. Called once configs are known, before anything else looks at it.

        Raises:
            MetaflowException: it was declared wrongly.
        """
        name = self.name
        if not isinstance(name, str) or not name or not all(char.isalnum() or char in "_-" for char in name):
            raise MetaflowException(f"Parameter name {name!r} is not valid: use letters, digits and underscores.")
        if name.lower().replace("_", "-") in RESERVED:
            raise MetaflowException(f"Parameter name '{name}' is a reserved word. Please use a different name.")
        for one in self.more:
            if one not in _OPTIONS:
                raise MetaflowException(f"Parameter *{name}* has no argument '{one}': {', '.join(_FIELDS)} are known.")
        for field in ("show_default", "separator", "required"):
            if callable(getattr(self, field)):
                raise MetaflowException(f"Parameter *{name}*: Field '{field}' cannot have a function as its value")
        kinds = self.kind if isinstance(self.kind, tuple) else (self.kind,)
        if not all(one is JSONType or callable(one) for one in kinds):
            raise MetaflowException(f"Parameter *{name}*: its type is {self.kind!r}, which is not a type.")
        if self.is_flag and self.counts:
            raise MetaflowException(f"Parameter *{name}* cannot be a flag and be counted: give is_flag or count.")
        if not isinstance(self.nargs, int) or self.nargs < 1:
            raise MetaflowException(f"Parameter *{name}*: nargs is {self.nargs!r}, it must be a number from 1.")
        if self.separator and not (self.kind is str and isinstance(self.default, str | None)):
            raise MetaflowException(f"Parameter *{name}*: Separator is only allowed for string parameters.")

    @property
    def kind(self) -> Any:
        """Its type: as given, else that of the default, else str; of ``click.Tuple``, the types of its words."""
        if self.type is not None:
            return tuple(self.type.types) if getattr(self.type, "is_composite", False) is True else self.type
        if self.default is None or callable(self.default):
            return str
        return type(self.default)

    @property
    def is_string_type(self) -> bool:
        """Whether values are texts."""
        return self.kind is str

    @property
    def is_multiple(self) -> bool:
        """Whether it may be given several times, so that its value is a tuple."""
        return bool(self.more.get("multiple"))

    @property
    def is_flag(self) -> bool:
        """Whether its option takes no value; ``activation`` is the value if it is given."""
        flag = self.more.get("is_flag")
        return self.more.get("flag_value") is not None if flag is None else bool(flag)

    @property
    def activation(self) -> Any:
        """The value of a flag that is given."""
        value = self.more.get("flag_value")
        return not self.default if value is None else value

    @property
    def is_bool_flag(self) -> bool:
        """Whether it is a flag that is on or off."""
        return self.is_flag and self.kind is bool and isinstance(self.activation, bool)

    @property
    def counts(self) -> bool:
        """Whether its value is how often it is given."""
        return bool(self.more.get("count"))

    @property
    def nargs(self) -> Any:
        """How many words follow its option each time."""
        kind = self.kind
        given = self.more.get("nargs")
        return len(kind) if isinstance(kind, tuple) else 1 if given is None else given

    @property
    def _depth(self) -> int:
        """How deep its value is a tuple."""
        return int(self.nargs != 1) + self.is_multiple

    def cut(self, text: str) -> Any:
        """One text, as from the environment, that stands for all the words of its option."""
        if not self._depth:
            return text
        words = text.split()
        if self._depth == 1:
            return words
        return [words[at : at + self.nargs] for at in range(0, len(words), self.nargs)]

    def resolve_default(self, context: ParameterContext) -> Any:
        """The default, with the function behind it called if there is one.

        Raises:
            ParameterFieldFailed: the function raised.
            ParameterFieldTypeMismatch: it is of another type.
            ValueError: it does not fit the type.
        """
        value = self.default
        if callable(value) and not isinstance(value, type):
            value = self._fitting(_called(self, context))
        if self.is_flag and not self.is_bool_flag:
            return self.activation if value else None
        if value is None and (self.is_bool_flag or self.counts):
            value = False if self.is_flag else 0
        return self.convert(value)

    def _fitting(self, value: Any) -> Any:
        """What the function behind the default returned, if it may return that."""
        kind = self.kind
        if kind in (bool, int, float, list, dict):
            fits = type(value) is kind
        else:
            fits = isinstance(value, str) or (kind is JSONType and isinstance(value, (dict, list)))
        if not fits:
            raise ParameterFieldTypeMismatch(
                f"The value returned by the deploy-time function for the parameter *{self.name}* has the type "
                f"'{type(value).__name__}', but the parameter has the type '{getattr(kind, '__name__', kind)}'."
            )
        return value

    def convert(self, value: Any) -> Any:
        """A value of the command line, the environment, or a default, as steps see it.

        Raises:
            ValueError: it does not fit the type; ParameterFieldTypeMismatch: it is neither a text nor of the type.
        """
        value = self._converted(value, self._depth)
        return value.split(self.separator) if self.separator and value and isinstance(value, str) else value

    def _converted(self, value: Any, depth: int) -> Any:
        if not depth:
            return None if value is None else self.parse(value)
        try:
            items = tuple(value or ())
        except TypeError:
            raise ParameterFieldTypeMismatch(
                f"The default of the Parameter *{self.name}* is {value!r}, but it has several values: give a list."
            ) from None
        if depth == 1 and isinstance(self.kind, tuple):
            return tuple([self._parsed(one, kind) for one, kind in zip(items, self.kind, strict=False)])
        return tuple([self._converted(one, depth - 1) for one in items])

    def parse(self, value: Any) -> Any:
        """A single value, not yet cut at the separator; raises as ``convert`` does."""
        return self._parsed(value, self.kind)

    def _parsed(self, value: Any, kind: Any) -> Any:
        if kind is JSONType:
            return _parse_json(value)
        if kind is str:
            return value
        if kind is bool and not isinstance(value, (str, bool)):
            raise ParameterFieldTypeMismatch(f"The default of the Parameter *{self.name}* is {value!r}, not a bool.")
        try:
            return _parse_bool(value) if kind is bool else kind(value)
        except (TypeError, ValueError):
            what = {int: "integer", float: "floating point value", bool: "boolean"}.get(kind)
            raise ValueError(f"{value} is not a valid {what or getattr(kind, '__name__', kind)}") from None


_FIELDS = ("default", "type", "help", "required", "show_default", "separator")


def _called(parameter: Parameter, context: ParameterContext) -> Any:
    """What the function behind a default returns; one of two arguments is told that this is not a deployment.

    Raises:
        ParameterFieldFailed: it raised.
    """
    try:
        try:
            return parameter.default(context, False)
        except TypeError:
            return parameter.default(context)
    except Exception as error:
        raise ParameterFieldFailed(
            f"When evaluating the field *default* for the Parameter *{parameter.name}*, the following exception "
            f"occurred:\n\n{type(error).__name__}: {error}"
        ) from error


def _parse_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError(f"{value} is not a valid JSON object") from None


def _parse_bool(value: str | bool) -> bool:
    if isinstance(value, bool):
        return value
    lowered = value.lower()
    if lowered in ("true", "t", "1", "yes", "y"):
        return True
    if lowered in ("false", "f", "0", "no", "n"):
        return False
    raise ValueError(value)


@stored
class IncludedFile:
    """A file as a value: its content, before a parser sees it."""

    def __init__(self, descriptor: dict[str, Any]) -> None:
        self.descriptor = descriptor

    @property
    def size(self) -> int:
        """Bytes of the content."""
        content = self.descriptor["content"]
        return len(content if isinstance(content, bytes) else content.encode(self.descriptor.get("encoding", "utf-8")))

    def decode(self, name: str, var_type: str = "Artifact") -> Any:
        """The content: a text, or bytes."""
        return self.descriptor["content"]


class IncludeFile(Parameter):
    """A parameter whose value is what a file holds; ``self.name`` in a step is its content, parsed at each look."""

    def __init__(
        self,
        name: str,
        default: Any = None,
        required: bool | None = None,
        is_text: bool | None = None,
        encoding: str | None = None,
        help: str | None = None,  # noqa: A002
        parser: Any = None,
        **more: Any,
    ) -> None:
        super().__init__(name, default=default, required=required, help=help, **more)
        #: What a run says of the file that it takes.
        self.note = ""
        self.is_text = is_text
        self.encoding = encoding
        self.parser = parser

    def fill(self, more: dict[str, Any]) -> None:
        """Take what an unpacked config gave."""
        for name in ("is_text", "encoding"):
            given = more.pop(name, None)
            if getattr(self, name) is None:
                setattr(self, name, given)
        super().fill(more)

    @property
    def kind(self) -> Any:
        """Text, as far as the command line is concerned: the name of a file."""
        return str

    def check(self) -> None:
        """Refuse what no run could do with.

        Raises:
            MetaflowException: it was declared wrongly.
        """
        if self.type is not None:
            raise MetaflowException(f"IncludeFile *{self.name}* has no type: its value is what the file holds.")
        super().check()

    def _fitting(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise ParameterFieldFailed(
                f"The function behind the default of IncludeFile *{self.name}* returned {value!r}, not the name of a "
                "file."
            )
        return value

    def parse(self, value: Any) -> Any:
        """The content of the file ``value``.

        Raises:
            ValueError: it cannot be read or decoded; MetaflowException: it is not on this machine.
        """
        import os

        if "://" in value[1:]:
            raise MetaflowException(
                f"IncludeFile *{self.name}*: {value} is not a file on this machine; give the name of one."
            )
        try:
            with open(os.path.expanduser(value), "rb") as file:  # noqa: PTH111, PTH123
                data = file.read()
        except OSError as error:
            raise ValueError(f"could not open file '{value}': {error.strerror}") from None
        self.note = f"Including file {value} of size {_in_units(len(data))}"
        if self.is_text is False:
            return data
        encoding = self.encoding or "utf-8"
        try:
            return data.decode(encoding)
        except (LookupError, UnicodeDecodeError) as error:
            raise ValueError(f"file '{value}' is not a text in {encoding}: {error}") from None

    def look(self, content: Any) -> Any:
        """The value that steps see for a file's content.

        Raises:
            MetaflowException: the parser cannot be found, or raised.
        """
        if content is None or self.parser is None:
            return content
        try:
            parse = load_function(self.parser) if isinstance(self.parser, str) else self.parser
            return parse(content)
        except Exception as error:
            raise MetaflowException(
                f"The parser of IncludeFile *{self.name}* cannot read the file: {type(error).__name__}: {error}"
            ) from error


def _in_units(size: int) -> str:
    units = ["B", "KB", "MB", "GB", "TB"]
    while size >= 1024 and len(units) > 1:
        size //= 1024
        del units[0]
    return f"{size}{units[0]}"


def load_function(name: str) -> Any:
    """The function that ``package.module.name`` names; parsers of this package go by their bare names, or ``.name``.

    Raises:
        ValueError: there is none.
    """
    import importlib

    ours = "headrace.frontends.metaflow.authoring.parsers"
    module, _, attribute = name.rpartition(".")
    if not module or name.startswith((".", "metaflow.")):
        module = ours
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError as error:
        raise ValueError(f"Cannot locate parser {name}: {error}") from error
    if not callable(found):
        raise ValueError(f"Parser {attribute} is either not part of {module} or not a callable")
    return found
