"""NumPy arrays whose bytes are their content: a header and the raw buffer, in C or Fortran order.

Arrays of objects, structured arrays, subclasses and extension dtypes are left to pickle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.stores.artifacts.protocol import Buffer

if TYPE_CHECKING:
    from typing import Any, Literal

    import numpy as np

_KINDS = frozenset("biufcSUmM")


def encode_array(array: np.ndarray[Any, Any]) -> tuple[bytes, Buffer] | None:
    """The header of ``array`` and a view of its bytes (a copy when it is not contiguous); ``None`` if not ours."""
    import numpy as np

    dtype = array.dtype
    if dtype.kind not in _KINDS or dtype.metadata is not None:
        return None
    order, flat = _flatten(array)
    header = f"{dtype.str} {order} {','.join(map(str, array.shape))}\n".encode()
    return header, flat.view(np.uint8).data if array.nbytes else b""


def _flatten(array: np.ndarray[Any, Any]) -> tuple[Literal["C", "F"], np.ndarray[Any, Any]]:
    """The elements in one dimension, in the order they lie in memory; copied only when there are gaps."""
    flags = array.flags
    if flags.c_contiguous:
        return "C", array.reshape(-1)
    if flags.f_contiguous:
        return "F", array.T.reshape(-1)
    return "C", array.flatten()


def reduce_array(array: np.ndarray[Any, Any]) -> Any:
    """How a pickler shall write an array inside another object, so that large ones leave the stream uncopied.

    NumPy itself copies times and whatever is not contiguous into the stream.
    """
    dtype, flags = array.dtype, array.flags
    if dtype.kind in "mM" and dtype.metadata is None:
        order, flat = _flatten(array)
        return restore_times, (flat.view("i8"), dtype.str, array.shape, order)
    if not dtype.hasobject and not (flags.c_contiguous or flags.f_contiguous):
        return array.copy().__reduce_ex__(5)
    return array.__reduce_ex__(5)


def restore_times(
    counts: np.ndarray[Any, Any], dtype: str, shape: tuple[int, ...], order: Literal["C", "F"]
) -> np.ndarray[Any, Any]:
    """An array of dates or durations over the memory of its integers. Stored pickles name this function."""
    return counts.view(dtype).reshape(shape, order=order)


def reduce_jax(array: Any) -> Any:
    """How a pickler shall write a ``jax.Array``, which jax itself copies into the stream."""
    import numpy as np

    if array.weak_type or not array.is_fully_addressable:
        return array.__reduce__()
    values = np.asarray(array)
    return array.__reduce__() if values.dtype.kind not in _KINDS else (restore_jax, (values,))


def restore_jax(values: np.ndarray[Any, Any]) -> Any:
    """A ``jax.Array`` on the default device. Stored pickles name this function."""
    import jax

    return jax.device_put(values)


def decode_array(header: bytes, data: memoryview) -> np.ndarray[Any, Any]:
    """The array again, over the memory of ``data``."""
    import numpy as np

    name, order, dimensions = header.decode().rstrip("\n").split(" ")
    shape = tuple(int(length) for length in dimensions.split(",") if length)
    dtype = np.dtype(name)
    if not dtype.itemsize or 0 in shape:
        return np.empty(shape, dtype, order="F" if order == "F" else "C")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")
