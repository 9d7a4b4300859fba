"""Files that environments are made of, as parts of the code package: a driver in a cluster has no other files.

A file that the flow names by a relative path has the same path there, from the folder of the flow. Others, such as
those that ``pyproject.toml`` names, are below ``.environments`` beside the flow, by the name of their environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headrace.model.environments import DESCRIBED, Environment

_FOLDER = ".environments"
#: Files that are read together.
_PAIRS = {"pyproject.toml": "uv.lock", "uv.lock": "pyproject.toml"}


def carried_files(entry: str) -> tuple[tuple[str, str], ...]:
    """For the code package of the flow at ``entry``: places from the folder of its file, and the files."""
    file = entry.rpartition(":")[0]
    return tuple(_files(Path(file).absolute().parent)) if file else ()


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    for one in tuple(DESCRIBED):
        if not one.file:
            continue
        given = Path(one.file).expanduser()
        place = given if not given.is_absolute() else _place(one, given)
        for name in (given.name, _PAIRS.get(given.name, "")):
            source = Path(folder, given).with_name(name) if name else None
            if source is not None and source.is_file():
                yield str(place.with_name(name)), str(source)


def path_of(environment: Environment, folder: str) -> Path:
    """Where the file of an environment is for a flow in ``folder``: where it says, or else in its code package."""
    given = Path(environment.file).expanduser()
    carried = Path(folder, _place(environment, given))
    return carried if given.is_absolute() and not given.exists() and carried.exists() else Path(folder, given)


def _place(environment: Environment, file: Path) -> Path:
    return Path(_FOLDER, environment.name or "unnamed", file.name)
