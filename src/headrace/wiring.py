"""The one module that names concrete stores and executors: settings in, objects out.

Settings come from the environment (``HEADRACE_DATABASE``, ``HEADRACE_ARTIFACTS``, ``HEADRACE_HOME``,
``HEADRACE_PROJECT``, ``HEADRACE_DURABILITY``, ``HEADRACE_MAX_PARALLEL``, ``HEADRACE_CLEANUP``,
``HEADRACE_SHARED``, ``HEADRACE_INCLUDE``, ``HEADRACE_EXCLUDE``, ``HEADRACE_CODE_FILE_LIMIT``,
``HEADRACE_CODE_LIMIT``), else
from ``[tool.headrace]`` in the nearest ``pyproject.toml`` upward, else defaults: SQLite and a folder under the nearest
``.headrace/`` upward, made in the working directory when there is none. What another user made is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from blake3 import blake3

from headrace._base.ownership import SHARED_MODE, foreign_owner, make_folder, user_named
from headrace._base.process import host_name, user_name
from headrace._base.sizes import parse_duration, parse_size
from headrace.engine.ports import Executor
from headrace.model.actors import Actor
from headrace.model.errors import NotFoundError, StoreError, UsageError
from headrace.model.policy import Resources
from headrace.model.values import Blob
from headrace.runtime import context
from headrace.services.stores import Stores
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore

if TYPE_CHECKING:
    from headrace.executors.hosting.host import WorkerHost
    from headrace.model.handshake import Welcome
    from headrace.services.code.collect import CodeRules

HOME = ".headrace"
_PLACES = "HEADRACE_* or [tool.headrace] in pyproject.toml"
_OBJECTS = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "file", "memory")
_PLACED = ("home", "artifacts", "database")
_CODE_NAMES = ("include", "exclude", "code_file_limit", "code_limit")
_NAMES = (
    *("database", "artifacts", "home", "project", "durability", "max_parallel", "cleanup", "shared"),
    *_CODE_NAMES,
)
_LISTS = ("include", "exclude")
#: Folders that may be believed although another user owns them, as ``PATH`` lists folders; ``*`` for all.
SAFE_HOMES = "HEADRACE_SAFE_HOMES"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are kept. Empty ``database`` and ``artifacts``: inside ``home``."""

    home: str
    database: str = ""
    artifacts: str = ""
    project: str = "default"
    durability: str = "process"
    max_parallel: int = 0
    cleanup: str | float = "60s"
    shared: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    code_file_limit: str | float = "16MiB"
    code_limit: str | float = "256MiB"


class HostSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What ``headrace worker`` was asked for; ``root`` is the folder for copies of blobs and for steps to run in."""

    address: tuple[str, int]
    secret_file: str | None = None
    workers: int | None = None
    root: str = "."
    once: bool = False


class Workspace:
    """The two stores together, and the workers beside them: a value that is opened by its first use, and closed.

    All projects of the database are in it. A forked child opens the stores for itself.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._metadata: MetadataStore | None = None
        self._artifacts: ArtifactStore | None = None
        self._pid = os.getpid()

    @property
    def metadata(self) -> MetadataStore:
        """Runs, tasks and all about them, of every project: for what concerns the whole database alone."""
        self._leave_to_parent()
        if self._metadata is None:
            from headrace.stores.metadata.open import open_metadata

            file = database_file(self.settings)
            if file is not None and file.is_relative_to(self.settings.home):
                _make_home(self.settings)
            url = self.settings.database if file is None else str(file)
            self._metadata = open_metadata(url, durability=self.settings.durability)
        return self._metadata

    def metadata_of(self, project: str) -> MetadataStore:
        """Runs, tasks and all about them, of one project: what belongs to another is not there."""
        from headrace.stores.metadata.project import ProjectStore

        return ProjectStore(self.metadata, project)

    @property
    def artifacts(self) -> ArtifactStore:
        """The bytes of objects."""
        self._leave_to_parent()
        if self._artifacts is None:
            if "://" in self.settings.artifacts or _artifacts_folder(self.settings).is_relative_to(self.settings.home):
                _make_home(self.settings)  # a store elsewhere has its cache there
            self._artifacts = open_artifacts(self.settings)
        return self._artifacts

    def executor(
        self,
        preload: tuple[str, ...] = (),
        *,
        debug: bool = False,
        entry: str = "",
        imports: Mapping[str, tuple[list[str], list[str]]] | None = None,
    ) -> Executor:
        """Workers on this machine; with ``debug`` they keep the terminal.

        ``imports`` are modules by the step that imports them, installed ones and the user's own; more is learned, and
        kept for the flow that ``entry`` is.
        """
        from headrace.executors.local import LocalExecutor
        from headrace.worker.learned import Learned

        file = None
        if entry:
            key = blake3(entry.encode()).hexdigest()[:16]
            file = Path(self.settings.home, "imports", f"{key}.json")
        return LocalExecutor(machine(), self.artifacts, preload, debug=debug, learned=Learned(file, imports))

    @property
    def code_cache(self) -> str:
        """The folder for code packages that are run from here."""
        return str(Path(self.settings.home, "code"))

    def code_rules(self, file: str) -> CodeRules:
        """What the code package of the flow in ``file`` may hold, by the settings of the project that the file is in.

        Raises:
            UsageError: a setting there has an impossible value.
        """
        from headrace.services.code.collect import CodeRules, project_root

        home = self.settings.home
        root = project_root(file)
        given = _given(None, Path(root)) if _sets_code(root) else {}
        found = _converted({"home": home, **{name: given[name] for name in _CODE_NAMES if name in given}})
        _check(found)
        database = database_file(self.settings)
        places = [self.settings.artifacts or f"{home}/artifacts", f"{home}/cache", f"{home}/imports", self.code_cache]
        if database is not None:
            places += [str(database), f"{database}-wal", f"{database}-shm"]
        return CodeRules(
            include=found.include,
            exclude=found.exclude,
            file_limit=parse_size(found.code_file_limit),
            limit=parse_size(found.code_limit),
            skipped=tuple(os.path.abspath(place) for place in places if "://" not in place),  # noqa: PTH100
            known=self.code_cache,
            root=root,
        )

    def close(self) -> None:
        """Release connections; a later use opens them again."""
        if self._metadata is not None and self._pid == os.getpid():
            self._metadata.close()
        self._metadata = None

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _leave_to_parent(self) -> None:
        if self._pid != os.getpid():  # in a forked child the connections are the parent's
            self._metadata, self._artifacts, self._pid = None, None, os.getpid()


class Scope:
    """Where somebody works: a workspace, a project in it, and the actor who asks."""

    def __init__(self, workspace: Workspace, project: str, actor: Actor, *, named: bool = False) -> None:
        #: Whether somebody said which one, instead of the surroundings of the process.
        self.named = named
        self.workspace = workspace
        self.project = project
        self.actor = actor
        self._metadata: MetadataStore | None = None
        self._whole: MetadataStore | None = None

    @property
    def settings(self) -> Settings:
        """Where it all is, the project included: enough for another process to open the same."""
        return msgspec.structs.replace(self.workspace.settings, project=self.project)

    @property
    def metadata(self) -> MetadataStore:
        """Runs, tasks and all about them, of the project."""
        whole = self.workspace.metadata  # another one after a fork, and after the workspace was closed
        if self._metadata is None or self._whole is not whole:
            self._metadata, self._whole = self.workspace.metadata_of(self.project), whole
        return self._metadata

    @property
    def artifacts(self) -> ArtifactStore:
        """The bytes of objects, of all projects: who does not know a digest does not find them."""
        return self.workspace.artifacts

    @property
    def stores(self) -> Stores:
        """What services need of it."""
        return Stores(self.metadata, self.artifacts, self.project, self.actor)

    def of(self, project: str) -> Scope:
        """The same workspace and actor, in another project."""
        return Scope(self.workspace, project, self.actor, named=self.named)


def _make_home(settings: Settings) -> None:
    """Make the home: for this user alone unless ``shared``, and so that git leaves it alone where nobody named it."""
    home = Path(settings.home)
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        if home.exists():
            return
        make_folder(str(home), SHARED_MODE if settings.shared else 0o700)
        if home.name == HOME:
            (home / ".gitignore").write_text("*\n")
    except FileExistsError:
        pass  # the usual case; whose it is was looked at when the settings were read
    except OSError:
        pass  # the stores will say why it cannot be


def _artifacts_folder(settings: Settings) -> Path:
    return Path(settings.artifacts or Path(settings.home, "artifacts"))


def open_artifacts(settings: Settings) -> ArtifactStore:
    """The artifact store that ``settings`` name."""
    place = settings.artifacts or str(_artifacts_folder(settings))
    from headrace.stores.artifacts.local import LocalStore

    if "://" not in place:
        return LocalStore(place, durable=settings.durability == "fsync", shared=settings.shared)
    from headrace.stores.artifacts.cached import CachedStore
    from headrace.stores.artifacts.objects import ObjectStore

    # Kept here too, so that workers map large blobs instead of holding copies.
    return CachedStore(ObjectStore(place), LocalStore(Path(settings.home) / "cache"))


def machine() -> Resources:
    """What this machine has: cores we may use, memory, visible GPUs."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Resources(cpu=float(cores), memory=memory, gpu=_count_gpus())


def _count_gpus() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    try:
        return sum(name.startswith("nvidia") and name[6:].isdigit() for name in os.listdir("/dev"))  # noqa: PTH208
    except OSError:
        return 0


#: The joining token of a worker, where no file has it.
WORKER_SECRET = "HEADRACE_WORKER_SECRET"


def lend_workers(settings: HostSettings, report: Callable[[str], None]) -> WorkerHost:
    """The workers of this machine for a driver elsewhere; ``report`` gets lines for people.

    Raises:
        UsageError: there is no joining token, or no such folder.
    """
    from headrace.executors.hosting.host import HostOptions, WorkerHost
    from headrace.worker.joining import read_token

    if settings.secret_file is None:
        text = os.environ.pop(WORKER_SECRET, "")  # steps shall not see it
        if not text:
            raise UsageError(
                f"a worker needs the joining token of its driver: --secret-file PATH, or the variable {WORKER_SECRET}; "
                "the run prints where its token is when it begins to listen"
            )
    else:
        try:
            text = Path(settings.secret_file).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--secret-file {settings.secret_file}: {error}") from None
    root = Path(settings.root).absolute()
    try:
        root.mkdir(parents=True, exist_ok=True)
        os.chdir(root)
    except OSError as error:
        raise UsageError(f"--root {settings.root}: {error}") from None
    here = machine()
    workers = settings.workers or int(here.cpu)
    capacity = Resources(cpu=float(workers), memory=here.memory, gpu=here.gpu)
    options = HostOptions(settings.address, read_token(text), workers, capacity, settings.once)
    return WorkerHost(options, lambda welcome: _serve_elsewhere(welcome, root, capacity), report)


def _serve_elsewhere(welcome: Welcome, root: Path, capacity: Resources) -> Executor:
    """Workers for a run whose driver is on another machine.

    Raises:
        UsageError: its artifact store cannot be reached from here.
    """
    from headrace.executors.local import LocalExecutor

    settings = Settings(home=str(root), artifacts=welcome.artifacts)
    digest, size = welcome.probe
    try:
        if "://" not in welcome.artifacts and not Path(welcome.artifacts).is_dir():
            raise StoreError("there is no such folder here")
        if digest:
            open_artifacts(settings).get(Blob(bytes.fromhex(digest), size))
    except (StoreError, ImportError) as error:
        raise UsageError(
            f"the artifacts of {welcome.run} are in {welcome.artifacts}, which this worker cannot use: {error}. "
            "Workers elsewhere need a store that they reach too (HEADRACE_ARTIFACTS=s3://BUCKET/PREFIX for the run), "
            "and its credentials and endpoint in their own environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...)"
        ) from None
    return LocalExecutor(capacity, open_artifacts(settings), welcome.modules, path=())


#: Number of workspaces that a process keeps open for later calls; others live as long as they are used.
_KEPT = 8
_workspaces: dict[tuple[int, Settings], Workspace] = {}


def scope_here() -> Scope:
    """The scope of this process's working directory and environment; its workspace stays open for later calls.

    In a worker it is that of the run, wherever a step went.
    """
    return scope_at(read_settings())


def scope_at(settings: Settings) -> Scope:
    """The scope that ``settings`` say, for the user of this process."""
    return Scope(workspace_at(settings), settings.project, user_here())


def workspace_at(settings: Settings) -> Workspace:
    """The workspace that ``settings`` say; mostly the same object for the same settings. A forked child has its own."""
    settings = msgspec.structs.replace(settings, project=Settings(home="").project)  # it holds all projects
    key = os.getpid(), settings
    found = _workspaces.get(key)
    if found is None:
        found = _workspaces.setdefault(key, Workspace(settings))
        for oldest in list(_workspaces)[:-_KEPT]:
            _workspaces.pop(oldest, None)
    return found


def user_here() -> Actor:
    """The user whose process this is, on this machine."""
    return Actor(user_name(), host_name())


def check_exists(settings: Settings) -> None:
    """Refuse to read where nothing was ever run, instead of making a database there.

    Raises:
        NotFoundError: it is such a place.
    """
    file = database_file(settings)
    if file is not None and not file.exists():
        missing = f"{file} does not exist" if settings.database else f"no {HOME} folder with any in {_here()} or above"
        raise NotFoundError(
            f"there are no runs yet: {missing}; start one with `headrace run FILE.py`, or name a place with "
            "--home or HEADRACE_HOME"
        )


def existing_scope(settings: Settings | None = None) -> Scope:
    """As ``scope_here``, or ``scope_at``, for reading: a place where nothing was ever run is left as it is.

    Raises:
        NotFoundError: it is such a place.
    """
    settings = settings or read_settings()
    check_exists(settings)
    return scope_at(settings)


def without_password(settings: Settings) -> Settings:
    """``settings`` with no password in the database's URL: ``PGPASSWORD`` or a password file gives it elsewhere."""
    head, at, tail = settings.database.rpartition("@")
    scheme, mark, user = head.partition("://")
    if not (at and mark):
        return settings
    return msgspec.structs.replace(settings, database=f"{scheme}{mark}{user.partition(':')[0]}@{tail}")


def database_file(settings: Settings) -> Path | None:
    """Where the SQLite database is, or would be; None when a server keeps it."""
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
    start = _here() if start is None else start
    values = _given(environ, start)
    named = {name: _placed(text, name, start) for name, text in (given or {}).items() if text}
    if "home" in named:
        values.pop("database", None)
        values.pop("artifacts", None)
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
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"settings ({_PLACES}): {error}") from None


def names_place(environ: Mapping[str, str] | None = None, start: Path | None = None) -> bool:
    """Whether a setting says where things are kept, instead of the nearest ``.headrace``; raises UsageError."""
    given = _given(environ, _here() if start is None else start)
    return any(given.get(name) for name in ("home", "database", "artifacts"))


def _given(environ: Mapping[str, str] | None, start: Path) -> dict[str, object]:
    """The settings that somebody made."""
    environ = os.environ if environ is None else environ
    file = _find(start, "pyproject.toml")
    values = _from_pyproject(file, environ) if file is not None else {}
    for name in _NAMES:
        text = environ.get(f"HEADRACE_{name.upper()}")
        if text:
            values[name] = text.split(os.pathsep) if name in _LISTS else _placed(text, name, start)
    return values


def _check(settings: Settings) -> None:
    scheme, mark, rest = settings.artifacts.partition("://")
    if settings.durability not in ("process", "fsync"):
        problem = f"durability is {settings.durability!r}, it must be 'process' or 'fsync'"
    elif settings.max_parallel < 0:
        problem = f"max_parallel is {settings.max_parallel}, it cannot be negative"
    elif not _is_duration(settings.cleanup):
        problem = f"cleanup is {settings.cleanup!r}, it must be a duration, such as '60s' or '5m'"
    elif not _is_size(settings.code_file_limit):
        problem = f"code_file_limit is {settings.code_file_limit!r}, it must be a size, such as '16MiB'"
    elif not _is_size(settings.code_limit):
        problem = f"code_limit is {settings.code_limit!r}, it must be a size, such as '256MiB'"
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
    import tomllib

    try:
        table = tomllib.loads(text).get("tool", {}).get("headrace", {})
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not valid TOML: {error}") from None
    unknown = set(table) - set(_NAMES)
    if unknown:
        raise UsageError(
            f"{file}: [tool.headrace] has no setting {', '.join(sorted(unknown))}; there are {', '.join(_NAMES)}"
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


def _here() -> Path:
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
