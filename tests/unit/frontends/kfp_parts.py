"""Components as the SDK compiles them, and attempts of them, for tests that need no kfp."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import msgspec

from headrace.frontends.kfp.contract import ArtifactValue, ComponentCall, ComponentStep, JobFacts
from headrace.frontends.kfp.ir import Component, Executor
from headrace.model.messages import Execute
from headrace.runtime.raw import RawCall
from headrace.stores.artifacts.local import LocalStore

RUN = (
    'program_path=$(mktemp -d)\n\nprintf "%s" "$0" > "$program_path/ephemeral_component.py"\n'
    "_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main                         --component_module_path"
    '                         "$program_path/ephemeral_component.py"                         "$@"\n'
)
HAS_PIP = (
    '\nif ! [ -x "$(command -v pip)" ]; then\n    python3 -m ensurepip || python3 -m ensurepip --user || '
    "apt-get install python3-pip\nfi\n\nPIP_DISABLE_PIP_VERSION_CHECK=1 "
)
OWN = "'kfp==2.17.3' '--no-deps' 'typing-extensions>=3.7.4,<5; python_version<\"3.9\"'"
PIP = "python3 -m pip install --quiet --no-warn-script-location "


def lightweight(source: str, function: str, install: str = "", image: str = "python:3.11") -> dict[str, Any]:
    """The container of a Python component; ``install`` is what comes between the check for pip and the call."""
    head = "\nimport kfp\nfrom kfp import dsl\nfrom kfp.dsl import *\nfrom typing import *\n\n"
    command = ["sh", "-ec", RUN, head + textwrap.dedent(source)]
    if install:
        command = ["sh", "-c", f'{HAS_PIP}{install} && "$0" "$@"\n', *command]
    return {
        "image": image,
        "command": command,
        "args": ["--executor_input", "{{$}}", "--function_to_execute", function],
    }


class Bench:
    """A folder in which attempts of components are made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = LocalStore(str(folder / "store"))
        self._count = 0

    def call(
        self,
        container: dict[str, Any],
        *,
        parameters: dict[str, Any] | None = None,
        artifacts: dict[str, list[ArtifactValue]] | None = None,
        outputs: dict[str, Any] | None = None,
        **told: Any,
    ) -> ComponentCall:
        """An attempt. ``outputs`` maps names to types of parameters, or to titles of artifacts (``system.Model``)."""
        self._count += 1
        folder = self.folder / f"attempt-{self._count}"
        (folder / "outputs").mkdir(parents=True)
        (folder / "work").mkdir()
        outputs = outputs or {}
        component = {
            "executorLabel": "exec-a",
            "outputDefinitions": {
                "parameters": {k: {"parameterType": v} for k, v in outputs.items() if "." not in v},
                "artifacts": {
                    k: {"artifactType": {"schemaTitle": v, "schemaVersion": "0.0.1"}}
                    for k, v in outputs.items()
                    if "." in v
                },
            },
        }
        executor = container if "importer" in container else {"container": container}
        job = {"name": "job", "resource_name": "pipe-x", "uuid": "u-1", "root": "/root/of/it", **told.pop("job", {})}
        step = ComponentStep(
            task="a",
            path="outer.a",
            component=msgspec.convert(component, Component),
            executor=msgspec.convert(executor, Executor),
            job=JobFacts(**job),
            **told,
        )
        raw = RawCall(Execute(1, 1, "pipe/1/outer.a/1", 1, ()), self.store)
        return ComponentCall(
            step=step,
            parameters=parameters or {},
            artifacts=artifacts or {},
            folder=str(folder),
            task_uuid="t-1",
            raw=raw,
        )
