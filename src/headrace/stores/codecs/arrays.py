"""NumPy arrays whose bytes are their content: a header and the raw buffer, in C or Fortran order.

Arrays of objects, structured arrays, subclasses and extension dtypes are left to pickle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.stores.artifacts.protocol import Buffer

if TYPE_CHECKING:
    from typing import Any

    import numpy as np

_KINDS = frozenset("biufcSUmM")


def encode_array(array: np.ndarray[Any, Any]) -> tuple[bytes, Buffer] | None:
    """The header of ``array`` and a view of its bytes (a copy when it is not contiguous); ``None`` if not ours."""
    import numpy as np

    dtype = array.dtype
    if dtype.kind not in _KINDS or dtype.metadata is not None or dtype.fields is not None:
        return None
    flags = array.flags
    if flags.c_contiguous:
        order, flat = "C", array
    elif flags.f_contiguous:
        order, flat = "F", array.T
    else:
        order, flat = "C", np.ascontiguousarray(array)
    header = f"{dtype.str} {order} {','.join(map(str, array.shape))}\n".encode()
    if not array.nbytes:
        return header, b""
    return header, flat.reshape(-1).view(np.uint8).data


def decode_array(header: bytes, data: memoryview) -> np.ndarray[Any, Any]:
    """The array again, over the memory of ``data``."""
    import numpy as np

    name, order, dimensions = header.decode().rstrip("\n").split(" ")
    shape = tuple(int(length) for length in dimensions.split(",") if length)
    dtype = np.dtype(name)
    if not dtype.itemsize or 0 in shape:
        return np.empty(shape, dtype, order="F" if order == "F" else "C")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")
