"""Settings: where things are kept, and how runs behave that say nothing of it.

Settings come from the environment (``HEADRACE_SERVER``, ``HEADRACE_DATABASE``, ``HEADRACE_ARTIFACTS``,
``HEADRACE_HOME``,
``HEADRACE_PROJECT``, ``HEADRACE_DURABILITY``, ``HEADRACE_MAX_PARALLEL``, ``HEADRACE_CLEANUP``, ``HEADRACE_STORE_WAIT``,
``HEADRACE_SHARED``, ``HEADRACE_INCLUDE``, ``HEADRACE_EXCLUDE``, ``HEADRACE_CODE_FILE_LIMIT``,
``HEADRACE_CODE_LIMIT``, ``HEADRACE_LOG``, ``HEADRACE_LOG_LEVEL``), else
from ``[tool.headrace]`` in the nearest ``pyproject.toml`` upward, else defaults: SQLite and a folder under the nearest
``.headrace/`` upward, made in the working directory when there is none. What another user made is refused.
"""

# Annotations are objects here, not texts, which msgspec would evaluate one by one when it makes a decoder.

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace._base import logs
from headrace._base.ownership import foreign_owner, user_named
from headrace._base.sizes import parse_duration, parse_size
from headrace.model.environments import Environment
from headrace.model.errors import UsageError
from headrace.runtime import context
from headrace.services.places import PlaceSettings, read_places
from headrace.services.secret_sources import SecretSources

if TYPE_CHECKING:
    from headrace.services.credentials import Credentials

HOME = ".headrace"
_PLACES = "HEADRACE_* or [tool.headrace] in pyproject.toml"
_OBJECTS = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "file", "memory")
_PLACED = ("home", "artifacts", "database")
_CODE_NAMES = ("include", "exclude", "code_file_limit", "code_limit")
_NAMES = (
    *(
        "server",
        "database",
        "artifacts",
        "home",
        "project",
        "durability",
        "max_parallel",
        "cleanup",
        "store_wait",
        "shared",
    ),
    *_CODE_NAMES,
    *("log", "log_level"),
)
_LISTS = ("include", "exclude")
#: The table of secrets in ``[tool.headrace]``, which holds references, and is not a setting.
_SECRETS = "secrets"
#: Folders that may be believed although another user owns them, as ``PATH`` lists folders; ``*`` for all.
SAFE_HOMES = "HEADRACE_SAFE_HOMES"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are kept. Empty ``database`` and ``artifacts``: inside ``home``, or, with ``server``, behind the
    Headrace server at this URL; ``home`` then keeps copies and environments."""

    home: str
    server: str = ""
    database: str = ""
    artifacts: str = ""
    project: str = "default"
    durability: str = "process"
    max_parallel: int = 0
    cleanup: str | float = "60s"
    store_wait: str | float = "60s"
    shared: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    code_file_limit: str | float = "16MiB"
    code_limit: str | float = "256MiB"
    places: tuple[PlaceSettings, ...] = ()
    environments: tuple[Environment, ...] = ()
    kfp: tuple[tuple[str, str], ...] = ()  # names and values, which the dialect checks
    log: str = ""
    log_level: str = ""


def place_variables(given: Mapping[str, Any]) -> dict[str, str]:
    """The variables that say where runs are and which project is meant, for what is ``given`` of the settings.

    A ``home`` is a place of its own: its database and artifacts are in it where they are not given too.
    """
    places = {name: str(given[name]) for name in (*_PLACED, "server", "project") if given.get(name)}
    if "server" in places:
        places |= {"database": "", "artifacts": ""}  # an empty variable says nothing
    elif "home" in places:
        places.setdefault("database", str(Path(places["home"], "metadata.db")))
        places.setdefault("artifacts", str(Path(places["home"], "artifacts")))
    if places.get("database") or places.get("artifacts"):
        places["server"] = ""
    return {f"HEADRACE_{name.upper()}": value for name, value in places.items()}


def without_password(settings: Settings) -> Settings:
    """``settings`` with no password in the database's URL: ``PGPASSWORD`` or a password file gives it elsewhere."""
    head, at, tail = settings.database.rpartition("@")
    scheme, mark, user = head.partition("://")
    if not (at and mark):
        return settings
    return msgspec.structs.replace(settings, database=f"{scheme}{mark}{user.partition(':')[0]}@{tail}")


def database_file(settings: Settings) -> Path | None:
    """Where the SQLite database is, or would be; None when a server keeps it."""
    if settings.server:
        return None
    scheme, mark, rest = settings.database.partition("://")
    if mark:
        return Path(rest.removeprefix("/")) if scheme == "sqlite" else None
    return Path(settings.database or Path(settings.home, "metadata.db"))


def read_settings(
    environ: Mapping[str, str] | None = None, start: Path | None = None, given: Mapping[str, str] | None = None
) -> Settings:
    """Settings as they hold in folder ``start``; ``given`` are those that a call or a command line names.

    A ``home`` that is given is a place of its own: databases and artifacts named elsewhere are not in it.

    Raises:
        UsageError: a setting is unknown or has an impossible value, or there is no folder.
    """
    start = here() if start is None else start
    values = _given(environ, start)
    named = {name: _placed(text, name, start) for name, text in (given or {}).items() if text}
    if "home" in named:
        values.pop("database", None)
        values.pop("artifacts", None)
    if any(name in named for name in _PLACED):
        values.pop("server", None)
    elif "server" in named:
        values = {name: value for name, value in values.items() if name not in ("database", "artifacts")}
    values |= named
    if not values.get("home"):
        found = _find(start, HOME)
        values["home"] = str(found if found is not None else start / HOME)
        if found is not None:
            places = [str(found)]
            if not values.get("database"):
                places += [str(found / name) for name in ("metadata.db", "metadata.db-wal")]
            if not values.get("artifacts"):
                places.append(str(found / "artifacts"))
            _believe(places, environ)
    settings = _converted(values)
    _check(settings)
    return settings


def _converted(values: dict[str, object]) -> Settings:
    if values.get("server"):
        from headrace.services.credentials import server_url

        values["server"] = server_url(str(values["server"]))
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"settings ({_PLACES}): {error}") from None


def code_settings(home: str, root: str) -> Settings:
    """Those settings that say what belongs to the code of a flow in folder ``root``, wherever the process stands.

    Raises:
        UsageError: one of them has an impossible value.
    """
    given = _given(None, Path(root)) if _sets_code(root) else {}
    found = _converted({"home": home, **{name: given[name] for name in _CODE_NAMES if name in given}})
    _check(found)
    return found


def names_place(environ: Mapping[str, str] | None = None, start: Path | None = None) -> bool:
    """Whether a setting says where things are kept, instead of the nearest ``.headrace``; raises UsageError."""
    given = _given(environ, here() if start is None else start)
    return any(given.get(name) for name in (*_PLACED, "server"))


def _given(environ: Mapping[str, str] | None, start: Path) -> dict[str, object]:
    """The settings that were given."""
    environ = os.environ if environ is None else environ
    file = _find(start, "pyproject.toml")
    values = _from_pyproject(file, environ) if file is not None else {}
    for names in (("database", "artifacts"), ("server",)):  # what the environment names stands for the whole
        if any(environ.get(f"HEADRACE_{name.upper()}") for name in names):
            for name in {"database", "artifacts", "server"}.difference(names):
                values.pop(name, None)
    for name in _NAMES:
        text = environ.get(f"HEADRACE_{name.upper()}")
        if text:
            values[name] = text.split(os.pathsep) if name in _LISTS else _placed(text, name, start)
    return values


def _check(settings: Settings) -> None:
    scheme, mark, rest = settings.artifacts.partition("://")
    if settings.durability not in ("process", "fsync"):
        problem = f"durability is {settings.durability!r}, it must be 'process' or 'fsync'"
    elif settings.server and (settings.database or settings.artifacts):
        problem = (
            f"server is {settings.server!r}, and database or artifacts are set too; a server keeps both: leave out one "
            "of them"
        )
    elif settings.max_parallel < 0:
        problem = f"max_parallel is {settings.max_parallel}, it cannot be negative"
    elif not _is_duration(settings.cleanup):
        problem = f"cleanup is {settings.cleanup!r}, it must be a duration, such as '60s' or '5m'"
    elif not _is_duration(settings.store_wait):
        problem = f"store_wait is {settings.store_wait!r}, it must be a duration, such as '60s'; 0 waits for nothing"
    elif not _is_size(settings.code_file_limit):
        problem = f"code_file_limit is {settings.code_file_limit!r}, it must be a size, such as '16MiB'"
    elif not _is_size(settings.code_limit):
        problem = f"code_limit is {settings.code_limit!r}, it must be a size, such as '256MiB'"
    elif settings.log not in ("", "off", *logs.FORMS):
        problem = f"log is {settings.log!r}, it must be 'text', 'json' or 'off'"
    elif settings.log_level not in ("", *logs.LEVELS):
        problem = f"log_level is {settings.log_level!r}, it must be one of {', '.join(logs.LEVELS)}"
    elif mark and scheme not in _OBJECTS:
        problem = f"artifacts is {settings.artifacts!r}; it must be a folder, or s3://, gs:// or az:// with a bucket"
    elif mark and scheme not in ("file", "memory") and not rest.strip("/"):
        problem = f"artifacts is {settings.artifacts!r}, without a bucket; write {scheme}://BUCKET/PREFIX"
    else:
        return
    raise UsageError(f"settings ({_PLACES}): {problem}")


def _sets_code(root: str) -> bool:
    """Whether settings of code packages may be there for a project: asked before every run, so without ``pathlib``."""
    if any(os.environ.get(f"HEADRACE_{name.upper()}") for name in _CODE_NAMES):
        return True
    folder = root
    while not os.path.exists(os.path.join(folder, "pyproject.toml")):  # noqa: PTH110, PTH118
        parent = os.path.dirname(folder)  # noqa: PTH120
        if parent == folder:
            return False
        folder = parent
    return True


def _is_size(value: str | float) -> bool:
    try:
        parse_size(value)
    except ValueError:
        return False
    return True


def _is_duration(value: str | float) -> bool:
    try:
        parse_duration(value)
    except ValueError:
        return False
    return True


def _from_pyproject(file: Path, environ: Mapping[str, str]) -> dict[str, object]:
    text = file.read_text(errors="replace")
    if "tool.headrace" not in text:
        return {}
    _believe([str(file)], environ)
    table = _table_of(file, text)
    table.pop(_SECRETS, None)  # _table_of has seen that it is a table
    if "places" in table:
        table["places"] = read_places(table["places"])
    if "environments" in table:
        from headrace.services.environments.named import read_environments

        table["environments"] = read_environments(table["environments"], file.parent)
    if isinstance(table.get("kfp"), dict):
        table["kfp"] = tuple(sorted(table["kfp"].items()))
    unknown = set(table) - set(_NAMES) - {"places", "environments", "kfp"}
    if unknown:
        raise UsageError(
            f"{file}: [tool.headrace] has no setting {', '.join(sorted(unknown))}; there are {', '.join(_NAMES)} and "
            "the tables places.NAME, environments.NAME, kfp and secrets"
        )
    for name in _PLACED:
        place = table.get(name)
        if isinstance(place, str) and place:
            placed = _placed(str(Path(place).expanduser()) if place.startswith("~") else place, name, file.parent)
            table[name] = placed
            if "://" not in placed and not environ.get(f"HEADRACE_{name.upper()}"):
                inside = [str(Path(placed, "metadata.db")), str(Path(placed, "artifacts"))] if name == "home" else []
                _believe([placed, *inside], environ)
    return dict(table)


def _table_of(file: Path, text: str) -> dict[str, Any]:
    import tomllib

    try:
        tool = tomllib.loads(text).get("tool", {})
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not valid TOML: {error}") from None
    table = tool.get("headrace", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise UsageError(f"{file}: [tool.headrace] must be a table, not {table!r}")
    if not isinstance(table.get(_SECRETS, {}), dict):
        raise UsageError(f"{file}: [tool.headrace.secrets] must be a table of references, not {table[_SECRETS]!r}")
    return table


def names_stores(file: Path) -> bool:
    """Whether a ``pyproject.toml`` names both stores, so that whoever has the file finds them: on other machines, too.

    Raises:
        UsageError: it cannot be read.
    """
    table = _table_of(file, file.read_text(errors="replace"))
    return "://" in str(table.get("artifacts", "")) and str(table.get("database", "")).startswith("postgres")


def secret_sources(environ: Mapping[str, str] | None = None, start: Path | None = None) -> SecretSources:
    """Where the secrets of steps come from, for a flow that is started in folder ``start``.

    Raises:
        UsageError: ``pyproject.toml`` is another user's, or its table of secrets is not one.
    """
    environ = os.environ if environ is None else environ
    file = _find(here() if start is None else start, "pyproject.toml")
    text = file.read_text(errors="replace") if file is not None else ""
    references: dict[str, Any] = {}
    if file is not None and "tool.headrace" in text:
        _believe([str(file)], environ)
        references = _table_of(file, text).get(_SECRETS, {})
    folder = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or "~", ".config").expanduser())
    return SecretSources(dict(environ), references, file, Path(folder, "headrace", "secrets.toml"))


def credentials(environ: Mapping[str, str] | None = None) -> "Credentials":
    """The tokens that this user keeps for servers."""
    from headrace.services.credentials import Credentials

    environ = os.environ if environ is None else environ
    folder = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or "~", ".config").expanduser())
    return Credentials(Path(folder, "headrace", "credentials.json"))


def server_token(url: str, environ: Mapping[str, str] | None = None) -> str:
    """The token to show the server at ``url``: of the variable ``HEADRACE_TOKEN``, else of the last login there; empty
    where there is none. For a server that the user chose; see ``chosen_server_token``.

    Raises:
        UsageError: ``url`` cannot be that of a server, or the file of tokens may be read by others.
    """
    environ = os.environ if environ is None else environ
    return environ.get("HEADRACE_TOKEN") or credentials(environ).token(url)


def chosen_server_token(url: str, environ: Mapping[str, str] | None = None) -> str:
    """``server_token`` for a server that a ``pyproject.toml`` may name which the user did not write: the variable
    ``HEADRACE_TOKEN`` goes to the server of ``HEADRACE_SERVER`` alone."""
    environ = os.environ if environ is None else environ
    if environ.get("HEADRACE_TOKEN") and environ.get("HEADRACE_SERVER"):
        from headrace.services.credentials import server_url

        if server_url(environ["HEADRACE_SERVER"]) == url:
            return environ["HEADRACE_TOKEN"]
    return credentials(environ).token(url)


def _believe(places: list[str], environ: Mapping[str, str] | None) -> None:
    """Refuse what another user made, as git does: reading objects back runs code that their store chooses.

    Places that the environment names are not looked at: the user chose them.

    Raises:
        UsageError: it is another user's, and ``HEADRACE_SAFE_HOMES`` does not have it.
    """
    environ = os.environ if environ is None else environ
    for place in places:
        owner = foreign_owner(place, environ)
        if owner is None or _is_safe(place, environ):
            continue
        folder = place if os.path.isdir(place) else os.path.dirname(place)  # noqa: PTH112, PTH120
        raise UsageError(
            f"{place} belongs to {user_named(owner)}, not to you; what is read from there may run code as you, so it "
            f"is not used. If you trust its owner, allow it by name: export {SAFE_HOMES}={folder}. For runs of your "
            "own, make a folder .headrace in your project, or set HEADRACE_HOME"
        )


def _is_safe(place: str, environ: Mapping[str, str]) -> bool:
    allowed = [one for one in environ.get(SAFE_HOMES, "").split(os.pathsep) if one]
    path = Path(os.path.abspath(place))  # noqa: PTH100 - a link counts where it is
    return any(one == "*" or path.is_relative_to(os.path.abspath(one)) for one in allowed)  # noqa: PTH100


def _placed(text: str, name: str, folder: Path) -> str:
    """The setting ``name``, where it is a place from ``folder`` on."""
    if name not in _PLACED:
        return text
    place = text.removeprefix("sqlite:///") if name == "database" else text
    return place if "://" in place else str(folder / place)


def settings_file() -> Path | None:
    """The ``pyproject.toml`` whose settings hold here; None if there is none."""
    return _find(here(), "pyproject.toml")


def here() -> Path:
    """The folder that counts as the working directory: in a worker that of its run, wherever a step went."""
    try:
        return Path(context.folder or os.getcwd())  # noqa: PTH109
    except FileNotFoundError:
        raise UsageError("the current folder was removed; go to one that is there") from None


def _find(start: Path, name: str) -> Path | None:
    for folder in (start, *start.parents):
        if os.path.exists(folder / name):  # noqa: PTH110 - in folders that may not be entered, too
            return folder / name
    return None
