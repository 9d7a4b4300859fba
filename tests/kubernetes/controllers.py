"""Controllers beyond Kubernetes' own that some tests need: JobSet, the Kubeflow Trainer, Kueue.

``.ci/run`` builds them after the cluster. They are set up for the tests of ``FILES``, which come last: a pod is shown
to Kueue before it is made, and refused while that does not answer yet.
"""

from __future__ import annotations

import functools
import os
import subprocess
import time
from pathlib import Path

from tests import clusters

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.client import ClusterClient, ClusterError

FILES = ("test_gangs_in_pods.py", "test_queues.py")
NAMES = ("jobset", "trainer", "kueue")
HOW = "parts left out: this cluster lacks JobSet, Trainer or Kueue: tests/cluster/add jobset trainer kueue"
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


@functools.cache
def set_up(seconds: float = 1800) -> str:
    """Where ``.ci/run`` has a cluster, wait until they are built, and set them up; elsewhere they are there or not.

    Returns:
        Why they cannot be had; empty: all is well.
    """
    folder = os.environ.get("HEADRACE_TEST_CLUSTER")
    if not folder or "HEADRACE_TEST_KUBECONFIG" in os.environ:
        return ""
    until = time.monotonic() + seconds
    while not (file := Path(folder, "built")).exists():
        if time.monotonic() > until:
            return f"they are not built after {seconds:.0f} s"
        time.sleep(0.5)
    if file.read_text() != "0":
        return Path(folder, "log").read_text(errors="replace")[-4000:]
    done = subprocess.run([clusters.ROOT / "tests/cluster/add", *NAMES], capture_output=True, text=True, check=False)
    return f"{done.stdout}{done.stderr}" if done.returncode else ""
