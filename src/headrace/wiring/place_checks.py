"""Looks at places: whether runs can use them, and what a cluster needs for it."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headrace._base.sizes import format_size
from headrace._version import __version__
from headrace.model.errors import UsageError
from headrace.model.place_checks import PlaceCheck
from headrace.model.workers import LOCAL
from headrace.services.places import KubernetesPlace, LocalPlace, PlaceSettings, WorkersPlace, is_forwarded
from headrace.settings import Settings, database_file, without_password
from headrace.wiring.machine import machine

if TYPE_CHECKING:
    from headrace.executors.kubernetes.rights import Grant, ServerShape


class ManifestOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be granted, beside what drivers in the cluster need: to ``users`` and ``groups`` that drive runs from
    elsewhere. ``server``: with a Headrace server, where TLS ends with the certificate of the secret ``tls``, or at one
    of ``proxies``.
    """

    users: Sequence[str] = ()
    groups: Sequence[str] = ()
    server: bool = False
    proxies: Sequence[str] = ()
    tls: str = ""


def places_of(settings: Settings) -> list[PlaceSettings]:
    """All places, this machine first."""
    own = [one for one in settings.places if one.name == LOCAL]
    return [*(own or [LocalPlace(name=LOCAL)]), *[one for one in settings.places if one.name != LOCAL]]


def place_named(settings: Settings, name: str) -> PlaceSettings:
    """One place.

    Raises:
        UsageError: the settings know no such place.
    """
    known = {one.name: one for one in places_of(settings)}
    if name not in known:
        raise UsageError(
            f"there is no place {name!r}; there are: {', '.join(known)}. Places are tables "
            "[tool.headrace.places.NAME] in pyproject.toml"
        )
    return known[name]


def check_place(settings: Settings, name: str) -> Iterator[PlaceCheck]:
    """Try what runs need of a place, one thing after the other.

    Raises:
        UsageError: the settings know no such place, or a package is missing.
    """
    place = place_named(settings, name)
    if isinstance(place, LocalPlace):
        share = place.share_of(machine())
        text = f"{share.cpu:g} cores, {format_size(share.memory)}, {share.gpu} GPUs of this machine"
        yield PlaceCheck(name="capacity", ok=share.cpu > 0, text=text)
    elif isinstance(place, WorkersPlace):
        yield _stores_elsewhere(settings, "workers")
        yield PlaceCheck(
            name="workers",
            ok=None,
            text=f"join at {place.listen} while a run is going on; it says how when it begins",
        )
    else:
        yield _stores_elsewhere(settings, "pods")
        if place.driver == "cluster":
            yield _database_elsewhere(settings, place)
        yield from _check_cluster(settings, place)


def _stores_elsewhere(settings: Settings, who: str) -> PlaceCheck:
    if settings.server or "://" in settings.artifacts:
        return PlaceCheck(name="artifacts", ok=True, text=settings.server or settings.artifacts)
    return PlaceCheck(
        name="artifacts",
        ok=False,
        text=f"are in {settings.artifacts or Path(settings.home, 'artifacts')}, a folder that {who} do not reach",
        advice="Set HEADRACE_ARTIFACTS=s3://BUCKET/PREFIX (or gs://, az://), or HEADRACE_SERVER to a Headrace server.",
    )


def _database_elsewhere(settings: Settings, place: KubernetesPlace) -> PlaceCheck:
    if settings.server or database_file(settings) is None or dict(place.variables).get("HEADRACE_DATABASE"):
        return PlaceCheck(name="database", ok=True, text="one that others reach too")
    return PlaceCheck(
        name="database",
        ok=None if place.secret else False,
        text=f"is the file {database_file(settings)}, which a driver in the cluster does not reach",
        advice="Set HEADRACE_DATABASE=postgresql://..., here and among the keys of the place's `secret`.",
    )


def _check_cluster(settings: Settings, place: KubernetesPlace) -> Iterator[PlaceCheck]:
    with _Packages(place.name):
        from headrace.executors.kubernetes.access import Access
        from headrace.executors.kubernetes.checks import CheckedPlace, check_cluster
    python = ".".join(platform.python_version_tuple()[:2])
    yield from check_cluster(
        CheckedPlace(
            name=place.name,
            access=Access(place.kubeconfig, place.context),
            namespace=place.namespace,
            image=place.image_of_drivers if place.driver == "cluster" else place.image_of_workers,
            pod=place.pod,
            secret=place.secret,
            variables=dict(place.variables),
            queue=place.queue,
            gangs=place.gangs,
            stores=_store_variables(settings),
            versions=f"headrace {__version__}, Python {python}.",
            patience=float(place.start_timeout),
            needs=_needs(place),
            account=place.driver_account,
        )
    )


def _needs(place: KubernetesPlace) -> frozenset[str]:
    """Which rights its runs need that others go without."""
    if place.driver == "cluster":
        return frozenset({"cluster"})
    return frozenset({"forward"} if is_forwarded(place) else ())


def _store_variables(settings: Settings) -> dict[str, str]:
    """Where others than this machine find the stores; credentials are not in it."""
    if settings.server:
        return {"HEADRACE_SERVER": settings.server, "HEADRACE_PROJECT": settings.project}
    found = {"HEADRACE_PROJECT": settings.project}
    if "://" in settings.artifacts:
        found["HEADRACE_ARTIFACTS"] = settings.artifacts
    if database_file(settings) is None:
        found["HEADRACE_DATABASE"] = without_password(settings).database
    return found


def manifests_of(settings: Settings, name: str, options: ManifestOptions) -> str:
    """The YAML that gives a place of a cluster what it needs.

    Raises:
        UsageError: it is not a place of a cluster, or what the server needs is not set.
    """
    place = _cluster_place(settings, name)
    with _Packages(name):
        from headrace.executors.kubernetes.access import Access, connection
        from headrace.executors.kubernetes.rights import manifests
        from headrace.executors.kubernetes.yaml_text import yaml_text
    namespace = place.namespace or connection(Access(place.kubeconfig, place.context)).namespace
    made = manifests(namespace, _grant(place, options), place.pod.service_account, _server(place, options))
    head = (
        f"# What place {name!r} needs in namespace {namespace!r}. Apply it once as an administrator of the namespace:\n"
        f"#   headrace place manifest {name} | kubectl apply -f -\n"
        f"# and try it: headrace place check {name}\n"
    )
    return head + yaml_text(*made)


def chart_of(settings: Settings, name: str, options: ManifestOptions) -> Mapping[str, str]:
    """The same as a Helm chart: texts by the paths of its files.

    Raises:
        UsageError: it is not a place of a cluster, or what the server needs is not set.
    """
    place = _cluster_place(settings, name)
    with _Packages(name):
        from headrace.executors.kubernetes.rights import chart
    return chart(__version__, _grant(place, options), place.pod.service_account, _server(place, options))


def _cluster_place(settings: Settings, name: str) -> KubernetesPlace:
    place = place_named(settings, name)
    if not isinstance(place, KubernetesPlace):
        raise UsageError(f"place {name!r} is not one of kind 'kubernetes': it needs no manifest")
    return place


def _grant(place: KubernetesPlace, options: ManifestOptions) -> Grant:
    from headrace.executors.kubernetes.rights import Grant, rights_of

    rights = rights_of(place.gangs, queued=bool(place.queue))
    return Grant(users=options.users, groups=options.groups, rights=rights)


def _server(place: KubernetesPlace, options: ManifestOptions) -> ServerShape | None:
    from headrace.executors.kubernetes.rights import ServerShape

    if not options.server:
        return None
    if not options.proxies and not options.tls:
        raise UsageError(
            "--with-server: say where TLS ends: --tls-secret NAME (a secret of the type kubernetes.io/tls), or "
            "--behind-proxy ADDRESS of the ingress that ends it, such as 10.244.0.0/16"
        )
    missing = [name for name, value in (("image", place.image_of_drivers), ("secret", place.secret)) if not value]
    if missing:
        raise UsageError(
            f"the server needs {' and '.join(missing)} of [tool.headrace.places.{place.name}]: the image of Headrace, "
            "and the secret whose keys name its stores (HEADRACE_DATABASE, HEADRACE_ARTIFACTS and their credentials)"
        )
    return ServerShape(place.image_of_drivers, place.secret, dict(place.variables), options.proxies, options.tls)


class _Packages:
    """Says which package a place of a cluster needs, where it is missing."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, ImportError):
            raise UsageError(
                f"place {self._place!r} needs the package {error.name}: install headrace[kubernetes]"
            ) from None
