"""What Headrace stores of an artifact of KFP, and the way back.

An artifact with content is a ``File`` or ``Folder`` whose metadata has KFP's part under ``kfp``; one without is that
part alone, as a dictionary.
"""

from __future__ import annotations

from typing import Any

from headrace.frontends.kfp.contract import ArtifactValue
from headrace.stores.codecs import File, Folder

_KEY = "kfp"


def to_stored(artifact: ArtifactValue) -> File | Folder | dict[str, Any]:
    """The value to store for ``artifact``."""
    told = {
        "name": artifact.name,
        "schemaTitle": artifact.schema_title,
        "schemaVersion": artifact.schema_version,
        "uri": artifact.uri,
        "metadata": artifact.metadata,
        **({"stamp": artifact.stamp} if artifact.stamp else {}),
        **({"stem": artifact.stem} if artifact.stem else {}),
    }
    if artifact.content is None:
        return {_KEY: told}
    artifact.content.metadata[_KEY] = told
    return artifact.content


def from_stored(value: File | Folder | dict[str, Any]) -> ArtifactValue:
    """The artifact of which ``value`` was stored."""
    has_content = isinstance(value, (File, Folder))
    told = (value.metadata if isinstance(value, (File, Folder)) else value)[_KEY]
    return ArtifactValue(
        name=told["name"],
        schema_title=told["schemaTitle"],
        schema_version=told["schemaVersion"],
        uri=told["uri"],
        metadata=told["metadata"],
        stem=told.get("stem", ""),
        content=value if has_content and not isinstance(value, dict) else None,
    )
