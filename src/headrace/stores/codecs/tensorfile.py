"""A torch tensor, or a dictionary of them, as a safetensors file: any language reads it, and nothing is unpickled.

Only what comes back exactly is written so: plain tensors in C order that share no memory, under texts. A module's
``state_dict()`` is such a dictionary, with versions of its parts beside the tensors. All else is left to pickle.
"""

from __future__ import annotations

import collections
import math
import sys
from typing import TYPE_CHECKING

import msgspec

from headrace._base.attributes import instance_dict
from headrace.stores.artifacts.protocol import Buffer
from headrace.stores.codecs.tensors import memory_of

if TYPE_CHECKING:
    from typing import Any

_NAMES = {
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.int64": "I64",
    "torch.int32": "I32",
    "torch.int16": "I16",
    "torch.int8": "I8",
    "torch.uint64": "U64",
    "torch.uint32": "U32",
    "torch.uint16": "U16",
    "torch.uint8": "U8",
    "torch.bool": "BOOL",
    "torch.complex64": "C64",
    "torch.float8_e4m3fn": "F8_E4M3",
    "torch.float8_e5m2": "F8_E5M2",
}
_DTYPES = {short: name.removeprefix("torch.") for name, short in _NAMES.items()}
_ALONE = "tensor"
_METADATA = "__metadata__"
_HEADER_LIMIT = 50 << 20  # safetensors refuses headers of 100 MB

_Tensors = dict[str, "Any"]


class _Wrapping(msgspec.Struct, frozen=True, array_like=True):
    """What the file does not say: whether it was a tensor, a ``dict`` or a ``state_dict``, and its versions."""

    kind: str
    versions: dict[str, dict[str, int]] | None = None


def encode_tensors(value: object) -> tuple[bytes, list[Buffer]] | None:
    """A header of Headrace, and the parts of a safetensors file; ``None`` if the file would not be exactly
    ``value``."""
    torch = sys.modules["torch"]
    kind = type(value)
    versions = None
    if kind is torch.Tensor:
        tensors: _Tensors = {_ALONE: value}
    elif (kind is dict or kind is collections.OrderedDict) and value:
        tensors = value  # type: ignore[assignment]
        state = instance_dict(value)
        if state:
            versions = _versions(state)
            if versions is None:
                return None
    else:
        return None
    seen: set[int] = set()
    for name, tensor in tensors.items():
        if type(name) is not str or name == _METADATA or not _is_plain(tensor, torch, seen):
            return None
    try:
        parts = _file(tensors)
    except UnicodeEncodeError:  # lone surrogates, which UTF-8 has no place for
        return None
    return None if parts is None else (msgspec.json.encode(_Wrapping(kind.__name__, versions)) + b"\n", parts)


def _versions(state: dict[str, Any]) -> dict[str, dict[str, int]] | None:
    """The attribute that ``state_dict()`` gives its result, when it is as torch makes it."""
    versions = state.get("_metadata")
    if len(state) != 1 or type(versions) is not collections.OrderedDict or instance_dict(versions):
        return None
    for name, entry in versions.items():
        if type(name) is not str or type(entry) is not dict:
            return None
        if any(type(key) is not str or type(item) is not int or abs(item) >> 62 for key, item in entry.items()):
            return None
    return dict(versions)


def _is_plain(tensor: Any, torch: Any, seen: set[int]) -> bool:
    """Whether nothing but dtype, shape and bytes makes this tensor, and no other tensor in ``seen`` has its memory."""
    if (
        type(tensor) is not torch.Tensor
        or tensor.layout is not torch.strided
        or tensor.requires_grad
        or tensor.__dict__
        or str(tensor.dtype) not in _NAMES
        or tensor.device.type not in ("cpu", "cuda")
        or tensor.is_conj()
        or tensor.is_neg()
        or tensor._backward_hooks
        or any(getattr(tensor, "names", ()))
    ):
        return False
    stride = 1
    for length, step in zip(reversed(tensor.shape), reversed(tensor.stride()), strict=True):
        if step != stride:
            return False
        stride *= max(length, 1)
    if tensor.numel():
        address = tensor.untyped_storage().data_ptr()
        if address in seen:
            return False
        seen.add(address)
    return True


def _file(tensors: _Tensors) -> list[Buffer] | None:
    """The file: entries in the order of the dictionary, bytes by size of element so that all lie aligned."""
    places: dict[str, tuple[int, int]] = {}
    data: list[Buffer] = []
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].element_size()):
        places[name] = (end, end + tensor.nbytes)
        end += tensor.nbytes
        if tensor.nbytes:
            data.append(memoryview(memory_of(tensor.cpu(), tensor.nbytes)).cast("B"))
    header: dict[str, object] = {_METADATA: {"format": "pt"}}
    for name, tensor in tensors.items():
        header[name] = {
            "dtype": _NAMES[str(tensor.dtype)],
            "shape": tuple(tensor.shape),
            "data_offsets": places[name],
        }
    text = msgspec.json.encode(header)
    text += b" " * (-(8 + len(text)) % 16)
    return None if len(text) > _HEADER_LIMIT else [len(text).to_bytes(8, "little") + text, *data]


def decode_tensors(wrapping: bytes, data: memoryview) -> object:
    """What ``encode_tensors`` was given, over the memory of ``data``."""
    import torch

    wrapped = msgspec.json.decode(wrapping, type=_Wrapping)
    start = 8 + int.from_bytes(data[:8], "little")
    header: dict[str, Any] = msgspec.json.decode(data[8:start])
    del header[_METADATA]
    tensors: _Tensors = {}
    for name, entry in header.items():
        dtype, shape = getattr(torch, _DTYPES[entry["dtype"]]), entry["shape"]
        count = math.prod(shape)
        if not count:
            tensors[name] = torch.empty(shape, dtype=dtype)
            continue
        offset = start + entry["data_offsets"][0]
        tensors[name] = torch.frombuffer(data, dtype=dtype, count=count, offset=offset).reshape(shape)
    if wrapped.kind == "Tensor":
        return tensors[_ALONE]
    if wrapped.kind == "dict":
        return tensors
    ordered = collections.OrderedDict(tensors)
    if wrapped.versions is not None:
        ordered._metadata = collections.OrderedDict(wrapped.versions)  # type: ignore[attr-defined]
    return ordered
