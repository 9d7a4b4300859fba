"""Values that are more than JSON, text and bytes: arrays, tables, tensors, files, and whatever pickle writes.

``core`` imports this module with the first value that needs it: a flow of plain values does without.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from headrace.model.errors import BlobCorruptError
from headrace.model.values import INLINE_LIMIT, Blob, Packed
from headrace.stores.artifacts.hashing import digest_of
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.codecs import arrays, arrowfile, files, pickling, plain, tensorfile
from headrace.stores.codecs.canonical import canonical_digest, known_buffers
from headrace.stores.codecs.context import Packing, current
from headrace.stores.codecs.digests import content_digest
from headrace.stores.codecs.manifests import CHECK, finish, finish_parts, verify
from headrace.stores.codecs.readback import check_read_back
from headrace.stores.codecs.streams import may_hold_sets
from headrace.stores.codecs.versions import load_pickle, made_with

# --- writing ----------------------------------------------------------------------------------------------------


def _pack_array(value: object, store: ArtifactStore) -> Packed | None:
    encoded = arrays.encode_array(value)  # type: ignore[arg-type]
    return None if encoded is None else finish("numpy", encoded[0], encoded[1], store)


def _pack_tensors(value: object, store: ArtifactStore) -> Packed | None:
    encoded = tensorfile.encode_tensors(value)
    return None if encoded is None else finish_parts("safetensors", *encoded, store)


def _pack_table(value: object, store: ArtifactStore) -> Packed | None:
    encoded = arrowfile.encode_table(value)
    return None if encoded is None else finish_parts("arrow", *encoded, store)


def _pack_files(value: object, store: ArtifactStore) -> Packed:
    codec = "folder" if type(value).__name__ == "Folder" else "file"
    record, blobs = files.encode_files(value, store)  # type: ignore[arg-type]
    size = sum([blob.size for blob in blobs])
    if len(record) > INLINE_LIMIT:
        blobs, record = (store.put((record,)), *blobs), b""
    return Packed(codec, content_digest(codec, record, blobs), size, record, blobs)


def pack_object(value: object, packing: Packing) -> Packed:
    """Write down a value that is none of ``LIBRARIES`` or that these cannot write; a dictionary may be of tensors.

    Raises:
        NotStorableError, StoreError: as ``core.pack``.
    """
    if isinstance(value, dict) and getattr(sys.modules.get("torch"), "Tensor", None) is not None:
        packed = _pack_tensors(value, packing.store)
        if packed is not None:
            return packed
    outer = current.packing
    current.packing = packing
    try:
        pickled = pickling.dump(value, packing.restart)
        if packing.read_back and pickled.named.firsts and not packing.holes:
            check_read_back(value, pickled, packing.store)
        return _finish_pickle(value, pickled, packing)
    finally:
        current.packing = outer


def _finish_pickle(value: object, pickled: pickling.Pickled, packing: Packing) -> Packed:
    store, pieces = packing.store, pickled.parts
    stream_size = sum(map(len, pieces))
    stored = [store.put((buffer,)) for buffer in pickled.buffers]
    blobs = [*stored, *packing.blobs]
    if stream_size <= INLINE_LIMIT:
        inline = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    else:
        inline = b""
        blobs.insert(0, store.put(pieces))
    size = len(inline) + sum([blob.size for blob in blobs])
    check = content_digest("pickle-canonical", inline)
    digest = _content_of_pickle(value, pickled, stored) or content_digest("pickle", inline, blobs)
    made = made_with(pickled)
    return Packed("pickle-canonical", digest, size, check + inline, tuple(blobs), pickled.named.user_code(), made)


def _content_of_pickle(value: object, pickled: pickling.Pickled, buffers: Sequence[Blob]) -> bytes | None:
    """The digest of a pickled value, however its parts are shared; None when that cannot be told."""
    if type(value) is dict or type(value) is list:
        data = plain.encode_shared_json(value)
        if data is not None:
            if len(data) <= INLINE_LIMIT:
                return content_digest("json", data)
            return content_digest("json", b"", (Blob(digest_of([data]), len(data)),))
    known = known_buffers(pickled.buffers, [blob.digest for blob in buffers]) if buffers else {}
    return canonical_digest(value, pickled, known, sets=may_hold_sets(pickled.parts))


#: Packers of types by module and name: their libraries are not imported for it. Each may return None.
LIBRARIES: dict[tuple[str, str], Callable[[object, ArtifactStore], Packed | None]] = {
    ("headrace.stores.codecs.files", "File"): _pack_files,
    ("headrace.stores.codecs.files", "Folder"): _pack_files,
    ("numpy", "ndarray"): _pack_array,
    ("pyarrow.lib", "RecordBatch"): _pack_table,
    ("pyarrow.lib", "Table"): _pack_table,
    ("torch", "Tensor"): _pack_tensors,
}


# --- reading ----------------------------------------------------------------------------------------------------


def _load_array(packed: Packed, store: ArtifactStore) -> object:
    return arrays.decode_array(*header_and_data(packed, store))


def _load_tensors(packed: Packed, store: ArtifactStore) -> object:
    return tensorfile.decode_tensors(*header_and_data(packed, store))


def _load_table(packed: Packed, store: ArtifactStore) -> object:
    return arrowfile.decode_table(*header_and_data(packed, store))


def _load_files(packed: Packed, store: ArtifactStore) -> object:
    return files.decode_files(packed.codec, record_of_files(packed, store), store)


def record_of_files(packed: Packed, store: ArtifactStore) -> bytes | memoryview:
    """What is said of a stored file or folder; raises BlobError."""
    verify(packed)
    return packed.inline or store.get(packed.blobs[0])


def header_and_data(packed: Packed, store: ArtifactStore) -> tuple[bytes, memoryview]:
    """The line in front and the payload, writable and checked, of a codec whose header is a line."""
    verify(packed)
    end = packed.inline.index(b"\n") + 1
    data = store.get(packed.blobs[0]) if packed.blobs else memoryview(bytearray(packed.inline[end:]))
    return packed.inline[:end], data


def _load_pickle(packed: Packed, store: ArtifactStore) -> object:
    verify(packed)
    return _load_stream(packed, packed.inline, store)


def _load_canonical(packed: Packed, store: ArtifactStore) -> object:
    inline = packed.inline[CHECK:]
    if content_digest(packed.codec, inline) != packed.inline[:CHECK]:
        raise BlobCorruptError("the manifest of a stored value (pickle-canonical) is damaged: its digest does not fit")
    return _load_stream(packed, inline, store)


def _load_stream(packed: Packed, inline: bytes, store: ArtifactStore) -> object:
    """Unpickle; buffers are fetched as the stream asks for them, blobs of files stay where they are."""
    blobs = iter(packed.blobs)
    data = inline if inline else store.get(next(blobs))
    return load_pickle(data, (store.get(blob) for blob in blobs), packed.made)


def metadata_of(packed: Packed, store: ArtifactStore) -> dict[str, object]:
    """See ``core.metadata_of``, for a file or folder."""
    return dict(files.decode_record(record_of_files(packed, store)).metadata)


LOADERS: dict[str, Callable[[Packed, ArtifactStore], object]] = {
    "file": _load_files,
    "folder": _load_files,
    "numpy": _load_array,
    "safetensors": _load_tensors,
    "arrow": _load_table,
    "pickle": _load_pickle,
    "pickle-canonical": _load_canonical,
}
