"""Which dialect a file is written in."""

from __future__ import annotations

import re
from pathlib import Path

from headrace.model.errors import UsageError

_METAFLOW = re.compile(rb"^\s*(from\s+metaflow\b|import\s+metaflow\b)", re.MULTILINE)
_OURS = re.compile(rb"^\s*(from\s+headrace\b|import\s+headrace\b)", re.MULTILINE)
_KFP = re.compile(rb"^(pipelineInfo|deploymentSpec|schemaVersion|components)\s*:", re.MULTILINE)
_ARGO = re.compile(rb"^kind:\s*Workflow", re.MULTILINE)
_READ = 1 << 20


def dialect_of(target: str) -> str:
    """``metaflow`` for a file with a Metaflow flow, else ``native``.

    Raises:
        UsageError: it is a compiled Kubeflow pipeline, which cannot be run yet, or no flow at all.
    """
    path = Path(target)
    if not path.is_file():
        path = Path(target.rpartition(":")[0])
    if not path.is_file() or path.suffix not in (".py", ".yaml", ".yml", ".json"):
        return "native"
    try:
        with path.open("rb") as file:
            text = file.read(_READ)
    except OSError:
        return "native"
    if path.suffix == ".py":
        return "metaflow" if _METAFLOW.search(text) and b"FlowSpec" in text and not _OURS.search(text) else "native"
    if _KFP.search(text) or _ARGO.search(text) or (path.suffix == ".json" and b'"pipelineInfo"' in text):
        raise UsageError(f"{path} is a Kubeflow pipeline (dialect: kfp), which Headrace cannot run yet")
    raise UsageError(f"{path} is no flow: headrace runs Python files (FILE.py or FILE.py:FLOW)")
