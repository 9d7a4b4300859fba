"""How picklers write torch tensors inside whatever holds them: the memory of storages leaves the stream uncopied.

torch's own reducers say how a tensor is made from its storage; only the storage, which torch would copy into the
stream, is written our way. What shares a storage shares it again when loaded. Other devices' memory is copied to the
CPU and is loaded there.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

#: A storage of which one tensor shows less than half, and this much less, is cut down to that.
_SLACK = 64 * 1024


class Storages:
    """The storages of one value while it is pickled: which object stands for each, and who shows how much of it."""

    __slots__ = ("_cut", "_kept", "_shown", "_uses")

    def __init__(self) -> None:
        self._kept: dict[int, _Memory] = {}  # by address of torch's own object, which outlives its Python wrappers
        self._uses: dict[int, int] = {}
        self._shown: dict[int, tuple[int, int]] = {}
        self._cut: frozenset[int] = frozenset()

    def reducers(self) -> dict[type, Callable[[Any], Any]]:
        """What a pickler's dispatch table needs."""
        torch = sys.modules["torch"]
        return {
            torch.Tensor: self._reduce_tensor,
            torch.storage.TypedStorage: self._reduce_typed,
            torch.UntypedStorage: self._reduce_storage,
        }

    def found_waste(self) -> bool:
        """Whether a second pass would write less: a storage is used once, and most of it is not shown."""
        waste = [
            key
            for key, (shown, whole) in self._shown.items()
            if self._uses.get(key) == 1 and whole > 2 * shown + _SLACK
        ]
        self._cut = frozenset(waste)
        return bool(waste)

    def _reduce_tensor(self, tensor: Any) -> Any:
        torch = sys.modules["torch"]
        if tensor.layout is torch.strided and tensor.device.type != "meta":
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key in self._cut:
                tensor = _without_rest(tensor)
            self._shown[key] = (tensor.nbytes, storage.nbytes())
        return tensor.__reduce_ex__(5)

    def _reduce_typed(self, typed: Any) -> Any:
        return restore_typed, (self._memory(typed._untyped_storage), typed.dtype)

    def _reduce_storage(self, storage: Any) -> Any:
        """As torch does it: an untyped storage, also inside tensors of newer dtypes, is loaded as one of bytes."""
        return restore_typed, (self._memory(storage), sys.modules["torch"].uint8)

    def _memory(self, storage: Any) -> _Memory:
        """Always the same object for the same storage, so that the pickler knows it again."""
        key = storage._cdata
        self._uses[key] = self._uses.get(key, 0) + 1
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Memory(storage)
        return kept


class _Memory:
    """What stands for a storage in the pickle; loaded, it is an untyped storage on the CPU."""

    __slots__ = ("_storage",)

    def __init__(self, storage: Any) -> None:
        self._storage = storage  # whose address is only good while it lives

    def __reduce__(self) -> Any:
        storage = self._storage if self._storage.device.type == "cpu" else self._storage.cpu()
        return restore_storage, (pickle.PickleBuffer(memory_of(storage, storage.nbytes())),)


def _without_rest(tensor: Any) -> Any:
    """``tensor`` over a storage of its own, in the same order in memory."""
    torch = sys.modules["torch"]
    copy = tensor.detach().clone(memory_format=torch.preserve_format).requires_grad_(tensor.requires_grad)
    copy.__dict__.update(tensor.__dict__)
    return copy


def memory_of(owner: Any, size: int) -> Any:
    """The ``size`` bytes at ``owner.data_ptr()`` as a buffer, which keeps ``owner`` alive.

    Through an address, because torch gives buffers only by way of NumPy, which it can do without.
    """
    if not size:
        return bytearray()
    import ctypes

    memory = (ctypes.c_ubyte * size).from_address(owner.data_ptr())
    memory._owner = owner  # type: ignore[attr-defined]
    return memory


def restore_storage(data: Any) -> Any:
    """A ``torch.UntypedStorage`` over the memory of ``data``. Stored pickles name this function."""
    import torch

    size = memoryview(data).nbytes
    return torch.frombuffer(data, dtype=torch.uint8).untyped_storage() if size else torch.UntypedStorage(0)


def restore_typed(storage: Any, dtype: Any) -> Any:
    """A ``torch.TypedStorage``, from which torch makes tensors. Stored pickles name this function."""
    from torch.storage import TypedStorage

    return TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)
