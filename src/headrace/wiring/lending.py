"""Lends the workers of this machine to drivers elsewhere."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headrace.engine.ports import Executor
from headrace.model.errors import StoreError, UsageError
from headrace.model.policy import Resources
from headrace.model.values import Blob
from headrace.settings import Settings, database_file, place_variables, server_token
from headrace.wiring.machine import machine
from headrace.wiring.preparations import environments_in, preparation_of
from headrace.wiring.stores import open_artifacts, open_metadata_of, project_of

if TYPE_CHECKING:
    from headrace.executors.environments import EnvironmentsExecutor
    from headrace.executors.hosting.host import WorkerHost
    from headrace.model.environments import EnvironmentLock
    from headrace.model.handshake import Welcome
    from headrace.model.workers import ServedRun


class HostSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What ``headrace worker`` was asked for; ``root`` is the folder for copies of blobs and for steps to run in.

    ``name``, ``spare``, ``listen`` and ``once`` are those of ``HostOptions``.
    """

    address: tuple[str, int]
    secret_file: str | None = None
    workers: int | None = None
    root: str = "."
    once: bool = False
    name: str = ""
    spare: bool = True
    listen: bool = False


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
    options = HostOptions(
        settings.address,
        read_token(text),
        workers,
        capacity,
        settings.once,
        settings.name,
        settings.spare,
        settings.listen,
        _shown_as(),
    )
    return WorkerHost(options, lambda welcome: _serve_elsewhere(welcome, root, capacity), _where_run_goes_on, report)


def _shown_as() -> str:
    """What people see of where attempts run: in a pod its name and its node, which its manifest puts there."""
    pod, node = os.environ.get("HEADRACE_POD", ""), os.environ.get("HEADRACE_NODE", "")
    return f"{pod} on {node}"[:200] if pod and node else ""


def _where_run_goes_on(welcome: Welcome) -> tuple[str, int] | None:
    """Where the driver of a run listens for workers now, as its record says; None if that is not known.

    Raises:
        HeadraceError: the metadata store does not answer.
    """
    from headrace.services.describe import details_of

    database = _database_of(welcome)
    if not database:
        return None
    settings = _settings_of(database, "", welcome)
    with contextlib.closing(open_metadata_of(settings, server_token)) as whole:
        metadata = project_of(whole, settings, welcome.project)
        number, _, created = welcome.session.partition("#")[0].partition("@")
        run = metadata.run_by_id(int(number)) if number.isdigit() else None
        if run is None or repr(run.created) != created:  # another database has another run of this number
            return None
        host, _, port = details_of(run).addresses.get(welcome.place, "").rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdigit() else None


def _settings_of(database: str, home: str, welcome: Welcome) -> Settings:
    """Where a run keeps its records and objects, as this machine finds them: perhaps behind a server."""
    for url in (database, welcome.artifacts):
        if url.startswith(("http://", "https://")):
            return Settings(home=home, server=os.environ.get("HEADRACE_SERVER") or url)
    return Settings(home=home, database=database, artifacts=welcome.artifacts)


def _database_of(welcome: Welcome) -> str:
    """The metadata store of a run as it is reached from here; empty for a file of another machine."""
    database = os.environ.get("HEADRACE_DATABASE") or welcome.database
    file = database_file(Settings(home="", database=database))
    return "" if file is not None and not file.exists() else database


def _serve_elsewhere(welcome: Welcome, root: Path, capacity: Resources) -> EnvironmentsExecutor:
    """Workers for a run whose driver is on another machine.

    Raises:
        UsageError: its artifact store cannot be reached from here.
    """
    from headrace.executors.environments import EnvironmentsExecutor
    from headrace.executors.local import FreshStart, LocalExecutor
    from headrace.runtime.code_folder import code_folder
    from headrace.services.code.package import read_package

    settings = _settings_of("", str(root), welcome)
    digest, size = welcome.code
    code = Blob(bytes.fromhex(digest), size)
    try:
        if "://" not in settings.artifacts and not settings.server and not Path(welcome.artifacts).is_dir():
            raise StoreError("there is no such folder here")
        store = open_artifacts(settings, server_token)
        package = read_package(store, code)
        folder = code_folder(store, code, package, str(root / "code"))
    except (StoreError, ImportError) as error:
        raise UsageError(
            f"the artifacts of {welcome.run} are in {welcome.artifacts}, which this worker cannot use: {error}. "
            "Workers elsewhere need a store that they reach too (HEADRACE_ARTIFACTS=s3://BUCKET/PREFIX for the run), "
            "and its credentials and endpoint in their own environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...); "
            "behind a Headrace server, a token (HEADRACE_TOKEN)"
        ) from None
    ours = Path(__file__).parents[1]
    paths = tuple([str(ours / one) for one in welcome.paths])
    database = _database_of(welcome)
    found = {"home": str(root), "database": database, "artifacts": settings.artifacts, "project": welcome.project}
    if settings.server:
        found = {"home": str(root), "server": settings.server, "project": welcome.project}
    variables = tuple(place_variables(found).items()) if database else ()  # steps may look at runs
    fresh = FreshStart(folder, package, welcome.argv, welcome.seeded, variables=variables, paths=paths)

    plain = FreshStart(folder, package, welcome.argv, b"", variables=variables)
    environments = environments_in(str(root), settings.artifacts)

    def executor(start: FreshStart, modules: tuple[str, ...] = ()) -> LocalExecutor:
        return LocalExecutor(capacity, open_artifacts(settings, server_token), modules, fresh=start)

    def in_environment(lock: EnvironmentLock, _: ServedRun | None) -> Executor:
        from headrace.wiring.starts import start_in

        made = executor(start_in(lock, plain, welcome.artifacts, environments))
        made.start()
        return made

    return EnvironmentsExecutor(
        executor(fresh, welcome.modules), lambda lock, step: preparation_of(lock, step, environments), in_environment
    )
