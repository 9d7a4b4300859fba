"""What the code of a task consisted of when it ran, kept with the run so that ``explain`` can name what changed.

It lies among the artifacts of the run, under the step, number 0 and kind ``code``: listings leave it out. Tasks of one
step differ in it where their arguments hold different code of the user's: functions, or objects of the user's classes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
from blake3 import blake3

from headrace.engine.tasks import CodeNames
from headrace.model.calls import StepInfo
from headrace.model.records import ArtifactRecord, TaskId
from headrace.model.values import Preview
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore, Write

if TYPE_CHECKING:
    from headrace.identity.fingerprint import Fingerprint
    from headrace.identity.namedcode import NamedCode

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


def with_variables(code: Fingerprint, env: tuple[tuple[str, str], ...]) -> Fingerprint:
    """``code`` of a step that runs with the environment variables ``env``."""
    if not env:
        return code
    from headrace.identity.namedcode import joined

    found = {f"environment variable {name}": blake3(text.encode(errors="surrogatepass")).digest() for name, text in env}
    parts = dict(sorted(found.items()))
    return msgspec.structs.replace(code, digest=joined(code.digest, parts.items()), parts={**code.parts, **parts})


class CodeBook:
    """The code of the tasks of a run, as the engine asks for it; ``take_writes`` hands out what is to be recorded."""

    def __init__(self, run_id: int, store: ArtifactStore) -> None:
        self._run_id = run_id
        self._store = store
        self._parts: dict[bytes, Mapping[str, bytes]] = {}
        self._known: dict[str, NamedCode] = {}
        self._writes: deque[Write] = deque()
        self._written: set[tuple[str, bytes]] = set()

    def introduce(self, step: str, code: Fingerprint) -> None:
        """Remember what the code of ``step`` consists of."""
        self._parts[code.digest] = code.parts
        self._write(step, code.digest, code.parts)

    def code_with(self, step: StepInfo, named: CodeNames) -> bytes:
        """The digest of the code of ``step`` together with the code that its arguments refer to."""
        from headrace.identity.namedcode import joined

        found = [(argument, self._named(name)) for argument, names in named for name in names]
        digest = joined(step.code, [(argument, code.digest) for argument, code in found])
        if (step.name, digest) not in self._written:
            parts = dict(self._parts.get(step.code, {}))
            for argument, code in found:
                for part, one in code.parts.items():
                    parts[f"{part} in argument {argument.lstrip('/*')}"] = one
            self._write(step.name, digest, parts)
        return digest

    def take_writes(self, _: float) -> list[Write]:
        """What was not handed out yet."""
        return [self._writes.popleft() for _ in range(len(self._writes))]

    def _named(self, name: str) -> Fingerprint:
        from headrace.identity.namedcode import find_named

        known = find_named(name, self._known.get(name))
        self._known[name] = known
        return known.code

    def _write(self, step: str, digest: bytes, parts: Mapping[str, bytes]) -> None:
        if (step, digest) not in self._written:
            self._written.add((step, digest))
            self._writes.append(code_record(self._run_id, step, digest, parts, self._store))


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
