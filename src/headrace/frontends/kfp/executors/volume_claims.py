"""``kfp.kubernetes.CreatePVC`` and ``DeletePVC``: tasks whose images are names for what is asked of the cluster.

They run beside the driver, which may ask the cluster, and never in a pod. The inputs are those of KFP's components.
"""

from __future__ import annotations

from typing import Any

from headrace.frontends.kfp.contract import ComponentCall, ComponentResult
from headrace.frontends.kfp.executors.errors import ComponentFailedError
from headrace.frontends.kfp.ir import Executor
from headrace.model.errors import HeadraceError

_CREATE, _DELETE = "argostub/createpvc", "argostub/deletepvc"


def is_claim(executor: Executor) -> bool:
    """Whether an executor makes or deletes a volume claim."""
    return executor.container is not None and executor.container.image in (_CREATE, _DELETE)


def run_claim(call: ComponentCall, image: str) -> ComponentResult:
    """Make or delete a claim; without a cluster nothing is done but the name given.

    Raises:
        ComponentFailedError: an input is not what it must be, or the cluster refuses.
    """
    from headrace.wiring.volume_claims import create_claim, delete_claim

    address, given = call.step.cluster, call.parameters
    try:
        if image == _DELETE:
            if address is not None:
                delete_claim(address, str(given["pvc_name"]))
            return ComponentResult()
        manifest = claim_of(call)
        if address is not None:
            create_claim(address, manifest)
    except KeyError as error:
        raise ComponentFailedError(f"{call.step.path}: its input {error} is missing") from None
    except HeadraceError as error:
        raise ComponentFailedError(f"{call.step.path}: {error}") from error
    return ComponentResult(parameters={"name": manifest["metadata"]["name"]})


def claim_of(call: ComponentCall) -> dict[str, Any]:
    """The manifest of the claim that a task makes. A name that is generated is the same in each attempt.

    Raises:
        ComponentFailedError: its name is given twice, or not at all; KeyError: an input is missing.
    """
    given = call.parameters
    name, suffix = given.get("pvc_name"), given.get("pvc_name_suffix")
    if bool(name) == bool(suffix):
        raise ComponentFailedError(f"{call.step.path}: give one of pvc_name and pvc_name_suffix, and not both")
    spec: dict[str, Any] = {
        "accessModes": list(given["access_modes"]),
        "resources": {"requests": {"storage": given["size"]}},
    }
    volume, kind = given.get("volume_name"), given.get("storage_class_name")
    if kind or volume:  # an empty class is for a volume that is there; else the cluster's default is meant
        spec["storageClassName"] = kind or ""
    spec |= {"volumeName": volume} if volume else {}
    spec |= {"dataSource": given["data_source"]} if given.get("data_source") else {}
    metadata: dict[str, Any] = {
        "name": name or f"{call.task_uuid}{suffix}",
        "labels": {"headrace.io/pipeline-task": call.task_uuid},
    }
    metadata |= {"annotations": given["annotations"]} if given.get("annotations") else {}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
