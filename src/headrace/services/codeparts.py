"""What a step's code consisted of when it ran, kept with the run so that ``explain`` can name what changed.

It lies among the artifacts of the run, under the step, number 0 and kind ``code``: listings leave it out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from headrace.model.records import ArtifactRecord, TaskId
from headrace.model.values import Preview
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore

KIND = "code"
_PREVIEW = Preview(type="code")


class CodeParts(msgspec.Struct, frozen=True):
    """The user code that a step reaches: name -> digest; ``seen`` is when a session last had it."""

    digest: bytes
    seen: float
    parts: dict[str, str]


def code_record(
    run_id: int, step: str, digest: bytes, parts: Mapping[str, bytes], store: ArtifactStore
) -> ArtifactRecord:
    """The row that says what code ``digest`` of ``step`` consists of."""
    return ArtifactRecord(
        run_id=run_id,
        step=step,
        number=0,
        name=digest.hex(),
        value=codecs.pack({name: part.hex() for name, part in parts.items()}, store),
        preview=_PREVIEW,
        created=time.time(),
        kind=KIND,
    )


def code_of_step(metadata: MetadataStore, artifacts: ArtifactStore, run_id: int, step: str) -> list[CodeParts]:
    """All versions of a step's code that a run has seen, oldest first.

    Raises:
        BlobError: a long list of parts is gone from the store.
    """
    found = []
    for record in metadata.artifacts(run_id, TaskId(step, 0)):
        if record.kind == KIND:
            parts = msgspec.convert(codecs.unpack(record.value, artifacts), dict[str, str])
            found.append(CodeParts(bytes.fromhex(record.name), record.created, parts))
    return sorted(found, key=lambda one: one.seen)
