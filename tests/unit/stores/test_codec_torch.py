"""Tensors and modules of torch come back exactly. ``make test-torch`` installs it, which is large, and runs these."""

from __future__ import annotations

import collections
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.stores.artifacts.local import LocalStore
from headrace.stores.codecs import pack, preview, unpack

torch = pytest.importorskip("torch")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def trip(value: Any, store: LocalStore) -> Any:
    packed = pack(value, store)
    assert pack(value, LocalStore(store.url)) == packed
    loaded = unpack(packed, store)
    assert pack(unpack(pack(loaded, store), store), store).digest == pack(loaded, store).digest
    return loaded


def assert_same(loaded: Any, tensor: Any) -> None:
    assert type(loaded) is type(tensor)
    assert (loaded.dtype, loaded.shape, loaded.layout) == (tensor.dtype, tensor.shape, tensor.layout)
    assert loaded.requires_grad == tensor.requires_grad
    assert loaded.device.type == ("meta" if tensor.device.type == "meta" else "cpu")
    if tensor.layout is torch.strided and tensor.device.type != "meta":
        assert loaded.is_conj() == tensor.is_conj()
        left, right = (item.detach().resolve_conj().contiguous().reshape(-1) for item in (loaded, tensor))
        assert bytes(left.view(torch.uint8).tolist()) == bytes(right.view(torch.uint8).tolist())
    elif tensor.layout is not torch.strided:
        assert torch.equal(loaded.to_dense(), tensor.to_dense())


DTYPES = [
    *("float64", "float32", "float16", "bfloat16", "complex64", "complex128", "bool"),
    *("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz"),
]


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("count", (0, 5, 20_000))
def test_dtypes(store: LocalStore, name: str, count: int) -> None:
    dtype = getattr(torch, name)
    tensor = (torch.arange(count) % 2).to(dtype)
    for value in (tensor, tensor.reshape(-1, 1, 5)):
        assert_same(trip(value, store), value)
        assert_same(trip({"t": value, "n": 1}, store)["t"], value)
        assert_same(trip({"t": value, "empty": torch.zeros(0, 3)}, store)["t"], value)


TENSORS = {
    "scalar": lambda: torch.tensor(5.0),
    "transposed": lambda: torch.arange(60_000.0).reshape(200, 300).T,
    "channels last": lambda: torch.rand(2, 3, 8, 8).to(memory_format=torch.channels_last),
    "expanded": lambda: torch.arange(5000.0).expand(100, 5000),
    "strided": lambda: torch.arange(100.0)[::3],
    "odd stride of one": lambda: torch.arange(6.0).as_strided((1, 6), (77, 1)),
    "gradient": lambda: torch.rand(3000, requires_grad=True),
    "not a leaf": lambda: torch.rand(3000, requires_grad=True) * 2,
    "conjugated": lambda: torch.tensor([1 + 2j, 3j]).conj(),
    "imaginary": lambda: torch.tensor([1 + 2j, 3j]).conj().imag,
    "sparse": lambda: torch.eye(100).to_sparse(),
    "sparse rows": lambda: torch.eye(100).to_sparse_csr(),
    "no memory": lambda: torch.empty(3, 4, device="meta"),
    "parameter": lambda: torch.nn.Parameter(torch.rand(3000)),
    "frozen parameter": lambda: torch.nn.Parameter(torch.rand(30), requires_grad=False),
    "buffer": lambda: torch.nn.Buffer(torch.rand(30), persistent=False),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("nested", (False, True))
def test_tensors(store: LocalStore, name: str, nested: bool) -> None:
    torch.manual_seed(0)
    tensor = TENSORS[name]()
    loaded = trip([tensor], store)[0] if nested else trip(tensor, store)
    assert_same(loaded, tensor)
    assert loaded.__dict__ == tensor.__dict__
    if tensor.layout is torch.strided:
        assert loaded.stride() == tensor.stride()


def test_bits_of_nan_survive(store: LocalStore) -> None:
    bits = torch.tensor([0x7FF8000000000001, -0x7FFFFFFFFFFFFFFE, -0x8000000000000000])
    assert torch.equal(trip(bits.view(torch.float64), store).view(torch.int64), bits)


def test_a_loaded_tensor_is_the_mapped_file_and_private(store: LocalStore) -> None:
    for value in (torch.zeros(100_000), [torch.zeros(100_000)]):
        packed = pack(value, store)
        first: Any = unpack(packed, store)
        first = first[0] if isinstance(first, list) else first
        first += 1
        second: Any = unpack(packed, store)
        assert not (second[0] if isinstance(second, list) else second).any()


def test_memory_is_shared_as_it_was(store: LocalStore) -> None:
    whole = torch.arange(10_000.0)
    part = whole[1000:3000]
    packed = pack([whole, part, {"again": whole.view(100, 100)}], store)
    assert packed.size < whole.nbytes + 2000
    loaded: Any = unpack(packed, store)
    loaded[1][0] = -1
    assert loaded[0][1000] == loaded[2]["again"][10, 0] == -1
    tied: Any = trip({"a": part, "b": part}, store)
    tied["a"][0] = -2
    assert tied["b"][0] == -2


def test_a_part_of_a_large_tensor_is_stored_without_the_rest(store: LocalStore) -> None:
    whole = torch.rand(100, 30_000, requires_grad=True)
    for value in ([whole[7]], {"column": whole[:, 3], "n": 1}, whole[7].detach(), [lambda: 0, whole[7]]):
        assert pack(value, store).size < 130_000
    assert_same(trip([whole[7]], store)[0], whole[7])
    halves = [whole[:1], whole[1:2]]
    loaded = trip(halves, store)
    assert torch.equal(loaded[1], halves[1])


def test_values_whose_pickle_holds_sets_have_one_digest(store: LocalStore) -> None:
    digests = {
        pack([{"a", "b"}, torch.arange(5000), torch.arange(3.0, requires_grad=True)], store).digest for _ in range(3)
    }
    assert len(digests) == 1


class Net(torch.nn.Module):  # type: ignore[name-defined,misc]
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(100, 100)
        self.norm = torch.nn.BatchNorm1d(100)
        self.last = torch.nn.Linear(100, 100)
        self.last.weight = self.first.weight

    def forward(self, inputs: Any) -> Any:
        return self.last(self.norm(self.first(inputs)))


def test_modules(store: LocalStore) -> None:
    torch.manual_seed(0)
    net = Net().eval()
    packed = pack(net, store)
    assert sorted(blob.size for blob in packed.blobs) == [40_000]  # smaller ones stay in the stream
    loaded: Any = unpack(packed, store)
    inputs = torch.rand(7, 100)
    assert torch.equal(loaded(inputs), net(inputs))
    assert loaded.last.weight is loaded.first.weight
    assert type(loaded.first.weight) is torch.nn.Parameter
    loaded.train()(inputs).sum().backward()
    assert loaded.first.weight.grad is not None
    optimizer = torch.optim.Adam(loaded.parameters())
    optimizer.step()
    trip({"net": loaded.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, store)


def file_of(value: Any, store: LocalStore) -> bytes:
    packed = pack(value, store)
    assert packed.codec == "safetensors"
    return bytes(store.get(packed.blobs[0]))


def test_plain_dictionaries_are_safetensors_files(store: LocalStore) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    tensors = {
        name: (torch.arange(3000) % 2).reshape(3, 1000).to(getattr(torch, name))
        for name in DTYPES
        if name[:8] != "complex1"
    }
    del tensors["float8_e4m3fnuz"]
    tensors |= {'ü\n"': torch.tensor(1.0), "empty": torch.zeros(0, 7)}
    read = safetensors.load(file_of(tensors, store))
    assert sorted(read) == sorted(tensors)
    loaded = trip(tensors, store)
    assert list(loaded) == list(tensors)
    for name, tensor in tensors.items():
        assert_same(loaded[name], tensor)
        assert_same(read[name], tensor)
        if tensor.numel():
            assert loaded[name].data_ptr() % tensor.element_size() == 0
            assert loaded[name].untyped_storage().nbytes() == tensor.nbytes
    assert torch.equal(safetensors.load(file_of(torch.arange(9000.0), store))["tensor"], torch.arange(9000.0))


def test_state_dicts_are_safetensors_files(store: LocalStore) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    net = torch.nn.Sequential(torch.nn.Linear(50, 100), torch.nn.BatchNorm1d(100))
    state = net.state_dict()
    loaded = trip(state, store)
    assert type(loaded) is collections.OrderedDict
    assert list(loaded) == list(state)
    assert loaded._metadata == state._metadata
    net.load_state_dict(loaded)
    assert torch.equal(safetensors.load(file_of(state, store))["0.weight"], net[0].weight)


def test_what_a_file_would_not_keep_is_pickled(store: LocalStore) -> None:
    tensor = torch.arange(6.0).reshape(2, 3)
    marked = torch.arange(6.0)
    marked.note = "mine"
    odd: list[Any] = [
        {"a": tensor.T},
        {"a": torch.rand(3, requires_grad=True)},
        {"a": torch.nn.Parameter(tensor)},
        {"a": marked},
        {"a": tensor, "b": tensor},
        {"a": tensor, "b": tensor[0]},
        {"a": tensor, 1: tensor + 1},
        {"a": tensor, "b": 1},
        {"__metadata__": tensor},
        {"\ud800": tensor},
        {"a": torch.eye(3).to_sparse()},
        collections.defaultdict(None, a=tensor),
        marked,
    ]
    for value in odd:
        assert pack(value, store).codec == "pickle-canonical"
        trip(value, store)
    assert trip(marked, store).note == "mine"
    strange = collections.OrderedDict(a=tensor)
    strange.note = "mine"  # type: ignore[attr-defined]
    assert trip(strange, store).note == "mine"


def test_a_stored_tensor_is_loaded_by_a_process_that_has_not_imported_torch(store: LocalStore, tmp_path: Path) -> None:
    packed = pack([torch.arange(5000)], store), pack({"a": torch.arange(5000)}, store)
    script = (
        "import sys, msgspec; from headrace.model.values import Packed; from headrace.stores.codecs import unpack;"
        "from headrace.stores.artifacts.local import LocalStore; assert 'torch' not in sys.modules;"
        "one, two = msgspec.msgpack.decode(bytes.fromhex(sys.argv[1]), type=tuple[Packed, Packed]);"
        "store = LocalStore(sys.argv[2]); print(unpack(one, store)[0].sum(), unpack(two, store)['a'].sum())"
    )
    import msgspec

    argv = [sys.executable, "-c", script, msgspec.msgpack.encode(packed).hex(), store.url]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.count("12497500") == 2


def test_previews() -> None:
    assert preview(torch.arange(6.0).reshape(2, 3)).text == "float32 (2, 3): [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]"
    shown = preview(torch.zeros(500, 3))
    assert shown.text == "float32 (500, 3)"
    assert ("device", "cpu") in shown.facts
    assert preview(torch.nn.Parameter(torch.zeros(500))).text == "float32 (500,)"
    assert preview({"weight": torch.zeros(500, 3)}).text == "{'weight': <Tensor float32 (500, 3)>}"
    shown = preview(Net())
    assert shown.text == "Net of 10,400 parameters"
    assert any("Linear" in value for _, value in shown.facts)
    for make in TENSORS.values():
        assert "no preview" not in preview(make()).text
