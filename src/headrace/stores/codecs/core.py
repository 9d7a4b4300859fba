"""Objects to manifests and back: which codec writes which type, and how a payload is split into inline and blobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from headrace.model.errors import StoreError
from headrace.model.values import INLINE_LIMIT, Packed
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.codecs import plain
from headrace.stores.codecs.context import Packing, Unpacking, current
from headrace.stores.codecs.digests import content_digest
from headrace.stores.codecs.manifests import CHECK, finish, payload, verify


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
    if type(value) in (list, dict):
        from headrace.stores.codecs.templates import encode_template

        data = encode_template(value, packing)
        if data is not None:
            return finish("template", b"", data, store), packing.holes or []
    packed = _pack_other(value, packing)
    return packed, packing.holes or []


def pack_whole(value: object, fields: dict[str, Packed], store: ArtifactStore) -> Packed:
    """Write down a value whose ``fields`` are stored already, without storing them again.

    Raises:
        NotStorableError, StoreError: as ``pack``.
    """
    from headrace.stores.codecs import parts

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
    return finish("pickle", b"", stream, store)


def exact_digest(packed: Packed) -> bytes:
    """Tells stored bytes apart: values with the same digest may share their parts in different ways."""
    if packed.codec != "pickle-canonical":
        return packed.digest
    return content_digest("exact", packed.inline[:CHECK], packed.blobs)


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
    loader = _LOADERS.get(packed.codec) or _other_loader(packed.codec)
    outer = current.unpacking
    current.unpacking = Unpacking(store, values)
    try:
        return loader(packed, store)
    finally:
        current.unpacking = outer


# --- writing ----------------------------------------------------------------------------------------------------


def _pack_json(value: object, store: ArtifactStore) -> Packed | None:
    data = plain.encode_json(value)
    return None if data is None else finish("json", b"", data, store)


def _pack_str(value: object, store: ArtifactStore) -> Packed | None:
    try:
        return finish("str", b"", value.encode(), store)  # type: ignore[attr-defined]
    except UnicodeEncodeError:
        return None


def _pack_bytes(value: object, store: ArtifactStore) -> Packed:
    return finish("bytes", b"", value, store)  # type: ignore[arg-type]


def _pack_bytearray(value: object, store: ArtifactStore) -> Packed:
    return finish("bytearray", b"", value, store)  # type: ignore[arg-type]


def _pack_other(value: object, packing: Packing) -> Packed:
    from headrace.stores.codecs import objects

    kind = type(value)
    if kind not in _PACKERS:
        packer = objects.LIBRARIES.get((kind.__module__, kind.__name__))
        if packer is not None:
            _PACKERS[kind] = packer
            packed = packer(value, packing.store)
            if packed is not None:
                return packed
    return objects.pack_object(value, packing)


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


# --- reading ----------------------------------------------------------------------------------------------------


def _load_json(packed: Packed, store: ArtifactStore) -> object:
    return plain.decode_json(payload(packed, store))


def _load_str(packed: Packed, store: ArtifactStore) -> object:
    return str(payload(packed, store), "utf-8")


def _load_bytes(packed: Packed, store: ArtifactStore) -> object:
    return bytes(payload(packed, store))


def _load_bytearray(packed: Packed, store: ArtifactStore) -> object:
    return bytearray(payload(packed, store))


def metadata_of(packed: Packed, store: ArtifactStore) -> dict[str, object]:
    """The metadata of a stored file or folder; empty for other values. Nothing is unpickled.

    Raises:
        BlobError: its manifest is gone or damaged.
    """
    if packed.codec not in ("file", "folder"):
        return {}
    from headrace.stores.codecs import objects

    return objects.metadata_of(packed, store)


def _load_parts(packed: Packed, store: ArtifactStore) -> object:
    from headrace.stores.codecs import parts

    verify(packed)
    payload = packed.inline or store.get(packed.blobs[0])
    return parts.decode(payload, lambda part, values: unpack_template(part, store, values))


def _load_template(packed: Packed, store: ArtifactStore) -> object:
    from headrace.stores.codecs.templates import decode_template

    return decode_template(payload(packed, store))


_LOADERS: dict[str, Callable[[Packed, ArtifactStore], object]] = {
    "parts": _load_parts,
    "template": _load_template,
    "json": _load_json,
    "str": _load_str,
    "bytes": _load_bytes,
    "bytearray": _load_bytearray,
}


def _other_loader(codec: str) -> Callable[[Packed, ArtifactStore], object]:
    from headrace.stores.codecs import objects

    try:
        return objects.LOADERS[codec]
    except KeyError:
        raise StoreError(f"a value was stored as {codec!r}, which this version cannot read") from None
