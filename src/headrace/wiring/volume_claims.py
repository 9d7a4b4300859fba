"""Volume claims of a cluster, made and deleted for those who may not name an executor."""

from __future__ import annotations

from typing import Any

from headrace.model.errors import UsageError
from headrace.model.workers import ClusterAddress


def create_claim(address: ClusterAddress, manifest: dict[str, Any]) -> None:
    """Create a PersistentVolumeClaim; one of its name that has all its labels is taken as it.

    Raises:
        HeadraceError: the cluster refuses, does not answer, or has another claim of this name.
    """
    from headrace.executors.kubernetes.client import ClusterError, kind_of

    with _client(address) as client:
        try:
            client.create(manifest)
        except ClusterError as error:
            if error.code != 409:
                raise
            name = manifest["metadata"]["name"]
            found = client.get(kind_of(manifest), name)
            labels = found["metadata"].get("labels") or {}
            if not manifest["metadata"]["labels"].items() <= labels.items():
                raise UsageError(f"the cluster has a volume claim {name!r} that this task did not make") from None


def delete_claim(address: ClusterAddress, name: str) -> bool:
    """Delete a PersistentVolumeClaim; whether there was one.

    Raises:
        HeadraceError: the cluster refuses or does not answer.
    """
    from headrace.executors.kubernetes.client import Kind

    with _client(address) as client:
        return bool(client.delete(Kind("v1", "PersistentVolumeClaim"), name))


def _client(address: ClusterAddress) -> Any:
    from headrace.executors.kubernetes.access import Access
    from headrace.executors.kubernetes.client import ClusterClient

    return ClusterClient(Access(address.kubeconfig, address.context), address.namespace)
