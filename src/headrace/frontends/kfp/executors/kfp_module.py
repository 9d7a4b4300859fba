"""The package ``kfp`` for the source of components: the installed one, else the one that stands in for it."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any

#: The folder of the package ``kfp`` that has what code of components uses at run time.
SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")  # noqa: PTH100, PTH118, PTH120
_TYPES = "kfp.dsl.types.artifact_types"


def make_importable() -> None:
    """Let ``import kfp`` work in this process. An installed ``kfp`` is imported without its compiler."""
    os.environ["_KFP_RUNTIME"] = "true"
    known = sys.modules.get("kfp")
    if getattr(known, "__file__", None) is not None:
        return
    if known is not None:  # a folder of that name, without the SDK
        for name in [one for one in sys.modules if one == "kfp" or one.startswith("kfp.")]:
            del sys.modules[name]
    found = importlib.util.find_spec("kfp")
    if found is None or found.origin is None:
        sys.path.insert(0, SHIM)


def artifact_types() -> Any:
    """The module of the classes of artifacts. The source of a component has imported it as a rule."""
    found = sys.modules.get(_TYPES)
    if found is None:
        make_importable()
        import importlib

        found = importlib.import_module(_TYPES)
    return found


def final_status(value: Any) -> Any:
    """A ``PipelineTaskFinalStatus`` of what an exit task is told."""
    from kfp.dsl.task_final_status import PipelineTaskFinalStatus  # type: ignore[import-not-found, unused-ignore]

    told = value if isinstance(value, dict) else {}
    error = told.get("error") or {}
    return PipelineTaskFinalStatus(
        state=told.get("state"),
        pipeline_job_resource_name=told.get("pipelineJobResourceName", told.get("pipeline_job_resource_name")),
        pipeline_task_name=told.get("pipelineTaskName", told.get("pipeline_task_name")),
        error_code=error.get("code"),
        error_message=error.get("message"),
    )


def task_config(value: Any) -> Any:
    """A ``TaskConfig`` of what is known of a pod; empty where there is none."""
    from kfp.dsl.task_config import TaskConfig  # type: ignore[import-not-found, unused-ignore]

    told = value if isinstance(value, dict) else {}
    names = {
        "affinity": "affinity",
        "tolerations": "tolerations",
        "node_selector": "nodeSelector",
        "env": "env",
        "volumes": "volumes",
        "volume_mounts": "volumeMounts",
        "resources": "resources",
    }
    return TaskConfig(**{name: told.get(key) for name, key in names.items()})
