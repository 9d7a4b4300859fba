"""What ``command(...)`` says: a command line in any language, with typed inputs and outputs. Frozen values."""

from __future__ import annotations

import msgspec

from headrace.model.values import Blob

#: Types of inputs and outputs that the command line holds, or an output file holds, as a text.
SCALARS = ("int", "float", "str", "bool")
#: Types whose values are files: a placeholder stands for the path. ``frame`` and ``arrow`` are both Arrow IPC files.
FILES = ("file", "folder", "json", "text", "csv", "arrow", "frame")
TYPES = (*FILES, *SCALARS)
#: What an exit code may be mapped to.
OUTCOMES = ("ok", "retry", "fail")


class Port(msgspec.Struct, frozen=True, array_like=True):
    """An input or output: its name, its type, and its path in the working folder (empty: one that Headrace chooses)."""

    name: str
    type: str
    path: str = ""


class CommandFile(msgspec.Struct, frozen=True, array_like=True):
    """A file that is put into the working folder: its path there and its content."""

    path: str
    blob: Blob
    executable: bool = False


class Container(msgspec.Struct, frozen=True, array_like=True):
    """What runs a command in a container: ``engine`` is its kind and path, ``image`` the digest, ``label`` its name.

    ``cpu`` and ``memory`` (bytes; 0: no limit) are limits; ``variables`` are names of variables of the step.
    """

    engine: tuple[str, str]
    image: str
    label: str
    cpu: float = 0
    memory: int = 0
    variables: tuple[str, ...] = ()


class CommandSpec(msgspec.Struct, frozen=True, array_like=True):
    """A command. ``arguments`` and ``env`` are templates, see ``runtime.commands.templates``.

    With ``script`` a shell runs that text instead of ``arguments``. ``stdin`` names the input that goes to standard
    input, ``stdout`` the output that is what the command prints. ``exit_codes`` maps codes to ``OUTCOMES``. With a
    ``container`` it runs there instead of on the machine.
    """

    name: str
    arguments: tuple[str, ...] = ()
    script: str = ""
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    stdin: str = ""
    stdout: str = ""
    exit_codes: tuple[tuple[int, str], ...] = ()
    files: tuple[CommandFile, ...] = ()
    container: Container | None = None

    @property
    def program(self) -> str:
        """What is executed."""
        return "sh" if self.script else self.arguments[0]
