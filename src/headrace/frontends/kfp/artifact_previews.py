"""What is shown of an artifact of KFP without loading it: its type, what its metadata says, the beginning of a text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headrace.frontends.kfp.contract import ArtifactValue
from headrace.model.values import Preview
from headrace.stores.codecs import File, Folder

_TEXT, _FACT, _FACTS, _ROWS, _COLUMNS = 2000, 60, 10, 20, 20
_TEXTS = ("system.HTML", "system.Markdown")
_CURVE, _MATRIX, _SLICES = "confidenceMetrics", "confusionMatrix", "evaluationSlices"


def preview_of(artifact: ArtifactValue) -> Preview:
    """A short description: numbers of metrics, the table of a confusion matrix or ROC curve, the text of a page."""
    metadata = artifact.metadata
    facts = [(str(name), _short(value)) for name, value in metadata.items() if not isinstance(value, (dict, list))]
    facts += [(str(name), _short(value)) for name, value in metadata.items() if name not in (_CURVE, _MATRIX, _SLICES)]
    shown = list(dict.fromkeys([*_content(artifact), *facts]))[:_FACTS]
    return Preview(artifact.schema_title, _text(artifact)[:_TEXT], tuple(shown), _table(metadata))


def _content(artifact: ArtifactValue) -> list[tuple[str, str]]:
    """What is known of the content: its size, or where it is."""
    found = [("uri", artifact.uri)] if artifact.uri else []
    if isinstance(artifact.content, Folder):
        return [*found, ("files", str(len(artifact.content.files())))]
    if isinstance(artifact.content, File):
        return [*found, ("bytes", f"{artifact.content.size:,}")]
    return found


def _text(artifact: ArtifactValue) -> str:
    content, metadata = artifact.content, artifact.metadata
    if artifact.schema_title in _TEXTS and isinstance(content, File):
        with content.path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_TEXT)
    if artifact.schema_title == "system.Metrics":
        return ", ".join(f"{name} {_short(value)}" for name, value in metadata.items())
    told = _classification(metadata)
    if told:
        return told
    if isinstance(content, Folder):
        return f"{content.name}: {', '.join(content.files()[:_ROWS])}"
    return content.name if content is not None else artifact.uri


def _classification(metadata: Mapping[str, Any]) -> str:
    """What classification metrics hold; empty if there are none, or they are not as they are to be."""
    said = []
    try:
        if _SLICES in metadata:
            said.append("slices: " + ", ".join(str(one["slice"]) for one in metadata[_SLICES]))
        if metadata.get(_CURVE):
            said.append(f"ROC curve of {len(metadata[_CURVE])} points")
        if _MATRIX in metadata:
            said.append(f"confusion matrix of {', '.join(_categories(metadata[_MATRIX]))}")
    except (KeyError, TypeError, AttributeError):
        pass
    return "; ".join(said)


def _table(metadata: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """A confusion matrix, else a ROC curve; empty if there is neither, or it is not as it is to be."""
    try:
        if _MATRIX in metadata:
            names = _categories(metadata[_MATRIX])[:_COLUMNS]
            rows = [[_short(cell) for cell in row["row"][:_COLUMNS]] for row in metadata[_MATRIX]["rows"][:_ROWS]]
            return (("", *names), *((name, *row) for name, row in zip(names, rows, strict=False)))
        if metadata.get(_CURVE):
            keys = ("confidenceThreshold", "recall", "falsePositiveRate")
            points = [tuple(_short(one.get(key)) for key in keys) for one in metadata[_CURVE][:_ROWS]]
            return (("threshold", "true positives", "false positives"), *points)
    except (KeyError, TypeError, AttributeError):
        pass
    return ()


def _categories(matrix: Mapping[str, Any]) -> list[str]:
    return [str(one["displayName"]) for one in matrix.get("annotationSpecs", ())]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _FACT else f"{text[: _FACT - 3]}..."
