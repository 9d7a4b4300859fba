"""``headrace.command``: a step that is a command line in any language."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.frontends.native.script import wrong
from headrace.frontends.native.signature import Signature
from headrace.frontends.native.steps import Step, policy_of
from headrace.model.commands import OUTCOMES, TYPES, CommandFile, CommandSpec, Port
from headrace.model.errors import DefinitionError
from headrace.model.policy import StepPolicy
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.codecs.files import File, Folder

if TYPE_CHECKING:
    from typing import Unpack

    from headrace.frontends.native.steps import Options

_ALIASES: dict[Any, str] = {int: "int", float: "float", str: "str", bool: "bool", File: "file", Folder: "folder"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: What may be the path of a file in the text of a script.
_WORD = re.compile(r"[^\s'\"`$;&|<>(){}]+")


class Command(Step[..., Any]):
    """A command as a step: called, submitted and mapped as any step, with its inputs as arguments."""

    def __init__(self, spec: CommandSpec, policy: StepPolicy, home: tuple[str, str], files: tuple[str, ...]) -> None:
        def run(*args: Any, **kwargs: Any) -> Any:
            return self._run_here(args, kwargs)

        run.__name__ = run.__qualname__ = spec.name or Path(spec.program).stem
        super().__init__(run, run.__name__, policy)
        self.spec = spec
        self.identity = spec
        self.is_command = True
        self._home = home
        self._files = files
        self._named = bool(spec.name)
        self.__module__ = home[0]
        self.signature = _Inputs(spec)
        self._declared = (self.name, self.policy)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it as a task and return its outputs; outside a run, run the command here.

        With one output its value is returned, with several a dictionary of them by name, with none ``None``.
        """
        self._take_name()
        return super().__call__(*args, **kwargs)

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Start it as a task and return a future at once, as ``Step.submit``."""
        self._take_name()
        return super().submit(*args, **kwargs)

    def map(self, items: Any, /, **shared: Any) -> Any:
        """Start one task per item, as ``Step.map``."""
        self._take_name()
        return super().map(items, **shared)

    def options(self, **options: Unpack[Options]) -> Any:
        """The same command with another policy, as ``Step.options``."""
        self._take_name()
        return super().options(**options)

    def local_files(self) -> dict[str, Path]:
        """The files that go into the working folder: where they go, and where they are.

        Raises:
            DefinitionError: one is not there, or lies outside of the folder of the module.
        """
        base = Path(self._home[1])
        found: dict[str, Path] = {}
        for pattern in self._files:
            path = base / pattern
            if not path.resolve().is_relative_to(base.resolve()):
                raise DefinitionError(
                    f"command {self.name!r}: files={pattern!r} lies outside of {base}; pass it as an input"
                )
            if not path.exists():
                raise DefinitionError(f"command {self.name!r}: files={pattern!r} does not exist in {base}")
            inside = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
            found |= {os.path.relpath(one, base): one for one in inside}
        for word in _words(self.spec):
            path = base / word
            try:
                if path.is_file() and path.resolve().is_relative_to(base.resolve()):
                    found.setdefault(os.path.normpath(word), path)
            except (OSError, ValueError):  # too long for a path, say
                continue
        return found

    def _plain_function(self) -> Callable[..., Any]:
        return lambda *args, **kwargs: self._run_here(args, kwargs)

    def _run_here(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from headrace.runtime.commands.run import run_plainly

        return run_plainly(self._contained(), self.local_files(), dict(self.signature.bind(args, kwargs)))

    def _contained(self) -> CommandSpec:
        """The command with its container, for a call outside of a run."""
        if not self.policy.image:
            return self.spec
        from headrace.services.environments.images import Images

        images = Images()
        lock = images.lock(self.policy.image, self.name, (), command=True)
        return msgspec.structs.replace(self.spec, container=images.container(self.policy, lock))

    def with_files(self, store: ArtifactStore) -> CommandSpec:
        """What a worker is told: with the files of the working folder, which go into ``store``.

        Raises:
            DefinitionError: as ``local_files``, or a file cannot be read.
        """
        kept = []
        for place, path in sorted(self.local_files().items()):
            try:
                content = path.read_bytes()
            except OSError as error:
                raise DefinitionError(f"command {self.name!r}: {path}: {error.strerror or error}") from None
            kept.append(CommandFile(place, store.put((content,)), os.access(path, os.X_OK)))
        return msgspec.structs.replace(self.spec, name=self.name, files=tuple(kept))

    @property
    def fields(self) -> tuple[str, ...]:
        """The outputs by name, where there are several."""
        names = tuple(port.name for port in self.spec.outputs)
        return names if len(names) > 1 else ()

    def _take_name(self) -> None:
        """Be called like the variable that holds the command, unless a name was given."""
        if self._named:
            return
        self._named = True
        module = sys.modules.get(self._home[0])
        for name, value in list(vars(module).items()) if module is not None else ():
            if value is self and not name.startswith("_"):
                self.name = self.__name__ = name
                self._declared = (name, self.policy)

    def __reduce__(self) -> Any:
        return _made, (msgspec.msgpack.encode(self.spec), self.policy, self._home, self._files, self.name)

    def __repr__(self) -> str:
        return f"<command {self.name}>"


class _Inputs(Signature):
    """The inputs of a command; paths for those that are files become ``File`` and ``Folder``."""

    def __init__(self, spec: CommandSpec) -> None:
        self.take_names(spec.name or spec.program, tuple(port.name for port in spec.inputs))
        self._kinds = {port.name: port.type for port in spec.inputs}

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Any]]:
        """See ``Signature``."""
        return [(name, self._as_file(name, value)) for name, value in super().bind(args, kwargs)]

    def _as_file(self, name: str, value: Any) -> Any:
        kind = self._kinds[name]
        if kind not in ("file", "folder") or isinstance(value, (File, Folder)):
            return value
        if not isinstance(value, (str, os.PathLike)):
            return value
        return File(value) if kind == "file" else Folder(value)


def _made(spec: bytes, policy: StepPolicy, home: tuple[str, str], files: tuple[str, ...], name: str) -> Command:
    made = Command(msgspec.msgpack.decode(spec, type=CommandSpec), policy, home, files)
    made.name, made._named = name, True
    return made


def command(
    arguments: str | Sequence[str] = (),
    *,
    shell: str = "",
    inputs: Mapping[str, Any] | Sequence[str] = (),
    outputs: Mapping[str, Any] | Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    stdout: str = "",
    exit_codes: Mapping[int, str] | None = None,
    files: Sequence[str] = (),
    **options: Any,
) -> Command:
    """Make a command line a step of flows.

    Args:
        arguments: the program and its arguments, as a list or as a text that is split into words as a shell does it.
            ``{name}`` in an argument stands for an input or output and never splits or joins arguments.
        shell: a script for ``sh -e``, instead of ``arguments``; a placeholder is one word whatever its value holds.
        inputs: names and types, in the order of positional arguments: ``file``, ``folder``, ``json``, ``text``,
            ``csv``, ``arrow``, ``frame`` (the placeholder is a path), ``int``, ``float``, ``str``, ``bool`` (the
            placeholder is the value), or the Python types ``int``, ``float``, ``str``, ``bool``, ``File``, ``Folder``.
            ``"csv:data/rows.csv"`` puts the file at that path of the working folder. A list of names: all are ``str``.
        outputs: names and types; the command writes each to the path that its placeholder gives, or to the path of the
            working folder that follows the type (``"file:model.bin"``). A list of names: all are ``file``.
        env: environment variables; values may hold placeholders.
        stdin: the name of the input that the command reads from its standard input.
        stdout: the name of the output that the command prints; other output goes to the log.
        exit_codes: what a code means: ``"ok"``, ``"fail"`` (no retry) or ``"retry"``. If a code is mapped to
            ``"retry"``, codes that are not mapped are not retried.
        files: files and folders beside the module that go into the working folder; words of the command line that name
            a file there go by themselves.
        options: those of ``step`` (``name``, ``cpu``, ``memory``, ``retries``, ``timeout``, ``cache``, ...).

    Raises:
        DefinitionError: an argument is impossible; the message says which.
    """
    if bool(shell) == bool(arguments):
        raise wrong("command() takes either a command line or shell=..., and one of them is required")
    frame = sys._getframe(1)
    module = frame.f_globals.get("__name__", "") or ""
    file = frame.f_globals.get("__file__")
    home = (module, str(Path(file).absolute().parent if file else Path.cwd()))
    spec = CommandSpec(
        name=options.get("name", ""),
        arguments=_arguments(arguments),
        script=shell,
        inputs=_ports("inputs", inputs, "str"),
        outputs=_ports("outputs", outputs, "file"),
        env=tuple((str(name), value) for name, value in (env or {}).items()),
        stdin=stdin,
        stdout=stdout,
        exit_codes=tuple((exit_codes or {}).items()),
    )
    policy = policy_of(StepPolicy(), options)
    _check(spec, policy)
    return Command(spec, policy, home, tuple(files))


def _arguments(given: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        import shlex

        try:
            return tuple(shlex.split(given))
        except ValueError as error:
            raise wrong(f"command {given!r}: {error}") from None
    for one in given:
        if not isinstance(one, (str, os.PathLike)):
            raise wrong(f"command: argument {one!r} is not a text; write str(...) or use an input: '{{name}}'")
    return tuple(os.fspath(one) for one in given)


def _ports(what: str, given: Mapping[str, Any] | Sequence[str], default: str) -> tuple[Port, ...]:
    if isinstance(given, str):
        raise wrong(f"command: {what}={given!r} is one text; write {what}={{{given!r}: 'file'}}")
    pairs = given if isinstance(given, Mapping) else dict.fromkeys(given, default)
    return tuple(_port(what, name, kind) for name, kind in pairs.items())


def _port(what: str, name: Any, kind: Any) -> Port:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise wrong(f"command: {what}: {name!r} is not a name such as 'frame'")
    if name == "result":
        raise wrong(f"command: {what}: 'result' is what the step returns as a whole; choose another name")
    text = kind if isinstance(kind, str) else _ALIASES.get(kind, "")
    kind_name, _, path = text.partition(":")
    if kind_name not in TYPES:
        raise wrong(f"command: {what}: {name}={kind!r} is not a type; types are {', '.join(TYPES)}")
    if path and (Path(path).is_absolute() or Path(os.path.normpath(path)).parts[:1] in ((), ("..",))):
        raise wrong(f"command: {what}: {name}={kind!r}: the path lies outside of the working folder")
    return Port(name, kind_name, os.path.normpath(path) if path else "")


def _check(spec: CommandSpec, policy: StepPolicy) -> None:
    """Raise DefinitionError for what does not fit together."""
    from headrace.runtime.commands import templates

    inputs, outputs = [one.name for one in spec.inputs], [one.name for one in spec.outputs]
    twice = sorted(set(inputs) & set(outputs))
    if twice:
        raise wrong(f"command: {twice[0]!r} is an input and an output; choose another name for one of them")
    for name, value in spec.env:
        if not _VARIABLE.fullmatch(name) or not isinstance(value, str):
            raise wrong(f"command: env: {name}={value!r} is not a variable's name and text")
    for template in (*spec.arguments, spec.script, *(value for _, value in spec.env)):
        if "\0" in template:
            raise wrong(f"command: {template!r} holds a NUL character, which no command line can")
        for name in templates.names_in(template):
            if name not in (*inputs, *outputs):
                from difflib import get_close_matches

                near = get_close_matches(name, [*inputs, *outputs], 1)
                hint = f"did you mean {{{near[0]}}}?" if near else f"write {{{{{name}}}}} for the text {{{name}}}"
                raise wrong(f"command: placeholder {{{name}}} is not an input or output; {hint}")
    templates.shell_script(spec.script)
    if spec.stdin and spec.stdin not in inputs:
        raise wrong(f"command: stdin={spec.stdin!r} is not an input; inputs are {', '.join(inputs) or 'none'}")
    if spec.stdin and next(one for one in spec.inputs if one.name == spec.stdin).type == "folder":
        raise wrong(f"command: stdin={spec.stdin!r} is a folder, which cannot be read as standard input")
    if spec.stdout and spec.stdout not in outputs:
        raise wrong(f"command: stdout={spec.stdout!r} is not an output; outputs are {', '.join(outputs) or 'none'}")
    for code, outcome in spec.exit_codes:
        if type(code) is not int or not 0 <= code <= 255 or outcome not in OUTCOMES:
            raise wrong(f"command: exit_codes={{{code!r}: {outcome!r}}}: map 0 to 255 to {', '.join(OUTCOMES)}")
        if outcome == "retry" and not policy.retry.count:
            raise wrong(f"command: exit_codes maps {code} to 'retry', but retries is 0: add retries=2, say")


def _words(spec: CommandSpec) -> list[str]:
    """Words of the command line that may name files beside the module."""
    words = _WORD.findall(spec.script) if spec.script else list(spec.arguments)
    return [word for word in words if word[:1] not in ("", "/") and "{" not in word]
