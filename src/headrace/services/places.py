"""The places of a run: where its attempts may run, and who provides workers there."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from headrace._base.sizes import parse_duration, parse_size
from headrace.model.errors import DefinitionError, NotStorableError, ResourceError, UsageError
from headrace.model.messages import Define
from headrace.model.pods import PodSettings
from headrace.model.policy import Resources, StepPolicy
from headrace.model.workers import LOCAL, ClusterAddress

if TYPE_CHECKING:
    from headrace.engine.ports import Executor
    from headrace.services.environments.images import ImageSource
    from headrace.services.environments.service import Environments


class Places(Protocol):
    """Makes the executors of one run, by the names of their places."""

    #: Where tasks run whose step names no place.
    default: str
    #: Whether the run is driven there, by a process that is started there, and not by this one.
    hands_over: bool

    @property
    def environments(self) -> Environments:
        """Locks environments of steps."""

    def patience(self, place: str) -> float:
        """For how many seconds a resumed run waits for workers that come back with its attempts; 0: they cannot."""

    @property
    def clusters(self) -> Mapping[str, ClusterAddress]:
        """The places whose workers are pods."""

    def builds_here(self, place: str) -> bool:
        """Whether environments of steps in a place are built on this machine, or where its workers are."""

    def images(self, place: str) -> ImageSource | None:
        """Where the images of steps in a place are looked up; None: by podman or docker on this machine."""

    def open(self, place: str) -> Executor:
        """The executor of a place, not started yet.

        Raises:
            UsageError: the settings know no such place.
        """


class FixedPlaces:
    """Places whose executors are there already; the first one is the default."""

    environments: Environments
    hands_over = False
    clusters: Mapping[str, ClusterAddress] = MappingProxyType({})

    def __init__(self, *executors: Executor) -> None:
        self._executors = {one.place: one for one in executors}
        self.default = executors[0].place

    def patience(self, place: str) -> float:
        """See ``Places``."""
        return 0.0

    def builds_here(self, place: str) -> bool:
        """See ``Places``."""
        return False

    def images(self, place: str) -> ImageSource | None:
        """See ``Places``."""
        return None

    def open(self, place: str) -> Executor:
        """See ``Places``."""
        if place not in self._executors:
            raise UsageError(f"there is no place {place!r}; there are: {', '.join(self._executors)}")
        return self._executors[place]


class LocalPlace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="local"):
    """A share of this machine: at most so many cores, bytes and GPUs (None: all there are).

    ``warm`` workers are kept ready once there is work (None: the executor's own choice), and an idle worker beyond
    these lives for ``idle`` (None: as long as the run).
    """

    name: str
    cpu: float | None = None
    memory: str | int | None = None
    gpu: int | None = None
    warm: int | None = None
    idle: str | float | None = None

    def __post_init__(self) -> None:
        for name in ("cpu", "gpu", "warm"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} is {value}, it cannot be negative")
        if self.memory is not None:
            msgspec.structs.force_setattr(self, "memory", parse_size(self.memory))
        if self.idle is not None:
            msgspec.structs.force_setattr(self, "idle", parse_duration(self.idle))

    def share_of(self, machine: Resources) -> Resources:
        """What of ``machine`` belongs to the place."""
        memory = self.memory if isinstance(self.memory, int) else machine.memory
        return Resources(
            min(machine.cpu, machine.cpu if self.cpu is None else self.cpu),
            min(machine.memory, memory),
            min(machine.gpu, machine.gpu if self.gpu is None else self.gpu),
        )


class WorkersPlace(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="workers"
):
    """Machines on which ``headrace worker`` was started; the run listens for them at ``listen`` (``HOST:PORT``).

    ``secret`` is ``env:VARIABLE`` or ``file:PATH`` (empty: one is made and kept in the home). Workers go on with an
    attempt for ``keep`` after they lost their driver. A run, also a resumed one, waits ``adopt`` for workers that have
    attempts of it and no connection.
    """

    name: str
    listen: str
    secret: str = ""
    keep: str | float = "10m"
    adopt: str | float = "15s"

    def __post_init__(self) -> None:
        host, colon, port = self.listen.rpartition(":")
        if not colon or not host or not port.isdigit() or int(port) >= 1 << 16:
            raise ValueError(f"listen is {self.listen!r}, it must be HOST:PORT, such as 0.0.0.0:7701")
        if self.secret and not self.secret.startswith(("env:", "file:")):
            raise ValueError("secret must say where the secret is: env:VARIABLE or file:PATH")
        for name in ("keep", "adopt"):
            msgspec.structs.force_setattr(self, name, parse_duration(getattr(self, name)))

    @property
    def address(self) -> tuple[str, int]:
        """Where to listen."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


_IPV4 = re.compile(r"[\d.]+")
#: An ``address`` that no pod needs: the driver comes to the pods.
FORWARD = "forward"
#: Where a pod has the token of its service account: a driver in a pod is reached by other pods.
_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"


class PodLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most that a place has at once: pods, and cores, bytes and GPUs of them together (None: no limit)."""

    pods: int = 100
    cpu: float | None = None
    memory: str | int | None = None
    gpu: int | None = None

    def __post_init__(self) -> None:
        if self.pods < 1:
            raise ValueError(f"limits: pods is {self.pods}, it must be at least 1")
        for name in ("cpu", "gpu"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"limits: {name} is {value}, it cannot be negative")
        if self.memory is not None:
            msgspec.structs.force_setattr(self, "memory", parse_size(self.memory))


class KubernetesPlace(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="kubernetes"
):
    """A namespace of a Kubernetes cluster, in which a run makes pods that are its workers.

    ``context`` is one of ``kubeconfig`` (empty: as kubectl finds it; in a pod, its service account), ``namespace``
    empty that of the context. ``image`` has Headrace: steps run in it that name none, and workers beside those that do;
    without it in ``driver_image`` (that of drivers; empty: ``image``), and without both in the image of the step, which
    has Headrace then. ``driver`` says where a run that is started from the command line is itself: in the
    ``"cluster"``, by the service account ``driver_account`` (empty: that of ``pod``; ``headrace place manifest`` makes
    it), or ``"here"``, as those are which Python code starts. Pods reach a driver here at ``address`` (``HOST`` or
    ``HOST:PORT``); it listens at that port of all interfaces, or at ``listen``.
    With ``"forward"``, or outside of the cluster with neither, the driver comes to the pods through the API server.
    ``secret`` is a secret of the cluster whose keys become environment variables of workers and drivers, such as
    those with the stores and ``AWS_SECRET_ACCESS_KEY``; ``variables`` are others, which are not secrets.

    Per kind of pod ``floor`` stay warm; others leave when they had nothing to do for ``idle``. A pod that has not begun
    to work within ``start_timeout`` fails the tasks that wait for it. What the cluster takes from a task (evicted, its
    node lost, deleted) is done again up to ``repeats`` times before that counts as a failure. ``queue`` is a local
    queue of Kueue. The pods of a gang are plain ``"pods"``, or one ``"job"``, ``"jobset"`` or ``"trainjob"``, as
    ``gangs`` says. ``keep`` and ``adopt`` are as for workers elsewhere. ``baked`` are images of environments by the
    digests of these, as ``headrace image build`` prints them.
    """

    name: str
    context: str = ""
    kubeconfig: str = ""
    namespace: str = ""
    image: str = ""
    driver: str = "cluster"
    driver_image: str = ""
    driver_account: str = "headrace-driver"
    address: str = ""
    listen: str = ""
    secret: str = ""
    variables: dict[str, str] | tuple[tuple[str, str], ...] = ()
    pod: PodSettings = PodSettings()
    limits: PodLimits = PodLimits()
    floor: int = 0
    idle: str | float = "60s"
    start_timeout: str | float = "5m"
    repeats: int = 20
    queue: str = ""
    gangs: Literal["pods", "job", "jobset", "trainjob"] = "pods"
    keep: str | float = "10m"
    adopt: str | float = "60s"
    baked: dict[str, str] | tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.driver not in ("here", "cluster"):
            raise ValueError(f"driver is {self.driver!r}, it must be 'here' or 'cluster'")
        for name in ("floor", "repeats"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, it cannot be negative")
        for name in ("address", "listen"):
            if getattr(self, name) not in ("", FORWARD):
                _host_and_port(name, getattr(self, name))
        for name in ("variables", "baked"):
            msgspec.structs.force_setattr(self, name, tuple(sorted(dict(getattr(self, name)).items())))
        for name in ("idle", "start_timeout", "keep", "adopt"):
            msgspec.structs.force_setattr(self, name, parse_duration(getattr(self, name)))

    @property
    def image_of_drivers(self) -> str:
        """What drivers run in; empty: the place can have none."""
        return self.driver_image or self.image

    @property
    def image_of_workers(self) -> str:
        """What workers run in beside steps that name an image; empty: in that image."""
        return self.image or self.driver_image


def _host_and_port(name: str, text: str) -> tuple[str, int]:
    """Host and port (0: none is given) of a setting."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):  # a host alone, perhaps an IPv6 address in brackets
        host, port = text, "0"
    if not host or not port.isdigit() or int(port) >= 1 << 16 or (":" in host and not host.startswith("[")):
        raise ValueError(f"{name} is {text!r}, it must be HOST or HOST:PORT, such as 10.0.0.5:7701")
    return host.strip("[]"), int(port)


def is_forwarded(place: KubernetesPlace) -> bool:
    """Whether the driver of a run comes to the pods of a place through the API server, since they cannot reach it."""
    return place.address == FORWARD or not (place.address or place.listen or Path(_TOKEN).exists())


def addresses_of(place: KubernetesPlace) -> tuple[tuple[str, int], str]:
    """Where a driver listens for the pods of a place, and the host at which these reach it (empty: not known)."""
    known = place.address and place.address != FORWARD
    reached, port = _host_and_port("address", place.address) if known else ("", 0)
    if place.listen:
        host, own = _host_and_port("listen", place.listen)
        return (host, own or port), reached
    return ("0.0.0.0" if _IPV4.fullmatch(reached) else "::", port), reached  # a name may be one of either family


def drives_there(place: PlaceSettings, driver: str) -> bool:
    """Whether a run whose default place this is has its driver there; ``driver``: here, cluster, or as the place says.

    Raises:
        UsageError: it is not a place for drivers.
    """
    if not isinstance(place, KubernetesPlace):
        if driver == "cluster":
            raise UsageError(f"place {place.name!r} is not a cluster: --driver cluster needs --on with one")
        return False
    return (driver or place.driver) == "cluster"


PlaceSettings = LocalPlace | WorkersPlace | KubernetesPlace
#: What ``kind`` may say in ``[tool.headrace.places.NAME]``.
KINDS: dict[str, type[LocalPlace | WorkersPlace | KubernetesPlace]] = {
    "local": LocalPlace,
    "workers": WorkersPlace,
    "kubernetes": KubernetesPlace,
}
#: Names of places are names of files in the home, so they have no ``/`` and do not begin with a dot.
_NAME = re.compile(r"\w[\w.-]*")


def read_places(table: object) -> tuple[PlaceSettings, ...]:
    """The places of ``[tool.headrace.places]``.

    Raises:
        UsageError: one has an impossible name, an unknown kind, or a setting that is unknown or impossible.
    """
    if not isinstance(table, Mapping):
        raise UsageError(f"[tool.headrace] places must be tables [tool.headrace.places.NAME], not {table!r}")
    places = []
    for name, given in table.items():
        where = f"[tool.headrace.places.{name}]"
        if not _NAME.fullmatch(name):
            raise UsageError(f"{where}: the name of a place has letters, digits, '_', '-' and '.', not {name!r}")
        if not isinstance(given, Mapping):
            raise UsageError(f"{where} must be a table, not {given!r}")
        kind = given.get("kind")
        if kind not in KINDS:
            what = f"is {kind!r}" if "kind" in given else "is missing"
            raise UsageError(f"{where}: kind {what}; it must be one of: {', '.join(KINDS)}")
        if name == LOCAL and kind != "local":
            raise UsageError(f"{where}: {LOCAL!r} is this machine; give a place of kind {kind!r} another name")
        values = {key: value for key, value in given.items() if key != "kind"} | {"name": name}
        try:
            places.append(msgspec.convert(values, KINDS[kind]))
        except (msgspec.ValidationError, ValueError, DefinitionError) as error:
            known = [one for one in KINDS[kind].__struct_fields__ if one != "name"]
            hint = f"; a place of kind {kind!r} has: {', '.join(known)}" if "unknown field" in str(error) else ""
            raise UsageError(f"{where}: {error}{hint}") from None
    return tuple(places)


def check_travels(step: str, define: Define, policy: StepPolicy) -> None:
    """Refuse a step whose function has no name in a module where its environment has another version of Python.

    Raises:
        NotStorableError: it is such a step; the message says what to do.
    """
    lock = policy.lock
    if lock is None or define.command or not lock.python or lock.minor == sys.version_info[:2]:
        return
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if define.body and not define.raw:  # a raw step is an object of its dialect
        raise NotStorableError(
            f"step {step!r} is to run on Python {lock.python}, and its function is no name of a module, so it would "
            f"have to travel as bytecode of Python {ours}; define it at the top of a .py file, or give it an "
            f"environment with python={ours!r}"
        )
    if define.values is not None and b"CodeType" in define.values.inline:
        raise NotStorableError(
            f"step {step!r} is to run on Python {lock.python}, and its code reaches a function or class that was made "
            f"while the flow ran, which would have to travel as bytecode of Python {ours}; define it at the top of a "
            f".py file, or give the step an environment with python={ours!r}"
        )


def check_fits(step: str, need: Resources, executor: Executor) -> None:
    """Refuse a step that asks for more than a single attempt can ever get in a place.

    Raises:
        ResourceError: it does; the message names the place.
    """
    have = executor.capacity.largest
    if have is None:
        return
    for what, asked, there in (
        ("cpu", need.cpu, have.cpu),
        ("memory", need.memory, have.memory),
        ("gpu", need.gpu, have.gpu),
    ):
        if asked > there:
            unit = "GiB of memory" if what == "memory" else f"{what}s"
            scale = 2**30 if what == "memory" else 1
            where = "this machine" if executor.place == LOCAL else f"place {executor.place!r}"
            raise ResourceError(
                f"step {step!r} asks for {asked / scale:g} {unit}, but {where} has {there / scale:g}; "
                f"lower it with {step}.options({what}=...)"
            )
