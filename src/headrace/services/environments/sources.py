"""What an environment's file asks for, as requirements that uv resolves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from headrace.model.environments import Environment
from headrace.model.errors import EnvironmentSetupError
from headrace.services.environments.carried_files import path_of
from headrace.services.environments.uv import run_uv

_HEADER = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


class Source(NamedTuple):
    """Requirements, one on each line, that stand in ``folder``. ``whole`` if what they need is among them.

    ``hashed`` if they name the only files that may be installed. ``python`` is what they say of the interpreter.
    """

    requirements: str
    folder: str
    whole: bool = False
    hashed: bool = False
    python: str = ""


def content_of(environment: Environment, folder: str) -> bytes:
    """What the digest of a request has of the environment's files.

    Raises:
        EnvironmentSetupError: the file cannot be read.
    """
    if not environment.file:
        return b""
    file = path_of(environment, folder)
    beside = [file.with_name("uv.lock")] if file.name == "pyproject.toml" else []
    if file.name == "uv.lock":
        beside = [file.with_name("pyproject.toml")]
    try:
        found = file.read_bytes()
    except OSError as error:
        raise EnvironmentSetupError(f"{file} cannot be read: {error.strerror}") from None
    if file.suffix == ".py":
        return repr(sorted(_header(file, found.decode(errors="replace")).items())).encode()
    for one in beside:
        if one.exists():
            found += one.read_bytes()
    return found


def read_source(environment: Environment, folder: str) -> Source:
    """What ``environment`` asks for. Relative paths start at ``folder``.

    Raises:
        EnvironmentSetupError: the file cannot be read, or is of an unknown kind.
        UvError: uv cannot read it.
    """
    if not environment.file:
        return Source("\n".join(environment.packages), folder)
    file = path_of(environment, folder)
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentSetupError(f"{file} cannot be read: {error}") from None
    place = str(file.parent)
    if file.name == "uv.lock" or (file.name == "pyproject.toml" and file.with_name("uv.lock").exists()):
        return Source(_exported(file.parent, environment.group), place, whole=True, hashed=True)
    if file.name == "pyproject.toml":
        return _of_project(file, text, environment.group)
    if file.suffix == ".toml" and file.name.startswith("pylock."):
        return Source(_of_pylock(file, text), place, whole=True, hashed=True)
    if file.suffix == ".py":
        header = _header(file, text)
        return Source("\n".join(header.get("dependencies", [])), place, python=header.get("requires-python", ""))
    if file.suffix in (".txt", ".in"):
        return Source(text, place, whole="--hash=" in text, hashed="--hash=" in text)
    raise EnvironmentSetupError(
        f"{file}: an environment is read from a requirements.txt, pylock.toml, uv.lock, pyproject.toml or a .py file"
    )


def _exported(folder: Path, group: str) -> str:
    """The packages of a uv.lock: those of the project, or of one group."""
    chosen = ["--only-group", group] if group else ["--no-dev"]
    shape = ["--no-emit-project", "--no-header", "--no-annotate", "--format", "requirements.txt"]
    return run_uv(["export", "--quiet", "--frozen", *shape, *chosen, "--project", str(folder)])


def _of_project(file: Path, text: str, group: str) -> Source:
    table = _parsed(file, text)
    groups: dict[str, Any] = table.get("dependency-groups", {})
    if group and group not in groups:
        raise EnvironmentSetupError(f"{file} has no dependency group {group!r}; it has: {', '.join(groups) or 'none'}")
    project = table.get("project", {})
    found = _of_group(file, groups, group, ()) if group else project.get("dependencies", [])
    return Source("\n".join(found), str(file.parent), python=project.get("requires-python", ""))


def _of_group(file: Path, groups: dict[str, Any], group: str, above: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for one in groups.get(group, []):
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, dict) and "include-group" in one and one["include-group"] not in above:
            found += _of_group(file, groups, str(one["include-group"]), (*above, group))
        else:
            raise EnvironmentSetupError(f"{file}: dependency group {group!r}: {one!r} is no requirement")
    return found


def _of_pylock(file: Path, text: str) -> str:
    """The packages of a ``pylock.toml`` (PEP 751) as requirements."""
    lines = []
    for one in _parsed(file, text).get("packages", []):
        name, marker = one.get("name", ""), f" ; {one['marker']}" if one.get("marker") else ""
        files = [*one.get("wheels", []), *([one["sdist"]] if "sdist" in one else [])]
        if "version" in one and files:
            hashes = [f"--hash={kind}:{value}" for each in files for kind, value in each.get("hashes", {}).items()]
            lines.append(" ".join([f"{name}=={one['version']}{marker}", *hashes]))
        elif "archive" in one and "url" in one["archive"]:
            archive = one["archive"]
            hashes = [f"--hash={kind}:{value}" for kind, value in archive.get("hashes", {}).items()]
            lines.append(" ".join([f"{name} @ {archive['url']}{marker}", *hashes]))
        else:
            raise EnvironmentSetupError(f"{file}: package {name!r} has neither a version with files nor an archive")
    return "\n".join(lines)


def _header(file: Path, text: str) -> dict[str, Any]:
    """The metadata of a script, as PEP 723 describes it."""
    found = [one for one in _HEADER.finditer(text) if one["type"] == "script"]
    if len(found) != 1:
        raise EnvironmentSetupError(
            f"{file} has {'no' if not found else 'more than one'} header '# /// script' (PEP 723) that lists packages"
        )
    lines = found[0]["content"].splitlines(keepends=True)
    return _parsed(file, "".join(line[2:] if line.startswith("# ") else line[1:] for line in lines))


def _parsed(file: Path, text: str) -> dict[str, Any]:
    import tomllib  # here, because modules that come to run in workers load on 3.10 too

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EnvironmentSetupError(f"{file}: {error}") from None
