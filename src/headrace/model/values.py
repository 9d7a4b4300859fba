"""How a Python object is written down: a small manifest (``Packed``) plus blobs named by their BLAKE3.

These are plain records. Making them is the business of ``stores.codecs``, keeping the bytes that of
``stores.artifacts``.
"""

# Annotations are objects here, not texts, which msgspec would evaluate one by one when it makes a decoder.

import msgspec

#: Encoded values up to this many bytes live in the manifest itself, so in the task's row.
INLINE_LIMIT = 16 * 1024


class Blob(msgspec.Struct, frozen=True, array_like=True):
    """Bytes in an artifact store, by content: ``digest`` is their 32-byte BLAKE3, ``size`` their number."""

    digest: bytes
    size: int

    @property
    def hex(self) -> str:
        """The digest as the 64 characters that name the blob in a store."""
        return self.digest.hex()


class Packed(msgspec.Struct, frozen=True, array_like=True):
    """The manifest of one stored object: enough to make it again, and to tell whether two are the same.

    ``codec`` names the format; ``digest`` (32 bytes) identifies the content, equal for equal content under the same
    codec; ``size`` is the number of payload bytes, inline and in blobs together; ``inline`` the payload when it is
    small, else the part of it that the codec wants at hand; ``blobs`` the large parts in the codec's order. ``code``
    names the user's classes and functions that it refers to (``module:qualified.name``): a process that loads the value
    runs their code as it is then, which the digest says nothing of. ``made`` names the versions that a pickle may
    depend on (``python 3.11.7``, ``numpy 2.4.6``), for messages alone; no part of the digest either.
    """

    codec: str
    digest: bytes
    size: int
    inline: bytes = b""
    blobs: tuple[Blob, ...] = ()
    code: tuple[str, ...] = ()
    made: tuple[str, ...] = ()


class Preview(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What may be shown of an object without loading it; made by the worker when the object is saved.

    ``type`` is the qualified type name; ``text`` a short repr (at most 2,000 characters); ``facts`` short
    label/value pairs such as ``("shape", "(569, 30)")``; ``table`` the head of a frame (first row: column names);
    ``png`` a small picture of a figure.
    """

    type: str
    text: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    table: tuple[tuple[str, ...], ...] = ()
    png: bytes = b""
