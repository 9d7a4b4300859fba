"""Flow parameters: what a flow's signature asks for, and its values from a command line or from Python keywords.

Everything is checked before anything runs. All problems of a call are reported together, in one ``ParameterError``
that names each parameter, what was given and what is expected.
"""

from __future__ import annotations

import codecs
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any, NamedTuple

import msgspec

from headrace.frontends.native import conversion
from headrace.frontends.native.conversion import Mismatch
from headrace.frontends.native.signature import parameters_of
from headrace.model.errors import DefinitionError, ParameterError
from headrace.model.params import to_text

_VARARGS, _VARKEYWORDS = 0x4, 0x8


class _Required:
    """The default of a parameter that has none."""

    def __repr__(self) -> str:
        return "required"


REQUIRED: Any = _Required()


class ParameterSpec(msgspec.Struct, frozen=True):
    """One parameter of a flow: ``type`` is its resolved annotation (``Any`` without one), ``default`` may be
    ``REQUIRED``, ``help`` comes from the ``Args:`` section of the flow's docstring.
    """

    name: str
    type: Any
    default: Any = REQUIRED
    help: str = ""

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is REQUIRED


def parameter_specs(func: Callable[..., object]) -> list[ParameterSpec]:
    """The parameters of a flow function, in the order of its signature; of a decorated one, those that it wraps.

    Annotations that cannot be resolved (names imported for type checking only) count as none.

    Raises:
        DefinitionError: the function takes ``*args`` or ``**kwargs``, or is not a Python function.
    """
    target: Any = func
    while not isinstance(target, FunctionType):
        target = getattr(target, "__wrapped__", None) or getattr(target, "__func__", None)
        if target is None:
            raise DefinitionError(f"{conversion.show(func)} is not a Python function")
    target = parameters_of(target)
    code = target.__code__
    if code.co_flags & (_VARARGS | _VARKEYWORDS):
        star = "*args" if code.co_flags & _VARARGS else "**kwargs"
        raise DefinitionError(
            f"flow {target.__name__!r} takes {star}; the parameters of a flow must each have a name, "
            "so that they can be given on the command line and recorded"
        )
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    defaults: dict[str, Any] = dict(target.__kwdefaults__ or {})
    given = target.__defaults__ or ()
    defaults.update(zip(names[code.co_argcount - len(given) : code.co_argcount], given, strict=True))
    types = _resolve(target, names)
    helps = docstring_args(target.__doc__ or "")
    specs = []
    for name in names:
        default = defaults.get(name, REQUIRED)
        kind = types.get(name, Any)
        specs.append(
            ParameterSpec(name, conversion.allow_none(kind) if default is None else kind, default, helps.get(name, ""))
        )
    return specs


def _resolve(func: FunctionType, names: Sequence[str]) -> dict[str, Any]:
    annotations = {name: kind for name, kind in func.__annotations__.items() if name in names}
    if not annotations:
        return {}
    try:
        return _hints(annotations, func)
    except Exception:  # an annotation is an expression of the user's: evaluating it may raise anything
        pass
    found: dict[str, Any] = {}
    for name, kind in annotations.items():
        try:
            found.update(_hints({name: kind}, func))
        except Exception:  # this one stays unchecked
            continue
    return found


def _hints(annotations: dict[str, Any], func: FunctionType) -> dict[str, Any]:
    holder = SimpleNamespace(__annotations__=annotations)
    return typing.get_type_hints(holder, globalns=func.__globals__, include_extras=True)


# --- from Python --------------------------------------------------------------------------------------------------


def bind_values(
    specs: Sequence[ParameterSpec], given: Mapping[str, object], *, complete: bool = True
) -> dict[str, object]:
    """Keyword arguments checked and converted, with defaults filled in, in the order of ``specs``.

    With ``complete=False`` only what was given is returned, and nothing is missing: for changing a few parameters of
    a run that has them all.

    Raises:
        ParameterError: with every unknown, missing and ill-typed parameter.
    """
    problems = [_unknown(name, specs) for name in given if all(spec.name != name for spec in specs)]
    values: dict[str, object] = {}
    for spec in specs:
        if spec.name in given:
            try:
                values[spec.name] = conversion.convert(given[spec.name], spec.type)
            except Mismatch as error:
                problems.append(f"parameter {spec.name!r}: {error}")
    return _finish(specs, values, given.keys(), problems, complete)


def _finish(
    specs: Sequence[ParameterSpec],
    values: dict[str, object],
    given: Iterable[str],
    problems: list[str],
    complete: bool,
) -> dict[str, object]:
    """Defaults for what was not given; raises when anything is wrong."""
    named = set(given)
    if complete:
        missing = [spec for spec in specs if spec.required and spec.name not in named]
        if missing:
            listed = ", ".join(f"{spec.name} ({conversion.type_text(spec.type)})" for spec in missing)
            problems.append(f"missing parameter{'s' if len(missing) > 1 else ''}: {listed}")
        values = {
            spec.name: values.get(spec.name, spec.default) for spec in specs if spec.name in values or not spec.required
        }
    if problems:
        raise ParameterError("\n".join(problems))
    return values


def _unknown(name: str, specs: Sequence[ParameterSpec]) -> str:
    from difflib import get_close_matches

    names = [spec.name for spec in specs]
    near = get_close_matches(name.replace("-", "_"), names, 1)
    if near:
        return f"unknown parameter {name!r}: did you mean {near[0]!r}?"
    known = f"the parameters are {', '.join(names)}" if names else "the flow takes no parameters"
    return f"unknown parameter {name!r}: {known}"


# --- from the command line ----------------------------------------------------------------------------------------


def parse_arguments(specs: Sequence[ParameterSpec], argv: Sequence[str], *, complete: bool = True) -> dict[str, object]:
    """Values from command line arguments, checked and converted as by ``bind_values``.

    Accepted are ``--name value``, ``--name=value`` and ``name=value``, with ``-`` or ``_`` in names; ``--flag`` and
    ``--no-flag``; lists as JSON, with commas, or by repeating the option; ``@file`` for a value to be read from a file
    (``@@`` for a text that starts with ``@``); ``--params-file FILE`` for many at once (JSON or TOML), which the
    other arguments override.

    Raises:
        ParameterError: with everything that is wrong.
    """
    reader = _Arguments(specs)
    reader.read(list(argv))
    values, problems = reader.file_values, reader.problems
    for name, texts in reader.texts.items():
        spec = reader.by_name[name]
        try:
            values[name] = _from_argument(texts, spec)
        except Mismatch as error:
            problems.append(f"parameter {name!r}: {error}")
    ordered = {spec.name: values[spec.name] for spec in specs if spec.name in values}
    return _finish(specs, ordered, reader.file_values.keys() | reader.texts.keys() | reader.failed, problems, complete)


def _text_type(spec: ParameterSpec) -> Any:
    """The type a text is read as: that of the default tells more than no annotation."""
    if spec.type is Any and isinstance(spec.default, (bool, str)):
        return type(spec.default)
    return spec.type


def _from_argument(texts: list[str], spec: ParameterSpec) -> object:
    kind = _text_type(spec)
    if len(texts) > 1:
        return conversion.from_texts([text[1:] if text.startswith("@@") else text for text in texts], kind)
    text = texts[0]
    if text.startswith("@@"):
        return conversion.from_text(text[1:], kind)
    if text.startswith("@"):
        return _from_file(text[1:], kind)
    return conversion.from_text(text, kind)


def _from_file(name: str, kind: Any) -> object:
    path = Path(name)
    try:
        if conversion.is_path(kind):  # the file itself
            path.stat()
            return conversion.from_text(name, kind)
        if path.suffix in (".json", ".toml"):
            return conversion.from_data(_load(path), kind)
        if bytes in conversion.members(kind):
            return path.read_bytes()
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Mismatch(f"cannot read {name!r}: {error.strerror} (write @@ for a value that starts with @)") from None
    except UnicodeDecodeError:
        raise Mismatch(f"{name!r} is not a text file in UTF-8") from None
    # A text is taken as it is; a number or a list in a file ends with a line break that does not belong to it.
    return conversion.from_text(text if str in conversion.members(kind) else text.strip(), kind)


def _load(path: Path) -> object:
    """What a JSON or TOML file holds; raises OSError and Mismatch."""
    content = path.read_bytes()
    try:
        if path.suffix == ".toml":
            import tomllib

            return tomllib.loads(content.decode("utf-8-sig"))
        return msgspec.json.decode(content.removeprefix(codecs.BOM_UTF8))
    except (msgspec.DecodeError, ValueError) as error:
        raise Mismatch(f"{str(path)!r} is not valid {path.suffix[1:].upper()}: {error}") from None


class _Arguments:
    """Sorts command line arguments by parameter."""

    def __init__(self, specs: Sequence[ParameterSpec]) -> None:
        self.specs = specs
        self.by_name = {spec.name: spec for spec in specs}
        self.texts: dict[str, list[str]] = {}
        self.file_values: dict[str, object] = {}
        self.failed: set[str] = set()
        self.problems: list[str] = []

    def read(self, argv: list[str]) -> None:
        position = 0
        while position < len(argv):
            position += self._one(argv[position], argv[position + 1 :])

    def _one(self, argument: str, rest: list[str]) -> int:
        """Take one argument, and its value from ``rest`` if need be; returns how many were taken."""
        option = argument.startswith("--")
        name, equals, value = argument.removeprefix("--").partition("=")
        if not option and not equals:
            self.problems.append(f"unexpected argument {argument!r}: write --name value or name=value")
            return 1
        name = self._canonical(name)
        following = None if not rest or rest[0].startswith("--") else rest[0]
        if name == "params_file" and name not in self.by_name:
            return self._params_file(value if equals else following, equals)
        spec = self.by_name.get(name)
        if spec is None:
            return self._no_such(name, following, option and not equals)
        if equals:
            self._add(name, value)
            return 1
        if conversion.is_bool(_text_type(spec)):
            if following is not None and conversion.is_flag_word(following):
                self._add(name, following)
                return 2
            self._add(name, "true")
            return 1
        if following is None:
            self.failed.add(name)
            self.problems.append(f"parameter {name!r}: --{_dashed(name)} needs a value")
            return 1
        self._add(name, following)
        return 2

    def _canonical(self, name: str) -> str:
        return name if name in self.by_name else name.replace("-", "_")

    def _add(self, name: str, text: str) -> None:
        self.texts.setdefault(name, []).append(text)

    def _no_such(self, name: str, following: str | None, may_take: bool) -> int:
        plain = name.removeprefix("no_")
        if may_take and plain != name and plain in self.by_name:
            if conversion.is_bool(_text_type(self.by_name[plain])):
                self._add(plain, "false")
            else:
                self.failed.add(plain)
                self.problems.append(f"parameter {plain!r}: --no-{_dashed(plain)} is for flags only")
            return 1
        self.problems.append(_unknown(name, self.specs))
        # The next argument is its value, surely: to complain about that as well would only confuse.
        return 2 if may_take and following is not None and "=" not in following else 1

    def _params_file(self, name: str | None, equals: str) -> int:
        if not name:
            self.problems.append("--params-file needs the name of a JSON or TOML file")
            return 1
        try:
            content = _load(Path(name))
            if not isinstance(content, dict):
                raise Mismatch(f"{name!r} must hold an object of parameter names and values")
        except OSError as error:
            self.problems.append(f"--params-file: cannot read {name!r}: {error.strerror}")
        except Mismatch as error:
            self.problems.append(f"--params-file: {error}")
        else:
            for key, value in content.items():
                self._file_value(name, self._canonical(key), value)
        return 1 if equals else 2

    def _file_value(self, file: str, name: str, value: object) -> None:
        spec = self.by_name.get(name)
        if spec is None:
            self.problems.append(f"--params-file {file}: {_unknown(name, self.specs)}")
            return
        try:
            self.file_values[name] = conversion.from_data(value, spec.type)
        except Mismatch as error:
            self.failed.add(name)
            self.problems.append(f"--params-file {file}: parameter {name!r}: {error}")


def _dashed(name: str) -> str:
    return name.replace("_", "-")


# --- for people ---------------------------------------------------------------------------------------------------


class Usage(NamedTuple):
    """One line of a flow's ``--help``."""

    option: str
    type: str
    default: str
    help: str


def usage(specs: Sequence[ParameterSpec]) -> list[Usage]:
    """The lines of a flow's ``--help``, in the order of its signature."""
    lines = []
    for spec in specs:
        kind = _text_type(spec)
        option = f"--{_dashed(spec.name)}"
        if conversion.is_bool(kind):
            option += f" / --no-{_dashed(spec.name)}"
        default = "required" if spec.required else _default_text(spec.default, kind)
        lines.append(Usage(option, conversion.type_text(kind), default, spec.help))
    return lines


def help_text(name: str, doc: str, specs: Sequence[ParameterSpec]) -> str:
    """What ``flow.main()`` prints for ``--help``."""
    rows = [
        (one.option, one.type, one.default if one.default == "required" else f"[{one.default}]", one.help)
        for one in usage(specs)
    ]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:3]]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, [*widths, 0], strict=True)) for row in rows]
    first = doc.strip().partition("\n\n")[0]
    parts = [name + (f": {' '.join(first.split())}" if first else ""), *(f"  {line.rstrip()}" for line in lines)]
    return "\n".join(parts)


def _default_text(value: object, kind: Any) -> str:
    """What to type to get the default ``value``; of an object that cannot be typed, how it is recorded."""
    import shlex

    from headrace.frontends.native.text_forms import typed_text

    try:
        text = typed_text(value)
        if conversion.from_text(text, kind) == value:
            text = f"@{text}" if text.startswith("@") else text
            return text if text.split() == [text] or text[:1] in ("[", "{") else shlex.quote(text)
    except Exception:  # a comparison or a repr of the user's may raise anything
        pass
    return to_text(value)


def docstring_args(docstring: str) -> dict[str, str]:
    """What an ``Args:`` section says about each parameter, line breaks taken out."""
    found: dict[str, list[str]] = {}
    section = indent = None
    name = ""
    for line in docstring.expandtabs().splitlines():
        text, depth = line.strip(), len(line) - len(line.lstrip())
        if section is None:
            if text in ("Args:", "Arguments:", "Parameters:"):
                section = depth
            continue
        if not text:
            continue
        if depth <= section:
            break
        indent = depth if indent is None else indent
        head, colon, rest = text.partition(":")
        word = head.partition("(")[0].strip().lstrip("*")
        if depth == indent and colon and word.isidentifier():
            name = word
            found[name] = [rest.strip()]
        elif name:
            found[name].append(text)
    return {name: " ".join(filter(None, lines)) for name, lines in found.items()}
