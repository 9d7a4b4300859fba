"""Secrets: values that reach a step and are never stored, printed, or part of a key.

A ``Secret`` is stored as a reference: its name, and where its value comes from. The driver sends the values of named
secrets to its workers over their sockets (``messages.Secrets``). A worker that loads a reference finds the value here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from headrace._base.output_redaction import SHORTEST
from headrace._base.redaction import HIDDEN
from headrace.model.errors import MissingSecretError, UsageError
from headrace.runtime import ambient, context

#: Where a value comes from, when it is not given itself.
ENVIRONMENT, FILE = "env", "file"
_VARIABLE = "HEADRACE_SECRET_"

#: In front of the names of secrets of steps, which are others than those of ``Secret`` objects.
_OF_STEP = "$"
_received: dict[str, str] = {}
#: In a worker: variables of all secrets that steps of its run name.
_withheld: set[str] = set()
#: Values that this process was given, to be taken out of what it records.
known_values: set[str] = set()


class Secret:
    """A password, key or token: a flow parameter ``token: Secret`` or an argument of a step.

    ``reveal()`` returns the text. Everything else shows ``***``: ``str``, ``repr``, listings, pages, the recorded
    command line. Stores keep a reference without the value, so a run that is resumed needs the secret again.
    """

    __slots__ = ("_value", "name", "source")
    name: str
    source: str
    _value: str | None

    def __init__(self, value: str | Secret, *, name: str = "") -> None:
        """A secret with its value. A secret that goes to a step needs a ``name``; a flow parameter has its own.

        Raises:
            UsageError: the value is not a text, or is empty.
        """
        if isinstance(value, Secret):
            name = name or value.name
            value = value.reveal()
        if not isinstance(value, str) or not value:
            raise UsageError(
                "a Secret holds a text that is not empty; it was given "
                + ("an empty one" if value == "" else f"a {type(value).__name__}")
            )
        self._value = value
        self.name = name
        self.source = ""
        known_values.add(value)

    @classmethod
    def env(cls, variable: str) -> Secret:
        """The value of an environment variable, read where and when ``reveal`` is called."""
        return _restore("", f"{ENVIRONMENT}:{variable}")

    @classmethod
    def file(cls, path: str | os.PathLike[str]) -> Secret:
        """The content of a file without its last line break, read where and when ``reveal`` is called."""
        return _restore("", f"{FILE}:{os.path.abspath(path)}")  # noqa: PTH100

    @classmethod
    def parse(cls, text: str) -> Secret:
        """What a command line gives: ``env:VARIABLE``, ``file:PATH``, or the value itself."""
        kind, colon, rest = text.partition(":")
        if colon and rest and kind in (ENVIRONMENT, FILE):
            return cls.env(rest) if kind == ENVIRONMENT else cls.file(rest)
        return cls(text)

    def reveal(self) -> str:
        """The value.

        Raises:
            MissingSecretError: the variable is not set, the file cannot be read, or the value was not given again.
        """
        if self._value is not None:
            return self._value
        kind, _, place = self.source.partition(":")
        if kind in (ENVIRONMENT, FILE):
            value = _of_environment(place) if kind == ENVIRONMENT else _of_file(place)
            known_values.add(value)
            return value
        given = _of_run(self.name) or _received.get(self.name) or os.environ.get(variable_of(self.name))
        if not given:
            raise MissingSecretError(
                f"the secret {self.name!r} is not here: its value is never stored. Give it again: set the environment "
                f"variable {variable_of(self.name)}, or headrace resume RUN --{self.name} env:VARIABLE"
            )
        known_values.add(given)
        return given

    def named(self, name: str) -> Secret:
        """The same secret under ``name``, unless it has a name or a source already."""
        if self._value is None or self.name:
            return self
        return Secret(self._value, name=name)

    def __repr__(self) -> str:
        return f"Secret({self.source or '***'})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return (self.name, self.source, self._value) == (other.name, other.source, other._value)

    def __hash__(self) -> int:
        return hash((Secret, self.name, self.source))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> Any:
        if not self.source:
            if not self.name:
                raise UsageError(
                    "a Secret that goes to a step needs a name, because only its name is stored: "
                    "Secret(value, name='...'), Secret.env('VARIABLE') or a flow parameter"
                )
            if self._value is not None and context.current() is not None and self.name not in _received:
                raise UsageError(
                    f"the secret {self.name!r} was made in a step and cannot leave it: only references are stored; "
                    "return Secret.env('VARIABLE') or Secret.file('PATH')"
                )
            packing.met.append(self)
        return _restore, (self.name, self.source)


class _Packing(threading.local):
    """The secrets that this thread pickled since they were last taken."""

    def __init__(self) -> None:
        self.met: list[Secret] = []


packing = _Packing()


def take_packed() -> dict[str, str]:
    """Names and values of the secrets that this thread pickled, for the workers that will load them.

    Raises:
        MissingSecretError: a value is not here any more.
    """
    met, packing.met = packing.met, []
    return {secret.name: secret.reveal() for secret in met}


def hide(text: str) -> str:
    """``text`` without the values of the secrets that this process knows."""
    for value in sorted(known_values.union(_received.values()), key=len, reverse=True):
        if len(value) >= SHORTEST:
            text = text.replace(value, HIDDEN)
    return text


def receive(values: Iterable[tuple[str, str]], withheld: Iterable[str] = ()) -> None:
    """Take in the values that the driver sent to this worker, and the names of secrets that it may not see."""
    _received.update(values)
    _withheld.update(withheld)


def of_step(name: str) -> str:
    """What the secret ``name`` of a step is called among those of a run, which a ``Secrets`` message brings."""
    return _OF_STEP + name


def names_for(step: Iterable[str], names: Iterable[str]) -> set[str]:
    """Which of a run's secrets, by ``names``, a worker needs for a step that names ``step``.

    Those of other steps are left out. Those in arguments may be in any value that a task gets, so they are all in.
    """
    named = {_OF_STEP + name for name in step}
    return {name for name in names if name in named or not name.startswith(_OF_STEP)}


def of_steps(names: Iterable[str]) -> tuple[str, ...]:
    """The variables of those secrets of a run that its steps name."""
    return tuple([name.removeprefix(_OF_STEP) for name in names if name.startswith(_OF_STEP)])


def variables_of(names: Iterable[str]) -> dict[str, str | None]:
    """Variables for a task whose step names ``names``: the value of each, None for those of other steps.

    Raises:
        MissingSecretError: the driver has sent no value.
    """
    found: dict[str, str | None] = dict.fromkeys(_withheld)
    for name in names:
        value = _received.get(_OF_STEP + name)
        if value is None:
            raise MissingSecretError(f"the value of the secret {name} did not reach this worker; run the task again")
        found[name] = value
    return found


def withhold() -> None:
    """In a worker: let no step see the variables from which the driver takes secrets."""
    for name in [name for name in os.environ if name.startswith(_VARIABLE)]:
        del os.environ[name]


def _restore(name: str, source: str) -> Secret:
    secret = Secret.__new__(Secret)
    secret._value, secret.name, secret.source = None, name, source
    return secret


def _of_run(name: str) -> str:
    """In the code of a flow: the value that its run knows."""
    found = ambient.known()
    return "" if found is None else found.secrets.get(name, "")


def _of_environment(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise MissingSecretError(f"the secret env:{variable} is not here: the environment variable is not set or empty")
    return value


def _of_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            return file.read().removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text in UTF-8"
        raise MissingSecretError(f"the secret file:{path} cannot be read: {reason}") from None


def variable_of(name: str) -> str:
    """The environment variable that gives a secret again to a resumed run: ``HEADRACE_SECRET_TOKEN`` for ``token``."""
    return _VARIABLE + "".join(char if char.isalnum() else "_" for char in name).upper()
