"""The executors of a run's places."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from blake3 import blake3

from headrace._base.collection import CollectionPausedForImports
from headrace.engine.ports import Executor
from headrace.model.errors import MissingSecretError, UsageError
from headrace.model.pods import PodSettings, merge
from headrace.model.policy import Resources
from headrace.model.workers import LOCAL, ClusterAddress
from headrace.runtime.secrets import Secret
from headrace.services.notices import print_notice
from headrace.services.places import (
    KubernetesPlace,
    LocalPlace,
    PlaceSettings,
    WorkersPlace,
    addresses_of,
    drives_there,
    is_forwarded,
)
from headrace.settings import Settings
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.wiring.machine import machine
from headrace.wiring.preparations import preparation_of
from headrace.wiring.stores import code_cache

if TYPE_CHECKING:
    from headrace.executors.local import FreshStart
    from headrace.model.environments import EnvironmentLock
    from headrace.model.workers import ServedRun
    from headrace.services.environments.images import ImageSource
    from headrace.services.environments.service import Environments

#: The label by which Kueue finds the queue of a pod.
_QUEUE = "kueue.x-k8s.io/queue-name"


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the workers of a run are to be like.

    They import the modules ``preload`` where they cannot be copies of this process; with ``debug`` they keep the
    terminal. ``driver`` says where the run itself is: ``here``, in the ``cluster`` of its default place, or, empty, as
    that place says. ``imports`` are modules by the step that imports them, installed ones and the user's own; more is
    learned, and kept for the flow that ``entry`` is.
    """

    preload: tuple[str, ...] = ()
    debug: bool = False
    entry: str = ""
    driver: str = "here"
    imports: Mapping[str, tuple[list[str], list[str]]] | None = None


class ConfiguredPlaces:
    """See ``Places``: makes the executors of a run as its settings describe their places."""

    def __init__(
        self,
        settings: Settings,
        artifacts: ArtifactStore,
        environments: Callable[[], Environments],
        workers: WorkerOptions,
        default: str,
    ) -> None:
        self._settings = settings
        self._artifacts = artifacts
        self._workers = workers
        self._known: dict[str, PlaceSettings] = {LOCAL: LocalPlace(name=LOCAL)}
        self._known.update((one.name, one) for one in settings.places)
        self._opened: dict[str, Executor] = {}
        self._images: dict[str, ImageSource] = {}
        self._environments = environments
        self.default = default
        self.hands_over = _hands_over(self._settings_of(default), settings, workers.driver)

    @property
    def environments(self) -> Environments:
        """See ``Places``."""
        return self._environments()

    def patience(self, place: str) -> float:
        """See ``Places``."""
        settings = self._known.get(place)
        return float(settings.adopt) if isinstance(settings, WorkersPlace | KubernetesPlace) else 0.0

    @property
    def clusters(self) -> Mapping[str, ClusterAddress]:
        """See ``Places``."""
        return {
            name: ClusterAddress(one.kubeconfig, one.context, one.namespace)
            for name, one in self._known.items()
            if isinstance(one, KubernetesPlace)
        }

    def builds_here(self, place: str) -> bool:
        """See ``Places``."""
        return isinstance(self._known.get(place), LocalPlace)

    def images(self, place: str) -> ImageSource | None:
        """See ``Places``."""
        if not isinstance(self._known.get(place), KubernetesPlace):
            return None
        if place not in self._images:
            from headrace.executors.kubernetes.executor import KubernetesExecutor
            from headrace.executors.kubernetes.probing import ClusterImages
            from headrace.services.environments.images import ASKED, PYTHONS

            executor = self.open(place)
            assert isinstance(executor, KubernetesExecutor)
            self._images[place] = ClusterImages(executor.probe, PYTHONS, ["-c", ASKED])
        return self._images[place]

    def open(self, place: str) -> Executor:
        """See ``Places``."""
        if place not in self._opened:
            settings = self._settings_of(place)
            if isinstance(settings, LocalPlace):
                self._opened[place] = self._local(settings)
            elif isinstance(settings, KubernetesPlace):
                self._opened[place] = self._in_pods(settings)
            else:
                self._opened[place] = self._workers_elsewhere(settings)
        return self._opened[place]

    def _workers_elsewhere(self, place: WorkersPlace) -> Executor:
        from headrace.executors.remote.executor import RemoteExecutor, RemoteOptions
        from headrace.worker.join_token import identity_of

        folder = Path(self._settings.home, "places")
        identity = identity_of(_place_secret(place, folder))
        join = folder / f"{place.name}.join"
        _write_private(join, identity.token.write())
        options = RemoteOptions(
            modules=self._workers.preload, keep=float(place.keep), adopt=float(place.adopt), join=str(join)
        )
        return RemoteExecutor(place.name, place.address, identity, options)

    def _in_pods(self, place: KubernetesPlace) -> Executor:
        try:
            from headrace.executors.kubernetes.access import Access, connection
            from headrace.executors.kubernetes.executor import KubernetesExecutor
            from headrace.executors.kubernetes.options import KubernetesOptions
        except ImportError as error:
            raise UsageError(
                f"place {place.name!r} needs the package {error.name}: install headrace[kubernetes]"
            ) from None
        from headrace.executors.kubernetes.pods import PodRules
        from headrace.executors.remote.executor import RemoteOptions
        from headrace.services.environments.baking import noted
        from headrace.wiring.driver_pods import driver_pod, seated
        from headrace.worker.join_token import identity_of

        pod, owner = driver_pod(), None
        if pod is not None:
            place, same = seated(place, list(self._known.values()), pod)
            owner = pod.owner if same and place.namespace == pod.namespace else None
        secret = pod.identity() if pod is not None else _made_secret(Path(self._settings.home, "places"), place.name)
        identity = identity_of(secret)
        listen, reached = addresses_of(place)
        limits = place.limits
        bounded = None
        if (limits.cpu, limits.memory, limits.gpu) != (None, None, None):
            memory = limits.memory if isinstance(limits.memory, int) else 1 << 60
            bounded = Resources(
                1e6 if limits.cpu is None else limits.cpu, memory, 4096 if limits.gpu is None else limits.gpu
            )
        access = Access(place.kubeconfig, place.context)
        connection(access)  # which cannot be had without: found before a run is recorded
        rules = PodRules(
            pods=limits.pods,
            resources=bounded,
            floor=place.floor,
            idle=float(place.idle),
            start_timeout=float(place.start_timeout),
        )
        remote = RemoteOptions(modules=self._workers.preload, keep=float(place.keep), adopt=float(place.adopt))
        options = KubernetesOptions(
            access=access,
            namespace=place.namespace,
            reached=reached,
            forward=is_forwarded(place),
            image=place.image,
            beside=place.image_of_workers,
            pod=_in_queue(place),
            secret=place.secret,
            variables=dict(place.variables),
            baked=noted(self.environments.cache) | (pod.baked() if pod is not None else {}) | dict(place.baked),
            rules=rules,
            repeats=place.repeats,
            gangs=place.gangs,
            queued=bool(place.queue),
            owner=owner,
            notify=print_notice,
            port_file=str(Path(self._settings.home, "places", f"{place.name}.port")),
        )
        return KubernetesExecutor(place.name, listen, identity, remote, options)

    def _settings_of(self, place: str) -> PlaceSettings:
        if place not in self._known:
            raise UsageError(
                f"there is no place {place!r}; there are: {', '.join(sorted(self._known))}. Choose one of them with "
                "--on PLACE, or describe the other in [tool.headrace.places.NAME] of pyproject.toml"
            )
        return self._known[place]

    def _local(self, place: LocalPlace) -> Executor:
        with CollectionPausedForImports():
            from headrace.executors.environments import EnvironmentsExecutor

        # Not this object, which keeps the executor: a run's objects are to go with its last user.
        maker = ConfiguredPlaces(self._settings, self._artifacts, self._environments, self._workers, self.default)
        return EnvironmentsExecutor(
            self._forking(place),
            lambda lock, step: preparation_of(lock, step, maker.environments),
            lambda lock, run: maker._in_environment(place, lock, run),
        )

    def _forking(self, place: LocalPlace, fresh: FreshStart | None = None) -> Executor:
        with CollectionPausedForImports():
            from headrace.executors.local import LocalExecutor
            from headrace.worker.learned import Learned

        workers, file = self._workers, None
        if workers.entry:
            key = blake3(f"{workers.entry}{fresh.interpreter if fresh else ''}".encode()).hexdigest()[:16]
            file = Path(self._settings.home, "imports", f"{key}.json")
        return LocalExecutor(
            place.share_of(machine()),
            self._artifacts,
            workers.preload,
            place=place.name,
            debug=workers.debug,
            learned=Learned(file, workers.imports),
            warm=place.warm,
            idle=place.idle if isinstance(place.idle, float) else None,
            fresh=fresh,
        )

    def _in_environment(self, place: LocalPlace, lock: EnvironmentLock, run: ServedRun | None) -> Executor:
        """Workers of an environment, which load the flow from the run's code package."""
        from headrace.executors.local import FreshStart
        from headrace.runtime.code_folder import code_folder
        from headrace.services.code.package import read_package
        from headrace.wiring.starts import start_in

        assert run is not None  # before its first attempt
        package = read_package(self._artifacts, run.code)
        folder = code_folder(self._artifacts, run.code, package, code_cache(self._settings))
        base = FreshStart(folder, package, tuple(sys.argv), b"")
        executor = self._forking(place, start_in(lock, base, self._artifacts.url, self.environments))
        executor.start()
        return executor


def _hands_over(place: PlaceSettings, settings: Settings, driver: str) -> bool:
    """Whether a run whose default place this is gets its driver there.

    Raises:
        UsageError: it cannot.
    """
    if not drives_there(place, driver):
        return False
    if settings.server or ("://" in settings.artifacts and settings.database.startswith("postgres")):
        from headrace.wiring.driver_pods import check_driver_place

        assert isinstance(place, KubernetesPlace)
        check_driver_place(place)
        return True
    raise UsageError(
        f"place {place.name!r} drives runs in its cluster, whose pods reach no files of this machine: set "
        "HEADRACE_DATABASE to a PostgreSQL database and HEADRACE_ARTIFACTS to a bucket, or HEADRACE_SERVER; or keep "
        "the driver here: --driver here"
    )


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
    return _made_secret(folder, place.name)


def _made_secret(folder: Path, name: str) -> str:
    """A secret that is made once, and kept in the home."""
    file = folder / f"{name}.secret"
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


def _in_queue(place: KubernetesPlace) -> PodSettings:
    """The settings of a place's pods, which Kueue finds by a label where the place names a queue of it."""
    return merge(place.pod, PodSettings(labels={_QUEUE: place.queue})) if place.queue else place.pod
