"""The digest of a manifest: BLAKE3 over the codec's name, the inline part and the digests of the blobs."""

from __future__ import annotations

from collections.abc import Sequence

from blake3 import blake3

from headrace.model.values import Blob

_NO_BLOBS = b"\0\0\0\0\0"


def content_digest(codec: str, inline: bytes, blobs: Sequence[Blob] = ()) -> bytes:
    """Equal for equal content under the same codec, in every process."""
    if not blobs:
        return blake3(codec.encode() + _NO_BLOBS + inline).digest()
    names = b"".join([blob.digest for blob in blobs])
    return blake3(codec.encode() + b"\0" + len(blobs).to_bytes(4, "little") + names + inline).digest()
