"""The manifest of a payload: what stays inline, what becomes a blob, and the check of its digest."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.model.errors import BlobCorruptError
from headrace.model.values import INLINE_LIMIT, Packed
from headrace.stores.artifacts.protocol import ArtifactStore, Buffer
from headrace.stores.codecs.digests import content_digest

#: Bytes of checksum in front of the inline part, where the digest is not over the payload itself.
CHECK = 32


def finish(codec: str, header: bytes, data: Buffer, store: ArtifactStore) -> Packed:
    """The manifest of a header and one payload, which stays inline when it is small."""
    size = data.nbytes if isinstance(data, memoryview) else len(data)
    if size <= INLINE_LIMIT:
        inline = header + data if header or type(data) is not bytes else data
        return Packed(codec, content_digest(codec, inline), size, inline)
    blobs = (store.put((data,)),)
    return Packed(codec, content_digest(codec, header, blobs), size, header, blobs)


def finish_parts(codec: str, header: bytes, parts: Sequence[Buffer], store: ArtifactStore) -> Packed:
    """Like ``_finish``, for a payload in pieces."""
    size = sum([memoryview(part).nbytes for part in parts])
    if size <= INLINE_LIMIT:
        inline = b"".join([header, *parts])
        return Packed(codec, content_digest(codec, inline), size, inline)
    blobs = (store.put(parts),)
    return Packed(codec, content_digest(codec, header, blobs), size, header, blobs)


def payload(packed: Packed, store: ArtifactStore) -> bytes | memoryview:
    """The payload of a codec without a header, checked against the digest."""
    verify(packed)
    return store.get(packed.blobs[0]) if packed.blobs else packed.inline


def verify(packed: Packed) -> None:
    """Raise BlobCorruptError if the digest of a manifest does not fit."""
    if content_digest(packed.codec, packed.inline, packed.blobs) != packed.digest:
        raise BlobCorruptError(f"the manifest of a stored value ({packed.codec}) is damaged: its digest does not fit")
