"""Arrays of jax come back exactly. ``make test-torch`` installs jax too and runs these."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headrace.stores.artifacts.local import LocalStore
from headrace.stores.codecs import pack, preview, unpack

jax = pytest.importorskip("jax")


@pytest.mark.parametrize("dtype", ("float32", "bfloat16", "int8", "bool", "complex64", "float8_e4m3fn"))
@pytest.mark.parametrize("count", (0, 1, 10_000))
def test_arrays(tmp_path: Path, dtype: str, count: int) -> None:
    store = LocalStore(tmp_path)
    array = (jax.numpy.arange(2 * count) % 2).astype(dtype).reshape(2, -1)
    for value in (array, array.T):
        loaded = unpack(pack(value, store), store)
        assert type(loaded) is type(array)
        assert (loaded.dtype, loaded.shape) == (value.dtype, value.shape)
        assert bytes(np.asarray(loaded).tobytes()) == np.asarray(value).tobytes()
        assert pack(loaded, store).digest == pack(value, store).digest


def test_weakly_typed_scalars_and_keys(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    loaded = unpack(pack([jax.numpy.asarray(1.0), jax.random.key(3)], store), store)
    assert loaded[0].weak_type  # type: ignore[index]
    assert (jax.random.key_data(loaded[1]) == jax.random.key_data(jax.random.key(3))).all()  # type: ignore[index]


def test_large_arrays_are_not_copied_into_the_stream(tmp_path: Path) -> None:
    packed = pack({"a": jax.numpy.arange(100_000)}, LocalStore(tmp_path))
    assert [blob.size for blob in packed.blobs] == [400_000]


def test_previews() -> None:
    assert preview(jax.numpy.zeros((500, 3))).text == "float32 (500, 3)"
    assert preview(jax.numpy.arange(3)).text == "int32 (3,): [0, 1, 2]"
