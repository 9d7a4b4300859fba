"""What Headrace needs of a namespace, as data and as the manifests that grant it. Pure.

``place check`` tries each right of this table, and ``place manifest`` prints the role that has all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from headrace.executors.kubernetes.manifests import dns_label, pod_security
from headrace.executors.kubernetes.yaml_text import yaml_text

Json = dict[str, Any]
#: The role of who drives runs, and the service account of drivers in the cluster.
ROLE, DRIVER = "headrace", "headrace-driver"
#: A label that all pods of runs have, for policies.
MANAGED = {"app.kubernetes.io/managed-by": "headrace"}
_RBAC = "rbac.authorization.k8s.io/v1"
_SERVER = "headrace-server"
_PORT = 8700
_TLS = "/var/run/headrace/tls"
#: The user of the containers: no image's own.


class Right(NamedTuple):
    """Verbs on a kind of objects, and what they are for. Without an ``optional`` one less is told, nothing else.

    ``only`` says where it is needed alone: with drivers in the ``cluster``, or without an address of the driver
    (``forward``); empty: everywhere. ``name`` tells it from another one on the same resource.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    purpose: str
    optional: bool = False
    only: str = ""
    name: str = ""

    @property
    def called(self) -> str:
        """What it is called among the others: as ``name`` says, else as its resource."""
        return self.name or self.resource


RIGHTS = (
    Right("", "pods", ("create", "get", "list", "watch", "delete"), "make and watch the pods of workers"),
    Right("", "pods", ("deletecollection",), "delete a large run's pods at once", optional=True, name="pods/all"),
    Right("", "pods/log", ("get",), "tell what a pod wrote that died before its worker spoke", optional=True),
    Right("", "secrets", ("create", "patch", "delete"), "give workers the token with which they join"),
    Right("", "services", ("create",), "give drivers in the cluster a name by which workers find them", only="cluster"),
    Right(
        "batch",
        "jobs",
        ("create", "get", "list", "watch", "patch", "delete"),
        "run drivers in the cluster",
        only="cluster",
    ),
    Right("", "pods/portforward", ("create", "get"), "reach workers through the API server", only="forward"),
    Right("", "pods/exec", ("create", "get"), "look at tasks in a pod (headrace debug --on)", optional=True),
    Right("", "events", ("list", "watch"), "say why a pod waits", optional=True),
    Right(
        "", "persistentvolumeclaims", ("create", "get", "delete"), "make claims of Kubeflow pipelines", optional=True
    ),
    Right("", "resourcequotas", ("list",), "say what a quota leaves", optional=True),
)


_ALL = ("create", "get", "list", "watch", "delete")
#: What gangs need that are more than pods and Jobs, by ``gangs`` of the place.
_GANGS = {
    "job": (Right("batch", "jobs", _ALL, "make the pods of a gang as a Job", name="jobs/gangs"),),
    "jobset": (Right("jobset.x-k8s.io", "jobsets", _ALL, "make the pods of a gang as a JobSet"),),
    "trainjob": (
        Right("trainer.kubeflow.org", "trainjobs", _ALL, "make the pods of a gang as a TrainJob"),
        Right("trainer.kubeflow.org", "trainingruntimes", ("create", "delete"), "say what the pods of a gang are like"),
    ),
}
#: What a queue needs: drivers run without it, and ``place check`` says less.
_QUEUED = (
    Right("kueue.x-k8s.io", "workloads", ("list", "watch"), "say what pods wait for in a queue", optional=True),
    Right("kueue.x-k8s.io", "localqueues", ("get",), "see whether the queue of the place exists", optional=True),
)


def rights_of(gangs: str, *, queued: bool) -> tuple[Right, ...]:
    """The rights that runs need in a place with these gangs, whose pods may wait in a queue."""
    return (*RIGHTS, *_GANGS.get(gangs, ()), *(_QUEUED if queued else ()))


class Grant(NamedTuple):
    """To whom a role with ``rights`` is given, beside the service account of drivers."""

    users: Sequence[str] = ()
    groups: Sequence[str] = ()
    service_accounts: Sequence[str] = ()
    rights: Sequence[Right] = RIGHTS

    def subjects(self, namespace: str) -> list[Json]:
        """The subjects of a role binding."""
        api = _RBAC.partition("/")[0]
        return [
            *[
                {"kind": "ServiceAccount", "name": one, "namespace": namespace}
                for one in dict.fromkeys([DRIVER, *self.service_accounts])
            ],
            *[{"kind": "User", "name": one, "apiGroup": api} for one in self.users],
            *[{"kind": "Group", "name": one, "apiGroup": api} for one in self.groups],
        ]


class ServerShape(NamedTuple):
    """What a server in the cluster needs: its image, and the secret whose keys name database and artifacts.

    TLS ends in it with the certificate of the secret ``tls``, or else at a proxy with one of the addresses ``proxies``.
    """

    image: str
    secret: str
    variables: Mapping[str, str] = {}
    proxies: Sequence[str] = ()
    tls: str = ""


def rules(rights: Sequence[Right] = RIGHTS) -> list[Json]:
    """The rules of a role that has ``rights``."""
    return [{"apiGroups": [one.group], "resources": [one.resource], "verbs": list(one.verbs)} for one in rights]


def role_of(namespace: str, rights: Sequence[Right] = RIGHTS) -> Json:
    """The role of who drives runs in a namespace."""
    metadata = {"name": ROLE, "namespace": namespace, "labels": MANAGED}
    return {"apiVersion": _RBAC, "kind": "Role", "metadata": metadata, "rules": rules(rights)}


def bindings_of(namespace: str, grant: Grant) -> list[Json]:
    """Give the role to drivers in the cluster, and to each of ``grant`` by a binding of its own beside others."""
    own, *others = grant.subjects(namespace)
    named = [(f"{ROLE}-{dns_label(one['name'], 40)}", one) for one in others]
    return [_binding(namespace, name, subject) for name, subject in [(ROLE, own), *named]]


def _binding(namespace: str, name: str, subject: Json) -> Json:
    return {
        "apiVersion": _RBAC,
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace, "labels": MANAGED},
        "roleRef": {"apiGroup": _RBAC.partition("/")[0], "kind": "Role", "name": ROLE},
        "subjects": [subject],
    }


def service_account(namespace: str, name: str) -> Json:
    """A service account; rights come by the binding."""
    metadata = {"name": name, "namespace": namespace, "labels": MANAGED}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def network_policy(namespace: str) -> Json:
    """Lets nothing connect to pods of runs but pods of runs: workers to their driver, members of a group to each other.

    What they connect to is not limited: stores and package indexes are anywhere. Port forwarding comes from the node.
    """
    ours = {"matchLabels": MANAGED}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": ROLE, "namespace": namespace, "labels": MANAGED},
        "spec": {"podSelector": ours, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": ours}]}]},
    }


def server_manifests(namespace: str, server: ServerShape) -> list[Json]:
    """A deployment of ``headrace server`` with a service. It has accounts, and keeps nothing in its pod."""
    labels = {"app.kubernetes.io/name": _SERVER}
    scheme = {"scheme": "HTTPS"} if server.tls else {}
    probe = {"periodSeconds": 10, "timeoutSeconds": 5}
    ending = [word for one in server.proxies for word in ("--behind-proxy", one)]
    if server.tls:
        ending += ["--tls-cert", f"{_TLS}/tls.crt", "--tls-key", f"{_TLS}/tls.key"]
    container = {
        "name": "server",
        "image": server.image,
        "command": ["python", "-m", "headrace", "server"],
        "args": ["--host", "0.0.0.0", "--port", str(_PORT), "--auth", "users", *ending],
        "workingDir": "/headrace",
        "env": [{"name": "HOME", "value": "/headrace"}, *_environment(server.variables)],
        "envFrom": [{"secretRef": {"name": server.secret}}],
        "ports": [{"name": "http", "containerPort": _PORT}],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http", **scheme}, **probe},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http", **scheme}, **probe},
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "home", "mountPath": "/headrace"},
            *([{"name": "tls", "mountPath": _TLS, "readOnly": True}] if server.tls else []),
        ],
    }
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "containers": [container],
        "volumes": [
            {"name": "home", "emptyDir": {}},
            *([{"name": "tls", "secret": {"secretName": server.tls, "defaultMode": 0o440}}] if server.tls else []),
        ],
    }
    metadata = {"name": _SERVER, "namespace": namespace, "labels": labels}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {
                "selector": labels,
                "ports": [{"name": "http", "port": 443 if server.tls else 80, "targetPort": "http"}],
            },
        },
    ]


def _environment(variables: Mapping[str, str]) -> list[Json]:
    return [{"name": name, "value": value} for name, value in sorted(variables.items())]


def manifests(namespace: str, grant: Grant, worker: str = "", server: ServerShape | None = None) -> list[Json]:
    """All that a namespace needs for runs. ``worker`` is the service account of workers ("": they have none)."""
    accounts = [service_account(namespace, one) for one in dict.fromkeys([DRIVER, *([worker] if worker else [])])]
    made = [*accounts, role_of(namespace, grant.rights), *bindings_of(namespace, grant), network_policy(namespace)]
    return made + (server_manifests(namespace, server) if server is not None else [])


# --- as a Helm chart ----------------------------------------------------------------------------------------------

#: What stands for values while a template is made: no setting says it.
_NAMESPACE, _IMAGE, _SECRET, _PROXY, _CERTIFICATE = (
    f"@chart-6f1d0c9a-{name}@" for name in ("namespace", "image", "secret", "proxy", "certificate")
)


def chart(version: str, grant: Grant, worker: str = "", server: ServerShape | None = None) -> dict[str, str]:
    """The same as a Helm chart: texts by the paths of its files.

    Values of the server: ``image``, ``secret``, ``behindProxy`` (or ``tlsSecret``), and ``enabled``, which is false
    unless ``server`` is given.
    """
    given = server or ServerShape("", "", proxies=[""])
    shape = ServerShape(
        _IMAGE,
        _SECRET,
        given.variables,
        proxies=[_PROXY] if given.proxies else (),
        tls=_CERTIFICATE if given.tls else "",
    )
    names = {
        "ServiceAccount": "service-accounts",
        "Role": "rbac",
        "RoleBinding": "rbac",
        "NetworkPolicy": "network-policy",
    }
    files: dict[str, list[Json]] = {}
    for one in manifests(_NAMESPACE, grant, worker):
        files.setdefault(names.get(one["kind"], "rbac"), []).append(one)
    templates = {f"templates/{name}.yaml": _template(yaml_text(*objects)) for name, objects in files.items()}
    body = _template(yaml_text(*server_manifests(_NAMESPACE, shape)))
    templates["templates/server.yaml"] = f"{{{{- if .Values.server.enabled }}}}\n{body}{{{{- end }}}}\n"
    about = {
        "apiVersion": "v2",
        "name": "headrace",
        "description": "What Headrace needs in a namespace to run flows in pods",
        "type": "application",
        "version": _semantic(version),
        "appVersion": version,
    }
    values: Json = {"enabled": server is not None, "image": given.image, "secret": given.secret}
    values |= {"tlsSecret": given.tls} if given.tls else {"behindProxy": given.proxies[0]}
    return {"Chart.yaml": yaml_text(about), "values.yaml": yaml_text({"server": values}), **templates}


def _semantic(version: str) -> str:
    """A version of ours as Helm wants one."""
    numbers = [*version.split("+")[0].split(".")[:3], "0", "0"][:3]
    return ".".join("".join(c for c in one if c.isdigit()) or "0" for one in numbers)


def _template(text: str) -> str:
    required = {_IMAGE: "image", _SECRET: "secret", _PROXY: "behindProxy", _CERTIFICATE: "tlsSecret"}
    values = {
        _NAMESPACE: "{{ .Release.Namespace | quote }}",
        **{
            mark: f'{{{{ required "set server.{key}" .Values.server.{key} | quote }}}}'
            for mark, key in required.items()
        },
    }
    escaped = text.replace("{{", "{{`{{`}}")  # what a setting says is not a template
    for mark, value in values.items():
        escaped = escaped.replace(f"'{mark}'", value).replace(mark, value)
    return escaped
