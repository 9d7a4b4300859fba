"""Objects to manifests and back: which codec writes which type, and how a payload is split into inline and blobs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from headrace.model.errors import BlobCorruptError, StoreError
from headrace.model.values import INLINE_LIMIT, Blob, Packed
from headrace.stores.artifacts.hashing import digest_of
from headrace.stores.artifacts.protocol import ArtifactStore, Buffer
from headrace.stores.codecs import arrays, arrowfile, files, parts, pickling, plain, tensorfile
from headrace.stores.codecs.canonical import canonical_digest, known_buffers
from headrace.stores.codecs.context import Packing, Unpacking, current
from headrace.stores.codecs.digests import content_digest
from headrace.stores.codecs.readback import check_read_back
from headrace.stores.codecs.streams import may_hold_sets
from headrace.stores.codecs.versions import load_pickle, made_with

_CHECK = 32  # bytes of checksum in front of the inline part, where the digest is not over the payload itself


def pack(value: object, store: ArtifactStore, *, read_back: bool = True) -> Packed:
    """Write ``value`` down: large parts go to ``store``, the manifest comes back.

    The same content gives the same digest in every process. ``value`` must not change meanwhile. With ``read_back``
    the first value of a class is also read again, to see that it can be.

    Raises:
        NotStorableError: the value cannot be written, or not be read back; the message names the part that is to blame.
        StoreError: the store cannot take the bytes.
    """
    packer = _PACKERS.get(type(value))
    if packer is not None:
        packed = packer(value, store)
        if packed is not None:
            return packed
    return _pack_other(value, Packing(store, template=False, read_back=read_back))


def pack_template(value: object, store: ArtifactStore) -> tuple[Packed, list[object]]:
    """Like ``pack``; objects whose ``__reduce__`` returns ``reduce_hole(self)`` become holes, returned in order."""
    packer = _PACKERS.get(type(value))
    if packer is not None:
        packed = packer(value, store)
        if packed is not None:
            return packed, []
    packing = Packing(store, template=True, read_back=True)
    packed = _pack_other(value, packing)
    return packed, packing.holes or []


def pack_whole(value: object, fields: dict[str, Packed], store: ArtifactStore) -> Packed:
    """Write down a value whose ``fields`` are stored already, without storing them again.

    Raises:
        NotStorableError, StoreError: as ``pack``.
    """
    skeleton = parts.skeleton_of(value, fields)
    if skeleton is None:
        return pack(value, store)
    bones = pack(skeleton, store)
    payload = parts.encode(bones, fields)
    blobs = tuple({blob.digest: blob for one in (bones, *fields.values()) for blob in one.blobs}.values())
    if len(payload) > INLINE_LIMIT:
        blobs = (store.put((payload,)), *blobs)
        payload = b""
    code = tuple(sorted({name for one in (bones, *fields.values()) for name in one.code}))
    return Packed("parts", content_digest("parts", payload, blobs), bones.size, payload, blobs, code, bones.made)


def pack_stream(stream: bytes, store: ArtifactStore) -> Packed:
    """A pickle that was made elsewhere, as it is; nothing of it is looked at before the object is asked for."""
    return _finish("pickle", b"", stream, store)


def exact_digest(packed: Packed) -> bytes:
    """Tells stored bytes apart: values with the same digest may share their parts in different ways."""
    if packed.codec != "pickle-canonical":
        return packed.digest
    return content_digest("exact", packed.inline[:_CHECK], packed.blobs)


def unpack(packed: Packed, store: ArtifactStore) -> object:
    """The object again, writable and private to the caller; large buffers are mapped from ``store``.

    Raises:
        BlobMissingError, BlobCorruptError: the bytes are gone or damaged; nothing was unpickled.
        NotLoadableError: this process lacks the code or packages that the object needs.
    """
    return unpack_template(packed, store, None)


def unpack_template(
    packed: Packed, store: ArtifactStore, values: Sequence[object] | Mapping[str, object] | None
) -> object:
    """Like ``unpack``, for a template: hole number ``i`` becomes ``values[i]``."""
    try:
        loader = _LOADERS[packed.codec]
    except KeyError:
        raise StoreError(f"a value was stored as {packed.codec!r}, which this version cannot read") from None
    outer = current.unpacking
    current.unpacking = Unpacking(store, values)
    try:
        return loader(packed, store)
    finally:
        current.unpacking = outer


# --- writing ----------------------------------------------------------------------------------------------------


def _pack_json(value: object, store: ArtifactStore) -> Packed | None:
    data = plain.encode_json(value)
    return None if data is None else _finish("json", b"", data, store)


def _pack_str(value: object, store: ArtifactStore) -> Packed | None:
    try:
        return _finish("str", b"", value.encode(), store)  # type: ignore[attr-defined]
    except UnicodeEncodeError:
        return None


def _pack_bytes(value: object, store: ArtifactStore) -> Packed:
    return _finish("bytes", b"", value, store)  # type: ignore[arg-type]


def _pack_bytearray(value: object, store: ArtifactStore) -> Packed:
    return _finish("bytearray", b"", value, store)  # type: ignore[arg-type]


def _pack_array(value: object, store: ArtifactStore) -> Packed | None:
    encoded = arrays.encode_array(value)  # type: ignore[arg-type]
    return None if encoded is None else _finish("numpy", encoded[0], encoded[1], store)


def _pack_tensors(value: object, store: ArtifactStore) -> Packed | None:
    encoded = tensorfile.encode_tensors(value)
    return None if encoded is None else _finish_parts("safetensors", *encoded, store)


def _pack_table(value: object, store: ArtifactStore) -> Packed | None:
    encoded = arrowfile.encode_table(value)
    return None if encoded is None else _finish_parts("arrow", *encoded, store)


def _pack_files(value: object, store: ArtifactStore) -> Packed:
    codec = "folder" if type(value).__name__ == "Folder" else "file"
    record, blobs = files.encode_files(value, store)  # type: ignore[arg-type]
    size = sum([blob.size for blob in blobs])
    if len(record) > INLINE_LIMIT:
        blobs, record = (store.put((record,)), *blobs), b""
    return Packed(codec, content_digest(codec, record, blobs), size, record, blobs)


def _finish(codec: str, header: bytes, data: Buffer, store: ArtifactStore) -> Packed:
    """The manifest of a header and one payload, which stays inline when it is small."""
    size = data.nbytes if isinstance(data, memoryview) else len(data)
    if size <= INLINE_LIMIT:
        inline = header + data if header or type(data) is not bytes else data
        return Packed(codec, content_digest(codec, inline), size, inline)
    blobs = (store.put((data,)),)
    return Packed(codec, content_digest(codec, header, blobs), size, header, blobs)


def _finish_parts(codec: str, header: bytes, parts: Sequence[Buffer], store: ArtifactStore) -> Packed:
    """Like ``_finish``, for a payload in pieces."""
    size = sum([memoryview(part).nbytes for part in parts])
    if size <= INLINE_LIMIT:
        inline = b"".join([header, *parts])
        return Packed(codec, content_digest(codec, inline), size, inline)
    blobs = (store.put(parts),)
    return Packed(codec, content_digest(codec, header, blobs), size, header, blobs)


def _pack_other(value: object, packing: Packing) -> Packed:
    kind = type(value)
    packer = None
    if kind not in _PACKERS:
        packer = _LIBRARIES.get((kind.__module__, kind.__name__))
        if packer is not None:
            _PACKERS[kind] = packer
    if packer is None and isinstance(value, dict) and getattr(sys.modules.get("torch"), "Tensor", None) is not None:
        packer = _pack_tensors
    packed = None if packer is None else packer(value, packing.store)
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


_Packer = Callable[[object, ArtifactStore], Packed | None]

_PACKERS: dict[type, _Packer] = {
    dict: _pack_json,
    list: _pack_json,
    type(None): _pack_json,
    bool: _pack_json,
    int: _pack_json,
    float: _pack_json,
    str: _pack_str,
    bytes: _pack_bytes,
    bytearray: _pack_bytearray,
}

#: Types that join ``_PACKERS`` when the first value of theirs is met: their libraries are not imported for it.
_LIBRARIES: dict[tuple[str, str], _Packer] = {
    ("headrace.stores.codecs.files", "File"): _pack_files,
    ("headrace.stores.codecs.files", "Folder"): _pack_files,
    ("numpy", "ndarray"): _pack_array,
    ("pyarrow.lib", "RecordBatch"): _pack_table,
    ("pyarrow.lib", "Table"): _pack_table,
    ("torch", "Tensor"): _pack_tensors,
}


# --- reading ----------------------------------------------------------------------------------------------------


def payload(packed: Packed, store: ArtifactStore) -> bytes | memoryview:
    """The payload of a codec without a header, checked against the digest."""
    _verify(packed)
    return store.get(packed.blobs[0]) if packed.blobs else packed.inline


def _verify(packed: Packed) -> None:
    if content_digest(packed.codec, packed.inline, packed.blobs) != packed.digest:
        raise BlobCorruptError(f"the manifest of a stored value ({packed.codec}) is damaged: its digest does not fit")


def _load_json(packed: Packed, store: ArtifactStore) -> object:
    return plain.decode_json(payload(packed, store))


def _load_str(packed: Packed, store: ArtifactStore) -> object:
    return str(payload(packed, store), "utf-8")


def _load_bytes(packed: Packed, store: ArtifactStore) -> object:
    return bytes(payload(packed, store))


def _load_bytearray(packed: Packed, store: ArtifactStore) -> object:
    return bytearray(payload(packed, store))


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
    _verify(packed)
    return packed.inline or store.get(packed.blobs[0])


def metadata_of(packed: Packed, store: ArtifactStore) -> dict[str, object]:
    """The metadata of a stored file or folder; empty for other values. Nothing is unpickled.

    Raises:
        BlobError: its manifest is gone or damaged.
    """
    if packed.codec not in ("file", "folder"):
        return {}
    return dict(files.decode_record(record_of_files(packed, store)).metadata)


def header_and_data(packed: Packed, store: ArtifactStore) -> tuple[bytes, memoryview]:
    """The line in front and the payload, writable and checked, of a codec whose header is a line."""
    _verify(packed)
    end = packed.inline.index(b"\n") + 1
    data = store.get(packed.blobs[0]) if packed.blobs else memoryview(bytearray(packed.inline[end:]))
    return packed.inline[:end], data


def _load_parts(packed: Packed, store: ArtifactStore) -> object:
    _verify(packed)
    payload = packed.inline or store.get(packed.blobs[0])
    return parts.decode(payload, lambda part, values: unpack_template(part, store, values))


def _load_pickle(packed: Packed, store: ArtifactStore) -> object:
    _verify(packed)
    return _load_stream(packed, packed.inline, store)


def _load_canonical(packed: Packed, store: ArtifactStore) -> object:
    inline = packed.inline[_CHECK:]
    if content_digest(packed.codec, inline) != packed.inline[:_CHECK]:
        raise BlobCorruptError("the manifest of a stored value (pickle-canonical) is damaged: its digest does not fit")
    return _load_stream(packed, inline, store)


def _load_stream(packed: Packed, inline: bytes, store: ArtifactStore) -> object:
    """Unpickle; buffers are fetched as the stream asks for them, blobs of files stay where they are."""
    blobs = iter(packed.blobs)
    data = inline if inline else store.get(next(blobs))
    return load_pickle(data, (store.get(blob) for blob in blobs), packed.made)


_LOADERS: dict[str, Callable[[Packed, ArtifactStore], object]] = {
    "parts": _load_parts,
    "file": _load_files,
    "folder": _load_files,
    "json": _load_json,
    "str": _load_str,
    "bytes": _load_bytes,
    "bytearray": _load_bytearray,
    "numpy": _load_array,
    "safetensors": _load_tensors,
    "arrow": _load_table,
    "pickle": _load_pickle,
    "pickle-canonical": _load_canonical,
}
