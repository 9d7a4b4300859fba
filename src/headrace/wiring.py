"""The one module that names concrete stores and executors: settings in, objects out."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from blake3 import blake3

from headrace._base import logs
from headrace._base.collection import CollectionPaused
from headrace._base.ownership import SHARED_MODE, make_folder
from headrace._base.process import host_name, process_owner, user_name
from headrace._base.sizes import parse_duration, parse_size
from headrace.engine.ports import Executor
from headrace.model.actors import Actor
from headrace.model.errors import EnvironmentSetupError, MissingSecretError, NotFoundError, StoreError, UsageError
from headrace.model.policy import Resources
from headrace.model.values import Blob
from headrace.model.workers import LOCAL
from headrace.runtime import context, secrets
from headrace.runtime.secrets import Secret
from headrace.services.places import LocalPlace, Places, PlaceSettings, WorkersPlace
from headrace.services.secret_sources import SecretSources
from headrace.services.store_wait import StoreWait
from headrace.services.stores import Stores
from headrace.settings import (
    HOME,
    Settings,
    code_settings,
    database_file,
    here,
    place_variables,
    read_settings,
    secret_sources,
)
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore

if TYPE_CHECKING:
    from headrace.executors.hosting.host import WorkerHost
    from headrace.executors.local import FreshStart
    from headrace.model.environments import EnvironmentLock
    from headrace.model.handshake import Welcome
    from headrace.model.workers import ServedRun
    from headrace.services.code.collect import CodeRules
    from headrace.services.environments.service import Environments

#: Beginnings of the names of variables that say where things are on this machine: a container does not get them.
_OF_MACHINE = (
    "PATH",
    "HOME",
    "SHELL",
    "TMPDIR",
    "PWD",
    "OLDPWD",
    "LD_",
    "PYTHON",
    "XDG_",
    "VIRTUAL_ENV",
    "CONDA_",
    "UV_",
)


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
        self._environments: Environments | None = None
        self._pid = os.getpid()
        self._closed = False

    @property
    def metadata(self) -> MetadataStore:
        """Runs, tasks and all about them, of every project: for what concerns the whole database alone."""
        self.check_open()
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
        self.check_open()
        if self._artifacts is None:
            if "://" in self.settings.artifacts or _artifacts_folder(self.settings).is_relative_to(self.settings.home):
                _make_home(self.settings)  # a store elsewhere has its cache there
            self._artifacts = open_artifacts(self.settings)
        return self._artifacts

    def places(self, workers: WorkerOptions | None = None, default: str = "") -> Places:
        """The places of one run; tasks that name none run in ``default`` (empty: on this machine).

        Raises:
            UsageError: there is no such place as ``default``.
        """
        return _Places(self, workers or WorkerOptions(), default or LOCAL)

    @property
    def environments(self) -> Environments:
        """Locks and builds the environments of steps."""
        if self._environments is None:
            from headrace.services.environments.service import Environments

            named = {one.name: one for one in self.settings.environments}
            extra = ("obstore>=0.8",) if "://" in self.settings.artifacts else ()  # workers read and write objects
            self._environments = Environments(str(Path(self.settings.home, "environments")), _tell, named, extra)
        return self._environments

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
        found = code_settings(home, root)
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

    def close(self, *, final: bool = False) -> None:
        """Release connections; a later use opens them again, unless this was ``final``."""
        self._closed = self._closed or final
        if self._metadata is not None and self._pid == os.getpid():
            self._metadata.close()
        self._metadata = None

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check_open(self) -> None:
        """Raise UsageError after a final ``close``; in a forked child, leave the connections to the parent."""
        if self._closed:
            raise UsageError("this client was closed, and so was all that came from it; connect again")
        if self._pid != os.getpid():  # in a forked child the connections are the parent's
            self._metadata, self._artifacts, self._pid = None, None, os.getpid()


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the workers of a run are to be like.

    They import the modules ``preload`` where they cannot be copies of this process; with ``debug`` they keep the
    terminal. ``imports`` are modules by the step that imports them, installed ones and the user's own; more is learned,
    and kept for the flow that ``entry`` is.
    """

    preload: tuple[str, ...] = ()
    debug: bool = False
    entry: str = ""
    imports: Mapping[str, tuple[list[str], list[str]]] | None = None


class _Places:
    """Makes the executors of a run as its settings describe their places."""

    def __init__(self, workspace: Workspace, workers: WorkerOptions, default: str) -> None:
        self._workspace = workspace
        self._workers = workers
        self._known: dict[str, PlaceSettings] = {LOCAL: LocalPlace(name=LOCAL)}
        self._known.update((one.name, one) for one in workspace.settings.places)
        self._opened: dict[str, Executor] = {}
        self.environments = workspace.environments
        self.default = default
        self._settings_of(default)

    def patience(self, place: str) -> float:
        """See ``Places``."""
        settings = self._known.get(place)
        return float(settings.adopt) if isinstance(settings, WorkersPlace) else 0.0

    def has_environments(self, place: str) -> bool:
        """See ``Places``."""
        return isinstance(self._known.get(place), LocalPlace)

    def open(self, place: str) -> Executor:
        """See ``Places``."""
        if place not in self._opened:
            settings = self._settings_of(place)
            if isinstance(settings, LocalPlace):
                self._opened[place] = self._local(settings)
            else:
                self._opened[place] = self._workers_elsewhere(settings)
        return self._opened[place]

    def _workers_elsewhere(self, place: WorkersPlace) -> Executor:
        from headrace.executors.remote.executor import RemoteExecutor, RemoteOptions
        from headrace.worker.join_token import identity_of

        folder = Path(self._workspace.settings.home, "places")
        identity = identity_of(_place_secret(place, folder))
        join = folder / f"{place.name}.join"
        _write_private(join, identity.token.write())
        options = RemoteOptions(
            modules=self._workers.preload, keep=float(place.keep), adopt=float(place.adopt), join=str(join)
        )
        return RemoteExecutor(place.name, place.address, identity, options)

    def runs_images(self, place: str) -> bool:
        """See ``Places``."""
        return isinstance(self._settings_of(place), LocalPlace)

    def _settings_of(self, place: str) -> PlaceSettings:
        if place not in self._known:
            raise UsageError(
                f"there is no place {place!r}; there are: {', '.join(sorted(self._known))}. Choose one of them with "
                "--on PLACE, or describe the other in [tool.headrace.places.NAME] of pyproject.toml"
            )
        return self._known[place]

    def _local(self, place: LocalPlace) -> Executor:
        with CollectionPaused():
            from headrace.executors.environments import EnvironmentsExecutor

        # Not this object, which keeps the executor: a run's objects are to go with its last user.
        maker = _Places(self._workspace, self._workers, self.default)
        return EnvironmentsExecutor(self._forking(place), lambda lock, run: maker._in_environment(place, lock, run))

    def _forking(self, place: LocalPlace, fresh: FreshStart | None = None) -> Executor:
        with CollectionPaused():
            from headrace.executors.local import LocalExecutor
            from headrace.worker.learned import Learned

        workers, file = self._workers, None
        if workers.entry:
            key = blake3(f"{workers.entry}{fresh.interpreter if fresh else ''}".encode()).hexdigest()[:16]
            file = Path(self._workspace.settings.home, "imports", f"{key}.json")
        return LocalExecutor(
            place.share_of(machine()),
            self._workspace.artifacts,
            workers.preload,
            place=place.name,
            debug=workers.debug,
            learned=Learned(file, workers.imports),
            warm=place.warm,
            idle=place.idle if isinstance(place.idle, float) else None,
            fresh=fresh,
        )

    def _in_environment(self, place: LocalPlace, lock: EnvironmentLock, run: ServedRun) -> Executor:
        """Workers of an environment, which load the flow from the run's code package."""
        from headrace.executors.local import FreshStart
        from headrace.runtime.code_folder import code_folder
        from headrace.services.code.package import read_package
        from headrace.services.environments.building import find_built

        store = self._workspace.artifacts
        package = read_package(store, run.code)
        folder = code_folder(store, run.code, package, self._workspace.code_cache)
        if lock.image:
            fresh = self._in_image(lock, FreshStart(folder, package, tuple(sys.argv), b"", lock.program))
        else:
            # The session saw to it: to build it here would hold up the run.
            built = find_built(lock, self.environments.cache, self.environments.extra)
            if built is None:
                raise EnvironmentSetupError(
                    f"the environment {lock.label} was removed from {self.environments.cache} after the run had found "
                    "it there; the next run, or `headrace resume`, builds it again"
                )
            fresh = FreshStart(folder, package, tuple(sys.argv), b"", built.python, built.beside, lock.variables)
        fresh = msgspec.structs.replace(fresh, environment=lock.label)
        executor = self._forking(place, fresh)
        executor.start()
        return executor

    def _in_image(self, lock: EnvironmentLock, fresh: FreshStart) -> FreshStart:
        """``fresh`` for workers in a container, which sees the code, what workers need, and artifacts in a folder."""
        from headrace.runtime.containers import OWNER_LABEL, Mount, find_engine, run_arguments
        from headrace.services.environments.building import CODE, runtime_of_image

        beside = runtime_of_image(lock, self.environments.cache, self.environments.extra)
        artifacts = self._workspace.artifacts.url
        mounts = [Mount(path, path) for path in (fresh.folder, *beside, str(CODE))]
        if "://" not in artifacts:
            mounts.append(Mount(artifacts, artifacts, True))
        variables = [name for name in os.environ if not name.startswith(_OF_MACHINE)]
        options = [f"--label={OWNER_LABEL}={process_owner()}", "--preserve-fds=2", "--pid=host"]
        command = run_arguments(find_engine(), lock.image, options=options, mounts=mounts, variables=variables)
        return msgspec.structs.replace(fresh, beside=beside, container=tuple(command))


def _tell(text: str) -> None:
    """Say on standard error what takes long."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or never there
        print(f"headrace: {text}", file=sys.stderr, flush=True)


def _place_secret(place: WorkersPlace, folder: Path) -> str:
    """The secret of a place, which is made once where the settings have none.

    Raises:
        UsageError: it cannot be had.
    """
    if place.secret:
        try:
            return Secret.parse(place.secret).reveal().strip()
        except MissingSecretError as error:
            raise UsageError(f"[tool.headrace.places.{place.name}]: secret: {error}") from None
    file = folder / f"{place.name}.secret"
    if not file.exists():
        _write_private(file, os.urandom(32).hex())
    return file.read_text().strip()


def _write_private(file: Path, text: str) -> None:
    """Write a file that no other user may read, whole or not at all."""
    file.parent.mkdir(0o700, parents=True, exist_ok=True)
    draft = f"{file}.{os.urandom(6).hex()}"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:  # noqa: PTH123
        out.write(f"{text}\n")
    os.rename(draft, file)  # noqa: PTH104


class Scope:
    """A workspace, a project in it, and the actor who asks."""

    def __init__(self, workspace: Workspace, project: str, actor: Actor, *, named: bool = False) -> None:
        #: Whether a caller named it, instead of the surroundings of the process.
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

    def opened_stores(self) -> Stores:
        """``stores`` for the start of a run: a database that is away is waited for as long as ``store_wait`` says.

        Raises:
            StoreAwayError: it did not answer in time.
        """
        self.store_wait()(lambda: self.metadata)
        return self.stores

    def store_wait(self) -> StoreWait:
        """Calls functions until the store that they need answers, as long as the setting ``store_wait`` says."""
        return StoreWait(parse_duration(self.settings.store_wait))

    @property
    def variables(self) -> dict[str, str]:
        """Variables with which another process finds the same; none where its surroundings say so already."""
        return place_variables(msgspec.structs.asdict(self.settings)) if self.named else {}

    @property
    def secret_sources(self) -> SecretSources:
        """Where the secrets of steps come from, in the surroundings of this process."""
        return secret_sources()

    def of(self, project: str) -> Scope:
        """The same workspace and actor, in another project."""
        return Scope(self.workspace, project, self.actor, named=self.named)


def _make_home(settings: Settings) -> None:
    """Make the home: for this user alone unless ``shared``, and so that git leaves it alone where its place was not
    chosen."""
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
    from headrace.worker.join_token import read_token

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
    return WorkerHost(options, lambda welcome: _serve_elsewhere(welcome, root, capacity), _where_run_goes_on, report)


def _where_run_goes_on(welcome: Welcome) -> tuple[str, int] | None:
    """Where the driver of a run listens for workers now, as its record says; None if that is not known.

    Raises:
        HeadraceError: the metadata store does not answer.
    """
    from headrace.services.describe import details_of
    from headrace.stores.metadata.open import open_metadata

    database = _database_of(welcome)
    if not database:
        return None
    with contextlib.closing(open_metadata(database)) as metadata:
        number, _, created = welcome.session.partition("#")[0].partition("@")
        run = metadata.run_by_id(int(number)) if number.isdigit() else None
        if run is None or repr(run.created) != created:  # another database has another run of this number
            return None
        host, _, port = details_of(run).addresses.get(welcome.place, "").rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdigit() else None


def _database_of(welcome: Welcome) -> str:
    """The metadata store of a run as it is reached from here; empty for a file of another machine."""
    database = os.environ.get("HEADRACE_DATABASE") or welcome.database
    file = database_file(Settings(home="", database=database))
    return "" if file is not None and not file.exists() else database


def _serve_elsewhere(welcome: Welcome, root: Path, capacity: Resources) -> Executor:
    """Workers for a run whose driver is on another machine.

    Raises:
        UsageError: its artifact store cannot be reached from here.
    """
    from headrace.executors.local import FreshStart, LocalExecutor
    from headrace.runtime.code_folder import code_folder
    from headrace.services.code.package import read_package

    settings = Settings(home=str(root), artifacts=welcome.artifacts)
    digest, size = welcome.code
    code = Blob(bytes.fromhex(digest), size)
    try:
        if "://" not in welcome.artifacts and not Path(welcome.artifacts).is_dir():
            raise StoreError("there is no such folder here")
        store = open_artifacts(settings)
        package = read_package(store, code)
        folder = code_folder(store, code, package, str(root / "code"))
    except (StoreError, ImportError) as error:
        raise UsageError(
            f"the artifacts of {welcome.run} are in {welcome.artifacts}, which this worker cannot use: {error}. "
            "Workers elsewhere need a store that they reach too (HEADRACE_ARTIFACTS=s3://BUCKET/PREFIX for the run), "
            "and its credentials and endpoint in their own environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...)"
        ) from None
    ours = Path(__file__).parent
    paths = tuple([str(ours / one) for one in welcome.paths])
    database = _database_of(welcome)
    found = {"home": str(root), "database": database, "artifacts": welcome.artifacts, "project": welcome.project}
    variables = tuple(place_variables(found).items()) if database else ()  # steps may look at runs
    fresh = FreshStart(folder, package, welcome.argv, welcome.seeded, variables=variables, paths=paths)
    return LocalExecutor(capacity, open_artifacts(settings), welcome.modules, fresh=fresh)


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
    configure_logs(settings)
    return Scope(workspace_at(settings), settings.project, user_here())


def configure_logs(settings: Settings) -> None:
    """Log what Headrace does in this process as ``settings`` say."""
    if (settings.log or settings.log_level) and settings.log != "off" and context.current() is None:
        logs.secret_values = lambda: secrets.known_values
        logs.configure(settings.log or "text", settings.log_level)


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
        found = not settings.database and Path(settings.home) == here() / HOME  # what it is where nothing names a home
        missing = f"no {HOME} folder with any in {here()} or above" if found else f"{file} does not exist"
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
