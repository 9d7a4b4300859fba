"""May a driver use a cluster? What it asks the API server first, and what a refusal means."""

from __future__ import annotations

from headrace.executors.kubernetes.client import ClusterClient, ClusterError, Json, Kind
from headrace.model.errors import UsageError

REVIEW = Kind("authorization.k8s.io/v1", "SelfSubjectAccessReview")
#: What a driver does with pods.
VERBS = ("create", "delete", "list", "watch")


def check_access(client: ClusterClient) -> None:
    """See that pods can be made and watched in the client's namespace.

    Raises:
        UsageError: they cannot; the message says what to do.
    """
    try:
        missing = [verb for verb in VERBS if not allowed(client, verb, "pods")]
        if missing:
            raise UsageError(
                f"{client.connection.where} has no right to {', '.join(missing)} pods in namespace "
                f"{client.namespace!r}; `headrace place manifest` prints the role that gives it"
            )
        client.create(_probe(), dry_run=True)
    except ClusterError as error:
        if error.code in (0, 401) or error.reason == "NamespaceTerminating":
            raise UsageError(explained(error, client)) from None
        if error.code == 404:
            raise UsageError(
                f"namespace {client.namespace!r} does not exist in the cluster of {client.connection.where}; create it "
                f"(kubectl create namespace {client.namespace}) or set `namespace` of the place to another one"
            ) from None
        # A quota, a policy or a webhook refused the bare pod of this check; pods of runs are told of theirs.
        if error.code >= 500:
            raise UsageError(explained(error, client)) from None


def allowed(client: ClusterClient, verb: str, resource: str, *, group: str = "", subresource: str = "") -> bool:
    """Whether the credentials have a right in the client's namespace.

    Raises:
        ClusterError: the API server does not say.
    """
    asked = {
        "namespace": client.namespace,
        "verb": verb,
        "group": group,
        "resource": resource,
        "subresource": subresource,
    }
    review = {"apiVersion": REVIEW.api_version, "kind": REVIEW.name, "spec": {"resourceAttributes": asked}}
    return bool((client.create(review).get("status") or {}).get("allowed"))


def explained(error: ClusterError, client: ClusterClient) -> str:
    """What went wrong with the API server, and what to do."""
    where = client.connection.where
    if error.code == 401:
        return f"the cluster does not accept the credentials of {where} (expired or withdrawn); log in again"
    if error.reason == "NamespaceTerminating":
        return f"namespace {client.namespace!r} is being deleted; wait until it is gone and create it, or set another"
    if error.code == 0:
        return f"{error.message} ({where})"
    return f"the API server {client.connection.server} answers {error.code}: {error.message} ({where})"


def _probe() -> Json:
    """A pod that is only offered, never made: the server says whether the namespace takes pods."""
    container = {"name": "probe", "image": "headrace/probe", "resources": {"limits": {"cpu": "1m", "memory": "1Mi"}}}
    spec = {"containers": [container], "restartPolicy": "Never"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "headrace-probe-"}, "spec": spec}
