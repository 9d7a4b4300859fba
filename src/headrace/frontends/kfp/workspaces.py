"""The folder that all tasks of a run share: on this machine, or a volume claim of the run where tasks have pods."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from headrace.frontends.kfp.contract import WORKSPACE_MOUNT, JobFacts
from headrace.frontends.kfp.ir import Pipeline
from headrace.model.pods import overlay
from headrace.model.workers import ClusterAddress
from headrace.wiring.volume_claims import create_claim, delete_claim


class Workspace(NamedTuple):
    """The facts of a run with its workspace, and the claim that pods mount there (empty: there is none)."""

    job: JobFacts
    claim: str = ""
    cluster: ClusterAddress | None = None

    def drop(self) -> None:
        """The run succeeded: delete its claim, as KFP's backend does. A run that failed keeps it, to be resumed.

        Raises:
            HeadraceError: the cluster refuses or does not answer.
        """
        if self.claim and self.cluster is not None:
            delete_claim(self.cluster, self.claim)


def made_workspace(pipeline: Pipeline, job: JobFacts, cluster: ClusterAddress | None) -> Workspace:
    """Make the workspace of a run, if its pipeline has one; a resumed run finds its own again.

    Raises:
        HeadraceError: the cluster refuses the claim.
        OSError: the folder cannot be made.
    """
    settings = pipeline.kubernetes.pipeline_config.get("workspace")
    if not job.workspace or settings is None:
        return Workspace(job)
    if cluster is None:
        Path(job.workspace).mkdir(parents=True, exist_ok=True)
        return Workspace(job)
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": settings.get("size") or "1Gi"}}}
    spec = overlay(spec, (settings.get("kubernetes") or {}).get("pvcSpecPatch") or {})
    name = f"workspace-{job.uuid}"
    metadata = {"name": name, "labels": {"headrace.io/pipeline-run": job.uuid}}
    create_claim(cluster, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    return Workspace(msgspec.structs.replace(job, workspace=WORKSPACE_MOUNT), name, cluster)
