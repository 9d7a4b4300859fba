"""``from headrace.metaflow import FlowSpec, step``: the Metaflow dialect under its public names.

Pickles of artifacts know classes by this module too (``names.stored``), so that folders behind it may be rearranged:
a name that is here stays.
"""

from __future__ import annotations

from typing import Any

_BASE = "headrace.frontends.metaflow"
_DECORATORS = (
    *("step", "retry", "catch", "timeout", "environment", "resources", "secrets", "card", "parallel"),
    *("pytorch_parallel", "conda", "pypi", "batch", "kubernetes", "project", "schedule", "trigger"),
    *("trigger_on_finish", "exit_hook", "conda_base", "pypi_base"),
)
_CLIENT = (
    *("Metaflow", "Flow", "Run", "Step", "Task", "DataArtifact"),
    *("namespace", "get_namespace", "default_namespace"),
)
_CONFIGS = ("Config", "ConfigValue", "config_expr")
_PARSERS = ("yaml_parser", "requirements_txt_parser", "pyproject_toml_parser", "conda_environment_yml_parser")
_USER = ("FlowMutator", "MutableFlow", "MutableStep", "StepMutator", "UserStepDecorator")
_WHERE = {
    "FlowSpec": "flow",
    "current": "client.live",
    "Parameter": "authoring.parameters",
    "JSONTypeClass": "authoring.parameters",
    "JSONType": "authoring.parameters",
    "IncludeFile": "authoring.parameters",
    "__version__": "version",
    **dict.fromkeys(_DECORATORS, "authoring.decorators"),
    **dict.fromkeys(_CLIENT, "client.runs"),
    "Runner": "programs.runner",
    "S3": "s3.access",
    **dict.fromkeys(("Deployer", "DeployedFlow"), "programs.deployer"),
    **dict.fromkeys(("NBRunner", "NBDeployer"), "programs.notebooks"),
    "subflow": "programs.subflow",
    **dict.fromkeys(("metadata", "get_metadata", "default_metadata", "inspect_spin"), "client.providers"),
    **dict.fromkeys(("parallel_map", "parallel_imap_unordered", "profile", "namespaced_event_name"), "extras"),
    **dict.fromkeys(_CONFIGS, "authoring.configs"),
    **dict.fromkeys(_PARSERS, "authoring.parsers"),
    "package_sources": "authoring.packaging",
    **dict.fromkeys((*_USER, "user_step_decorator", "USER_SKIP_STEP"), "authoring.userdecorators"),
}
#: Classes of artifacts that flows do not import by name.
_STORED = {
    "MetaflowExceptionWrapper": "exceptions",
    "IncludedFile": "authoring.parameters",
    "Parallel": "authoring.gangs",
    **dict.fromkeys(("ForeachFrame", "ParallelUBF", "UnboundedForeachInput"), "authoring.splits"),
    **dict.fromkeys(("MetaflowEvent", "Trigger"), "client.events"),
    "Metadata": "client.metadata",
    "MetaflowData": "client.task",
    **dict.fromkeys(("S3Object", "S3Info", "RangeInfo"), "s3.objects"),
}

#: What flows import from there, and whose it is: nothing here does its work yet.
_ABSENT = {
    **dict.fromkeys(("checkpoint", "model", "huggingface_hub"), "the extension metaflow-checkpoint"),
    "torchrun": "the extension metaflow-torchrun",
    "deepspeed": "the extension metaflow-deepspeed",
    "mpi": "the extension metaflow-mpi",
    "metaflow_ray": "the extension metaflow-ray",
    "slurm": "the extension metaflow-slurm",
    **dict.fromkeys(("airflow_s3_key_sensor", "airflow_external_task_sensor"), "Airflow"),
    "R": "Metaflow",
}


def __getattr__(name: str) -> Any:
    where = _WHERE.get(name) or _STORED.get(name)
    if where is None and name in _ABSENT:  # ``from ... import`` reports an AttributeError without its message
        raise ImportError(
            f"Headrace cannot run flows with {name!r}, which is of {_ABSENT[name]}; docs/metaflow-features.md lists "
            "what it can run"
        )
    if where is None:
        raise AttributeError(
            f"module 'headrace.metaflow' has no attribute {name!r}; docs/metaflow-features.md lists what there is"
        )
    import importlib

    value = getattr(importlib.import_module(f"{_BASE}.{where}"), "VERSION" if name == "__version__" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(_WHERE)


__all__ = [name for name in _WHERE if name != "__version__"]
