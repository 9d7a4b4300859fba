"""Controllers beyond Kubernetes' own that some tests need: JobSet, the Kubeflow Trainer, Kueue."""

from __future__ import annotations

import functools

from tests import clusters

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.client import ClusterClient, ClusterError

HOW = "parts left out: this cluster lacks JobSet, Trainer or Kueue; tests/cluster/add jobset trainer kueue adds them"
_GROUPS = {
    "jobset": "/apis/jobset.x-k8s.io/v1alpha2",
    "trainer": "/apis/trainer.kubeflow.org/v1alpha1",
    "kueue": "/apis/kueue.x-k8s.io/v1beta2",
}


@functools.cache
def has(name: str) -> bool:
    """Whether the cluster has a controller; empty: what every cluster has."""
    if not name:
        return True
    cluster = clusters.given()
    assert cluster is not None, clusters.HOW
    with ClusterClient(Access(str(cluster.kubeconfig))) as client:
        try:
            client.request("GET", _GROUPS[name])
        except ClusterError as error:
            assert error.code == 404, error
            return False
    return True
