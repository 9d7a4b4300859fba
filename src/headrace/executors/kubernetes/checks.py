"""``headrace place check`` for a namespace of a cluster: each thing that runs need is tried, not assumed.

Nothing is left behind: one pod and one secret are made for the stores, and deleted.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
import select
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.api import ClusterApi
from headrace.executors.kubernetes.client import ClusterClient, ClusterError, Json, Kind
from headrace.executors.kubernetes.group_manifests import KINDS
from headrace.executors.kubernetes.happenings import CreateRefused, PodEvent, PodLog, PodSeen
from headrace.executors.kubernetes.manifests import CONTAINER, DOMAIN, PodKind, PodPlace, pod_of
from headrace.executors.kubernetes.permission import allowed, explained
from headrace.executors.kubernetes.reasons import reason_of, reason_of_refusal
from headrace.executors.kubernetes.rights import (
    DRIVER,
    MANAGED,
    Grant,
    Right,
    bindings_of,
    rights_of,
    role_of,
    service_account,
)
from headrace.executors.kubernetes.yaml_text import yaml_text
from headrace.model.errors import UsageError
from headrace.model.place_checks import PlaceCheck
from headrace.model.pods import PodSettings
from headrace.model.policy import Resources

_WHOAMI = Kind("authentication.k8s.io/v1", "SelfSubjectReview")
_QUOTA = Kind("v1", "ResourceQuota")
_QUEUES = (Kind("kueue.x-k8s.io/v1beta2", "LocalQueue"), Kind("kueue.x-k8s.io/v1beta1", "LocalQueue"))
#: What looks after gangs of a form, where that is not Kubernetes itself.
_CONTROLLERS = {"jobset": "JobSet", "trainjob": "Kubeflow Trainer"}
_REVIEWER = "system:serviceaccount:"
#: Seconds that the log of the pod may take.
_LOG = 30.0


class CheckedPlace(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be tried. ``stores`` are the variables with which a worker finds artifacts and database, where others
    than this machine reach these. ``versions`` is what the image must have. ``patience`` in seconds: for the pod.
    ``needs``: see ``Right.only``. ``account`` is the service account of drivers.
    """

    name: str
    access: Access
    namespace: str = ""
    image: str = ""
    pod: PodSettings = PodSettings()
    secret: str = ""
    variables: Mapping[str, str] = {}
    queue: str = ""
    gangs: str = "pods"
    stores: Mapping[str, str] = {}
    versions: str = ""
    patience: float = 300.0
    needs: frozenset[str] = frozenset()
    account: str = DRIVER


def check_cluster(place: CheckedPlace) -> Iterator[PlaceCheck]:
    """Try what runs need in the place, in the order of what depends on what."""
    try:
        client = ClusterClient(place.access, place.namespace)
    except UsageError as error:
        yield PlaceCheck(name="configuration", ok=False, text=str(error))
        return
    with client:
        yield PlaceCheck(name="configuration", ok=True, text=f"{client.connection.where}")
        try:
            version = client.request("GET", "/version").get("gitVersion", "of an unknown version")
            user = _user(client)
        except ClusterError as error:
            yield PlaceCheck(name="API server", ok=False, text=explained(error, client))
            return
        server = client.connection.server
        yield PlaceCheck(name="API server", ok=True, text=f"{server}: Kubernetes {version}, as {user}")
        namespace = _namespace(client)
        yield namespace
        if namespace.ok is False:
            return
        missing, less = [], False
        rights = rights_of(place.gangs, queued=bool(place.queue))
        for right in rights:
            optional = right.optional or not (not right.only or right.only in place.needs)
            check = _right(client, right._replace(optional=optional))
            missing += [right] if check.ok is False else []
            less |= check.ok is not True
            yield check
        if less:
            yield _granting(client, user, rights, enough=not missing)
        if "cluster" in place.needs:
            yield _account(client, place.account)
        yield from _quotas(client)
        installed = list(_installed(client, place))
        yield from installed
        queue = "" if any(one.name == "queues" and one.ok is False for one in installed) else place.queue
        yield from _named(client, msgspec.structs.replace(place, queue=queue))
        if any(one.called in ("pods", "secrets") for one in missing):
            yield PlaceCheck(name="pod", ok=None, text="not tried, since rights are missing")
        else:
            yield from _pod(client, place)


def _user(client: ClusterClient) -> str:
    review = client.create({"apiVersion": _WHOAMI.api_version, "kind": _WHOAMI.name})
    user: str = review["status"]["userInfo"].get("username", "")
    return user


def _namespace(client: ClusterClient) -> PlaceCheck:
    """Whether it exists: told by the answer to the offer of an object, which needs no right to look at namespaces."""
    name = client.namespace
    offer = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "headrace-check-"}}
    try:
        client.create({**offer, "spec": {"containers": [{"name": "check", "image": "check"}]}}, dry_run=True)
    except ClusterError as error:
        if error.code == 404:
            grant = yaml_text({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            return PlaceCheck(
                name="namespace", ok=False, text=f"{name} does not exist", advice="Create it:", grant=grant
            )
        if error.reason == "NamespaceTerminating":
            return PlaceCheck(name="namespace", ok=False, text=explained(error, client))
        if error.code == 0 or error.code >= 500:
            return PlaceCheck(name="namespace", ok=None, text=explained(error, client))
    return PlaceCheck(name="namespace", ok=True, text=name)


def _right(client: ClusterClient, right: Right) -> PlaceCheck:
    resource, _, part = right.resource.partition("/")
    name = f"right: {right.called}"
    try:
        missing = [
            verb for verb in right.verbs if not allowed(client, verb, resource, group=right.group, subresource=part)
        ]
    except ClusterError as error:
        return PlaceCheck(name=name, ok=None, text=explained(error, client))
    if not missing:
        return PlaceCheck(name=name, ok=True, text=", ".join(right.verbs))
    text = f"may not {', '.join(missing)}: needed to {right.purpose}"
    return PlaceCheck(name=name, ok=None if right.optional else False, text=text)


def _granting(client: ClusterClient, user: str, rights: Sequence[Right], *, enough: bool) -> PlaceCheck:
    """All that the rights need which are missing, as ``place manifest`` has it: what was granted to others stays."""
    namespace = client.namespace
    bindings = bindings_of(namespace, _grant(user, namespace))
    grant = yaml_text(service_account(namespace, DRIVER), role_of(namespace, rights), *bindings)
    text = f"{user} lacks some; runs go without these" if enough else f"{user} lacks some that runs need"
    advice = "An administrator of the namespace applies (kubectl apply -f -):"
    return PlaceCheck(name="rights", ok=None if enough else False, text=text, advice=advice, grant=grant)


def _account(client: ClusterClient, account: str) -> PlaceCheck:
    """Whether there is the service account of drivers, told by the answer to the offer of a pod that has it."""
    spec = {"containers": [{"name": "check", "image": "check"}], "serviceAccountName": account}
    offer = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "headrace-check-"}, "spec": spec}
    name = f"service account {account}"
    try:
        client.create(offer, dry_run=True)
    except ClusterError as error:
        if "error looking up service account" in error.message:
            bindings = bindings_of(client.namespace, Grant(service_accounts=[account]))
            grant = yaml_text(service_account(client.namespace, account), *bindings)
            text = "does not exist, so drivers in the cluster have no rights"
            return PlaceCheck(name=name, ok=False, text=text, advice="Create it:", grant=grant)
        if error.code != 403 or "cannot create" in error.message:
            return PlaceCheck(name=name, ok=None, text="cannot be looked at without the right to make pods")
    return PlaceCheck(name=name, ok=True, text="exists")


def _grant(user: str, namespace: str) -> Grant:
    """To whom the right is missing: a service account of the namespace or a user."""
    own = f"{_REVIEWER}{namespace}:"
    return Grant(service_accounts=[user.removeprefix(own)]) if user.startswith(own) else Grant(users=[user])


def _quotas(client: ClusterClient) -> Iterator[PlaceCheck]:
    try:
        quotas = list(client.list(_QUOTA))
    except ClusterError as error:
        if error.code != 403:
            yield PlaceCheck(name="quota", ok=None, text=explained(error, client))
        return
    for quota in quotas:
        status = quota.get("status") or {}
        hard, used = status.get("hard") or {}, status.get("used") or {}
        said = [f"{used.get(name, '0')} of {limit} {name}" for name, limit in sorted(hard.items())]
        full = [name for name, limit in hard.items() if name in ("pods", "count/pods") and used.get(name) == limit]
        name = f"quota {quota['metadata']['name']}"
        advice = "Runs wait until others end, or until the quota is raised." if full else ""
        yield PlaceCheck(name=name, ok=not full, text=f"used: {', '.join(said) or 'nothing'}", advice=advice)
    if not quotas:
        yield PlaceCheck(name="quota", ok=True, text="none")


def _installed(client: ClusterClient, place: CheckedPlace) -> Iterator[PlaceCheck]:
    """Whether the cluster has what gangs and queues of the place need; everybody may see which APIs there are."""
    wanted = {}
    if place.gangs in _CONTROLLERS:
        kind = KINDS[place.gangs]
        wanted[f"gangs {place.gangs}"] = (_CONTROLLERS[place.gangs], [kind], 'set gangs = "pods" of the place')
    if place.queue:
        wanted["queues"] = ("Kueue", list(_QUEUES), "leave out queue of the place")
    for name, (product, kinds, otherwise) in wanted.items():
        versions = [one.api_version for one in kinds]
        try:
            there = [one for one in versions if _has_api(client, one)]
        except ClusterError as error:
            yield PlaceCheck(name=name, ok=None, text=explained(error, client))
            continue
        if there:
            yield PlaceCheck(name=name, ok=True, text=f"the cluster has {product} ({there[0]})")
        else:
            advice = f"An administrator of the cluster installs it; or {otherwise}."
            text = f"the cluster does not have {product} ({' or '.join(versions)})"
            yield PlaceCheck(name=name, ok=False, text=text, advice=advice)


def _has_api(client: ClusterClient, api_version: str) -> bool:
    try:
        client.request("GET", f"/apis/{api_version}")
    except ClusterError as error:
        if error.code == 404:
            return False
        raise
    return True


def _named(client: ClusterClient, place: CheckedPlace) -> Iterator[PlaceCheck]:
    """The objects that the settings of the place name: whether they exist, as far as that may be seen."""
    pod = place.pod
    wanted: list[tuple[str, Kind, str]] = [
        *[("secret", Kind("v1", "Secret"), one) for one in dict.fromkeys([place.secret, *pod.secrets]) if one],
        *[("pull secret", Kind("v1", "Secret"), one) for one in pod.image_pull_secrets],
        *[("config map", Kind("v1", "ConfigMap"), one) for one in pod.config_maps],
        *[
            ("priority class", Kind("scheduling.k8s.io/v1", "PriorityClass"), one)
            for one in (pod.priority_class,)
            if one
        ],
        *[("service account", Kind("v1", "ServiceAccount"), one) for one in (pod.service_account,) if one],
        *[
            ("volume claim", Kind("v1", "PersistentVolumeClaim"), str(one["persistentVolumeClaim"].get("claimName")))
            for one in pod.volumes
            if isinstance(one.get("persistentVolumeClaim"), Mapping)
        ],
    ]
    for what, kind, name in wanted:
        yield _exists(client, f"{what} {name}", [kind], name)
    if place.queue:
        yield _exists(client, f"queue {place.queue}", list(_QUEUES), place.queue)


def _exists(client: ClusterClient, what: str, kinds: list[Kind], name: str) -> PlaceCheck:
    for kind in kinds:
        try:
            client.get(kind, name)
            return PlaceCheck(name=what, ok=True, text="exists")
        except ClusterError as error:
            if error.code == 403:
                return PlaceCheck(
                    name=what, ok=None, text="cannot be looked at with these rights; the pod below needs it"
                )
            if error.code != 404:
                return PlaceCheck(name=what, ok=None, text=explained(error, client))
    grant = ""
    if kinds[0].name == "ServiceAccount":
        grant = yaml_text(service_account(client.namespace, name))
    elif kinds[0].name in ("Secret", "ConfigMap"):
        metadata = {"name": name, "namespace": client.namespace}
        values = "stringData" if kinds[0].name == "Secret" else "data"
        grant = yaml_text({"apiVersion": "v1", "kind": kinds[0].name, "metadata": metadata, values: {"NAME": "VALUE"}})
    elif kinds[0].name == "LocalQueue":
        spec = {"clusterQueue": "NAME OF A CLUSTER QUEUE"}
        metadata = {"name": name, "namespace": client.namespace}
        grant = yaml_text(
            {"apiVersion": kinds[0].api_version, "kind": "LocalQueue", "metadata": metadata, "spec": spec}
        )
    advice = "Create it:" if grant else "Create it, or name another one in the settings of the place."
    return PlaceCheck(
        name=what, ok=False, text=f"does not exist in namespace {client.namespace}", advice=advice, grant=grant
    )


# --- from inside of a pod -----------------------------------------------------------------------------------------


def _pod(client: ClusterClient, place: CheckedPlace) -> Iterator[PlaceCheck]:
    if not place.image:
        text = "the place names none: each step must name one, in which Headrace is"
        if "cluster" in place.needs:
            text, advice = "the place names none for drivers", 'Set `image` or `driver_image`; or `driver` to "here".'
            yield PlaceCheck(name="image", ok=False, text=text, advice=advice)
        else:
            yield PlaceCheck(name="image", ok=None, text=text)
        return
    name = f"headrace-check-{secrets.token_hex(4)}"
    labels = {**MANAGED, f"{DOMAIN}/check": name}
    where = PodPlace(
        prefix=name,
        labels=labels,
        annotations={},
        address="none:1",
        token=name,
        secret=place.secret,
        variables=place.variables,
    )
    stores = {key: base64.b64encode(value.encode()).decode() for key, value in place.stores.items()}
    metadata = {"name": name, "labels": labels}
    try:
        client.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": stores})
        with contextlib.closing(ClusterApi(place.access, client.namespace, labels)) as api:
            api.start()
            yield from _from_pod(api, _probe(name, place, where), place)
            api.delete_pod(name, 0.0)
    except (ClusterError, UsageError) as error:
        text = explained(error, client) if isinstance(error, ClusterError) else str(error)
        yield PlaceCheck(name="pod", ok=False, text=text)
    finally:
        with contextlib.suppress(ClusterError):
            client.delete(Kind("v1", "Secret"), name)


def _probe(name: str, place: CheckedPlace, where: PodPlace) -> Json:
    """The pod of a worker that looks at versions and stores instead. What the place gives wins over ``stores``."""
    kind = PodKind(image=place.image, resources=Resources(cpu=0.1), settings=place.pod)
    manifest = pod_of(name, kind, where)
    for container in manifest["spec"]["containers"]:
        if container["name"] == CONTAINER:
            container["command"] = ["python", "-m", "headrace", "doctor"]
            container["args"] = ["--stores", "--json"]
            container["envFrom"] = [{"secretRef": {"name": name}}, *container.get("envFrom", ())]
    return manifest


def _advice(place: CheckedPlace, text: str) -> str:
    """What to do about a pod that cannot start, where that is known: users may not look at secrets."""
    if not place.secret or f"secret {place.secret!r} does not exist" not in text:
        return ""
    namespace = f" --namespace {place.namespace}" if place.namespace else ""
    return (
        f"Create it: kubectl create secret generic {place.secret}{namespace} --from-env-file stores.env, a file with a "
        "line NAME=VALUE for each variable: HEADRACE_DATABASE, HEADRACE_ARTIFACTS and their credentials."
    )


def _from_pod(api: ClusterApi, pod: Json, place: CheckedPlace) -> Iterator[PlaceCheck]:
    name = pod["metadata"]["name"]
    began = time.monotonic()
    until = began + place.patience
    events: list[Mapping[str, Any]] = []
    seen: Json = {}
    api.create_pod(pod)
    log: PodLog | None = None
    while time.monotonic() < until and log is None:
        select.select([api.fileno()], [], [], max(0.0, until - time.monotonic()))
        for one in api.events():
            match one:
                case CreateRefused(_, code, why, message, _):
                    reason = reason_of_refusal(code, why, message)
                    yield PlaceCheck(name="pod", ok=False, text=f"a pod of this place {reason.text}")
                    return
                case PodEvent(_, event):
                    events.append(event)
                case PodSeen(now):
                    seen = now
                    if (now.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                        api.fetch_log(name, CONTAINER)
                        until = time.monotonic() + _LOG
                case PodLog():
                    log = one
        if seen and log is None and (reason := reason_of(seen, events)).final and not reason.started:
            break
    reason = reason_of(seen, events)
    if not reason.started:
        text = f"a pod of this place {reason.text}"
        yield PlaceCheck(name="pod", ok=False, text=text, advice=_advice(place, text))
        return
    yield PlaceCheck(name="pod", ok=True, text=f"ran to its end in {time.monotonic() - began:.1f} s")
    yield from _read(place, log.text if log is not None else "", reason.text)


def _read(place: CheckedPlace, text: str, ended: str) -> Iterator[PlaceCheck]:
    """What the probe found."""
    try:
        found = msgspec.json.decode(text[text.index("[\n") :], type=list[PlaceCheck])
    except (ValueError, msgspec.DecodeError):
        tail = " ".join(text.split())[-300:]
        advice = f"The image must have {place.versions}, as this machine."
        yield PlaceCheck(name="image", ok=False, text=f"headrace did not run in it ({ended}): {tail}", advice=advice)
        return
    for one in found:
        if one.name == "versions":
            same = one.text.startswith(place.versions)
            advice = "" if same else f"Workers and driver must be of one version; here: {place.versions}."
            yield PlaceCheck(name="image", ok=same, text=one.text, advice=advice)
        else:
            yield _same_store(place, msgspec.structs.replace(one, name=f"in a pod: {one.name}"))


def _same_store(place: CheckedPlace, check: PlaceCheck) -> PlaceCheck:
    """Artifacts that are in another store than this machine's are as good as none."""
    wanted = place.stores.get("HEADRACE_ARTIFACTS", "").rstrip("/")
    if "artifacts" not in check.name or not check.ok or not wanted or check.text.startswith(f"{wanted}:"):
        return check
    advice = f"The place's secret or variables name artifacts that are not those of this machine, {wanted}."
    return msgspec.structs.replace(check, ok=False, advice=advice)
