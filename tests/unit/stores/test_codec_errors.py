"""Values that cannot be stored or loaded: one line that names the part to blame, and never a wrong value."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.model.errors import BlobMissingError, NotLoadableError, NotStorableError, StoreError
from headrace.model.values import Packed
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.artifacts.memory import MemoryStore
from headrace.stores.codecs import pack, preview, unpack
from headrace.testing.codecs import Point


class Model:
    def __init__(self) -> None:
        self.fine = 1
        self.lock = threading.Lock()


class Keeper:
    def __init__(self, **inner: object) -> None:
        self.__dict__.update(inner)


class Slotted:
    __slots__ = ("handle",)

    def __init__(self, handle: object) -> None:
        self.handle = handle


class Broken:
    def __reduce__(self) -> Any:
        raise RuntimeError("out of order")


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __len__(self) -> int:
        raise RuntimeError("no len")


def opened() -> Any:
    return open(__file__)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Model, "Model.lock (a _thread.lock) cannot be stored; make it when it is needed"),
        (lambda: [1, {"m": Model()}], "list[1]['m'].lock (a _thread.lock) cannot be stored"),
        (lambda: (1, Keeper(a=Keeper(b=Model()))), "tuple[1].a.b.lock (a _thread.lock)"),
        (lambda: Slotted(threading.Lock()), "Slotted.handle (a _thread.lock)"),
        (lambda: {"x": {threading.Lock()}}, "dict['x']{...} (a _thread.lock)"),
        (lambda: (item for item in ()), "a generator cannot be stored; return a list of its items instead"),
        (lambda: {"rows": (item for item in ())}, "dict['rows'] (a generator)"),
        (Broken, "Broken cannot be stored"),
        (lambda: Keeper(inner=Broken()), "Keeper.inner (a "),
        (lambda: sys._getframe(), "a frame cannot be stored"),
    ],
)
def test_the_part_to_blame_is_named(store: MemoryStore, make: Any, message: str) -> None:
    with pytest.raises(NotStorableError) as caught:
        pack(make(), store)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, TypeError)


def test_what_cloudpickle_would_change_is_refused(store: MemoryStore) -> None:
    with opened() as stream, pytest.raises(NotStorableError, match=r"dict\['f'\] .*TextIOWrapper.*headrace\.File"):
        pack({"f": stream}, store)
    with pytest.raises(NotStorableError, match=r"memoryview.*into bytes"):
        pack([memoryview(b"x")], store)


def test_what_a_closure_holds_is_named(store: MemoryStore) -> None:
    lock = threading.Lock()
    with pytest.raises(NotStorableError, match=r"variable lock.*_thread\.lock"):
        pack(lambda: lock, store)


def test_too_deep(store: MemoryStore) -> None:
    deep: list[Any] = []
    for _ in range(200_000):
        deep = [deep]
    with pytest.raises(NotStorableError, match="nested too deeply"):
        pack(deep, store)


def test_lambdas_local_classes_and_closures(store: MemoryStore) -> None:
    class Local:
        def __init__(self, value: int) -> None:
            self.value = value

    factor = 3
    loaded: Any = unpack(pack({"f": lambda x: x * factor, "o": Local(5), "s": {"a", "b"}}, store), store)
    assert loaded["f"](2) == 6
    assert loaded["o"].value == 5
    assert loaded["s"] == {"a", "b"}


def test_an_unknown_codec(store: MemoryStore) -> None:
    with pytest.raises(StoreError, match="'newer'"):
        unpack(Packed("newer", bytes(32), 0), store)


def test_a_lost_blob(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for value in (b"x" * 100_000, {"a": bytes(100_000), "b": (1,)}, list(range(50_000))):
        packed = pack(value, store)
        store.delete([blob.digest for blob in packed.blobs])
        with pytest.raises(BlobMissingError):
            unpack(packed, store)


def run(script: str, *arguments: str, seed: str = "random", cwd: Path | None = None) -> str:
    command = [sys.executable, "-W", "error", "-c", script, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, env={"PYTHONHASHSEED": seed}, cwd=cwd)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


STORE = """
import sys
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.codecs import pack, unpack
import msgspec
store = LocalStore(sys.argv[1])
"""

LOAD = (
    STORE
    + """
from headrace.model.values import Packed
packed = msgspec.msgpack.decode(bytes.fromhex(sys.argv[2]), type=Packed)
"""
)
SHOW = "print(msgspec.msgpack.encode(pack({}, store)).hex())"


def test_a_class_made_at_a_prompt_can_be_loaded_elsewhere(tmp_path: Path) -> None:
    made = "class Thing:\n    x = 1\n    def double(self): return self.x * 2\nthing = Thing()\nthing.x = 21\n"
    packed = run(STORE + made + SHOW.format("[thing]"), str(tmp_path)).strip()
    assert run(LOAD + "print(unpack(packed, store)[0].double())", str(tmp_path), packed) == "42\n"


def test_missing_code_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "shapes.py").write_text("class Square: pass\n")
    script = "import sys; sys.path.insert(0, 'mine')\nimport shapes\n" + STORE
    packed = run(script + SHOW.format("shapes.Square()"), "s", cwd=tmp_path).strip()
    store = LocalStore(tmp_path / "s")
    with pytest.raises(NotLoadableError, match="shapes"):
        unpack(msgspec.msgpack.decode(bytes.fromhex(packed), type=Packed), store)


DIGESTS = (
    STORE
    + """
import collections, random
chance = random.Random(5)

def word():
    return "".join(chance.choices("abcdef", k=4))

def make(depth):
    kind = chance.randrange(9 if depth else 3)
    if kind == 0: return chance.random()
    if kind == 1: return word()
    if kind == 2: return chance.randrange(-10**6, 10**6)
    if kind == 3: return [make(depth - 1) for _ in range(3)]
    if kind == 4: return {word(): make(depth - 1) for _ in range(3)}
    if kind == 5: return tuple(make(depth - 1) for _ in range(2))
    if kind == 6: return {word() for _ in range(5)}
    if kind == 7: return frozenset((word(), frozenset([word(), word()])) for _ in range(3))
    return {(word(), number): {word(), number} for number in range(3)}

class Local:
    def __init__(self): self.names = {"x", "y", "z"}; self.inner = frozenset([("a", "b"), ("c", "d")])

def closure():
    names = {"p", "q", "r"}
    return lambda: names

values = [make(4) for _ in range(300)]
values += [Local(), [Local, Local()], closure(), collections.Counter("hello"), {"a": {"b", "c"}, "raw": bytes(100_000)}]
shared = {"one", "two", "three"}
values += [[shared, shared], [shared, set(shared)]]
for value in values:
    print(pack(value, store).digest.hex())
"""
)


def test_digests_do_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    first, second, third = (run(DIGESTS, str(tmp_path), seed=seed).split() for seed in ("1", "2", "3"))
    assert [number for number, row in enumerate(zip(first, second, third, strict=True)) if len(set(row)) > 1] == []
    assert first[-1] == first[-2]


def test_a_lambda_keeps_its_digest_when_lines_above_it_change(store: MemoryStore) -> None:
    made = [eval(compile("\n" * lines + "lambda x: x + 1", f"<{lines}>", "eval"), {}) for lines in (0, 5)]
    other = eval("lambda x: x + 2", {})
    digests = [pack(function, store).digest for function in [*made, other]]
    assert digests[0] == digests[1] != digests[2]


def test_sets_that_hold_themselves(store: MemoryStore) -> None:
    keeper = Keeper()
    keeper.inside = {keeper, "a", "b"}  # type: ignore[attr-defined]
    loaded: Any = unpack(pack(keeper, store), store)
    assert loaded in loaded.inside
    deep = frozenset(["x"])
    for _ in range(40):
        deep = frozenset([(1, deep), (2, deep)])
    assert pack(deep, store).digest == pack(deep, store).digest


def test_previews_never_fail() -> None:
    assert "no preview" in preview(Rude()).text
    assert preview({"a": Rude()}).text == "{'a': <Rude>}"
    assert len(preview("x" * 10**6).text) == 2000
    assert preview(list(range(10**6))).facts == (("length", "1000000"),)
    assert preview(10**5000).type == "int"
    assert preview(Keeper(a=1)).facts == (("attributes", "a"),)
    assert preview({"i": 3}, pack({"i": 3}, MemoryStore())).text == "{'i': 3}"


@dataclasses.dataclass
class Fit:
    name: str
    losses: list[float]
    parts: dict[str, Any] = dataclasses.field(default_factory=dict)
    secret: str = dataclasses.field(default="x", repr=False)


def test_previews_are_one_line() -> None:
    expected: list[tuple[Any, str]] = [
        (None, "None"),
        (True, "True"),
        ("hello 1", "hello 1"),
        (b"ab", "b'ab'"),
        ([1, 2.5, "x"], "[1, 2.5, 'x']"),
        ((1,), "(1,)"),
        (set(), "set()"),
        ({3}, "{3}"),
        ({"a": [1, 2], "b": {"c": None}}, "{'a': [1, 2], 'b': {'c': None}}"),
        ({"a": [1, [2, 3]]}, "{'a': [1, <list of 2>]}"),
        ([list(range(100))], "[<list of 100>]"),
        (list(range(100)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...]"),
        (Point(1, "y"), "Point(x=1, y='y')"),
        ([Point(1, "y")], "[Point(x=1, y='y')]"),
        (Fit("a", [0.5] * 1000), "Fit(name='a', losses=<list of 1000>, parts={})"),
        (10**5000, "<int of 16,610 bits>"),
        (types.SimpleNamespace(a="1\n2"), "namespace(a='1\\n2')"),
    ]
    for value, text in expected:
        assert preview(value).text == text
        if type(value).__module__ == "builtins" and pack(value, MemoryStore()).codec == "json":
            assert preview(value, pack(value, MemoryStore())).text in (text, repr(value))
