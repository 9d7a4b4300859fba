"""Which dialect a file is written in, where it is not ours: to say so instead of failing oddly."""

from __future__ import annotations

import re
from pathlib import Path

from headrace.model.errors import UsageError

_METAFLOW = re.compile(rb"^\s*(from\s+metaflow\b|import\s+metaflow\b)", re.MULTILINE)
_OURS = re.compile(rb"^\s*(from\s+headrace\b|import\s+headrace\b)", re.MULTILINE)
_KFP = re.compile(rb"^(pipelineInfo|deploymentSpec|schemaVersion|components)\s*:", re.MULTILINE)
_ARGO = re.compile(rb"^kind:\s*Workflow", re.MULTILINE)
_READ = 1 << 20


def refuse_other_dialects(target: str) -> None:
    """Refuse a file of a dialect that cannot be run yet, by its name.

    Raises:
        UsageError: it is a Metaflow flow or a compiled Kubeflow pipeline.
    """
    path = Path(target)
    if not path.is_file():
        path = Path(target.rpartition(":")[0])
    if not path.is_file() or path.suffix not in (".py", ".yaml", ".yml", ".json"):
        return
    try:
        with path.open("rb") as file:
            text = file.read(_READ)
    except OSError:
        return
    if path.suffix == ".py":
        if _METAFLOW.search(text) and b"FlowSpec" in text and not _OURS.search(text):
            raise UsageError(f"{path} is a Metaflow flow (dialect: metaflow), which Headrace cannot run yet")
    elif _KFP.search(text) or _ARGO.search(text) or (path.suffix == ".json" and b'"pipelineInfo"' in text):
        raise UsageError(f"{path} is a Kubeflow pipeline (dialect: kfp), which Headrace cannot run yet")
    else:
        raise UsageError(f"{path} is no flow: headrace runs Python files (FILE.py or FILE.py:FLOW)")
