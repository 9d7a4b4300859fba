"""Where metadata is: Metaflow lets one choose. Here it is a store of Headrace's: that of the working directory, unless
``metadata`` or ``inspect_spin`` chose another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from headrace import wiring
from headrace.frontends.metaflow.current import choices
from headrace.frontends.metaflow.exceptions import NotSupportedException
from headrace.frontends.metaflow.settings import setting
from headrace.settings import HOME, Settings, database_file, names_place, read_settings
from headrace.wiring import Scope

#: Spun tasks are runs of a project of their own, named so after that of the flow's runs.
SPIN = ".spin"

_HOME = "HEADRACE_HOME"
#: Variables that say where the stores of the working directory are, which another folder has nothing to do with.
_PLACES = (_HOME, "HEADRACE_DATABASE", "HEADRACE_ARTIFACTS")


#: What ``metadata`` chose, as settings.
_CHOICE = "_metadata"


def chosen_settings() -> Settings:
    """Where the Client API reads."""
    chosen: Settings | None = choices().get(_CHOICE)
    return settings_here() if chosen is None else chosen


def chosen_scope() -> Scope:
    """The stores that the Client API reads.

    Raises:
        NotFoundError: nothing was ever run here.
    """
    chosen = choices().get(_CHOICE)
    return wiring.existing_scope(settings_here()) if chosen is None else wiring.scope_at(chosen)


def settings_here(environ: Mapping[str, str] | None = None, start: Path | None = None) -> Settings:
    """The settings in a folder and an environment, with the place that Metaflow's own settings name, if they do."""
    environ = os.environ if environ is None else environ
    home = _named_place(environ, start)
    return read_settings({**environ, _HOME: home} if home else environ, start)


def keep_runs_at(folder: str) -> str:
    """Have this process, and those that it starts, keep runs in ``folder``, else where Metaflow's settings say.

    An address of object storage is not a folder: it is left to Headrace's settings. Returns the home that was set.
    """
    home = home_in(folder) if folder and "://" not in folder else _named_place(os.environ, None)
    if home:
        os.environ[_HOME] = home
    return home


def _named_place(environ: Mapping[str, str], start: Path | None) -> str:
    """What METAFLOW_DATASTORE_SYSROOT_LOCAL says, unless a setting of Headrace's says where runs are."""
    root = setting("DATASTORE_SYSROOT_LOCAL", None, environ)
    return home_in(root) if root and not names_place(environ, start) else ""


def home_in(folder: str) -> str:
    """Where runs are that are kept in a folder."""
    return str(Path(folder).expanduser().absolute() / HOME)


def _choose(settings: Settings | None) -> str:
    choices()[_CHOICE] = settings
    return get_metadata()


def spin_settings(settings: Settings) -> Settings:
    """The same stores, seen as the project that spun tasks are kept in."""
    if settings.project.endswith(SPIN):
        return settings
    return msgspec.structs.replace(settings, project=settings.project + SPIN)


def get_metadata() -> str:
    """What is in use, such as ``local@/work/.headrace`` or, after ``inspect_spin``, ``spin@/work/.headrace``."""
    settings = chosen_settings()
    place = settings.server or settings.database or settings.home
    return f"{'spin' if settings.project.endswith(SPIN) else 'local'}@{place}"


def default_metadata() -> str:
    """Go back to the store of the working directory; returns what ``get_metadata`` does."""
    return _choose(None)


def metadata(ms: str) -> str:
    """Choose the store to read: ``local`` for that of the working directory, ``local@/work`` for that of another.

    Returns:
        What ``get_metadata`` does.

    Raises:
        ValueError: there is no store.
        NotSupportedException: a service of Metaflow's is asked for.
    """
    kind, _, place = ms.partition("@")
    if kind not in ("local", "headrace", "spin"):
        kind, place = "local", ms
    if place.startswith("http") or kind == "service":
        raise NotSupportedException(
            f"metadata({ms!r}): Headrace keeps metadata in a store of its own; name it with HEADRACE_DATABASE or "
            "HEADRACE_HOME, or give 'local@FOLDER'"
        )
    if kind != "spin" and not place:
        return default_metadata()
    settings = _settings_of(place)
    file = database_file(settings)
    named = "://" in place or Path(place).exists()
    if not named or (file is not None and not file.exists()):
        raise ValueError(f"Could not find directory {HOME} in directory {place}")
    return _choose(spin_settings(settings) if kind == "spin" else settings)


def inspect_spin(datastore_root: str = ".") -> None:
    """Let the Client API see spun tasks, those of folder ``datastore_root``, instead of runs."""
    metadata(f"spin@{datastore_root}")


def _settings_of(place: str) -> Settings:
    """The settings that hold in a folder. ``place`` may also name its ``.headrace`` or the database itself."""
    folder = Path(place).absolute()
    if "://" in place or folder.is_file():
        return msgspec.structs.replace(read_settings(), database=place)
    named = {name: value for name, value in os.environ.items() if name not in _PLACES}
    settings = read_settings(named, folder.parent if folder.name == HOME else folder)
    if folder.name == HOME or (folder / "metadata.db").exists():
        return msgspec.structs.replace(settings, home=str(folder))
    return settings
