"""Modules are written to a folder and read in processes of their own: a fingerprint must not depend on either."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from headrace.identity.fingerprint import fingerprint

_SHOW = """
import json, sys
sys.path.insert(0, sys.argv[1])
import {module}
from headrace.identity.fingerprint import fingerprint
found = fingerprint({module}.{name})
print(json.dumps([found.digest.hex(), {{name: digest.hex() for name, digest in found.parts.items()}}]))
"""

HELPERS = """
    import json

    SCALE = 3

    class Base:
        def run(self, x):
            return x + 1

    def clean(x):
        # a comment
        return inner(x) * SCALE

    def inner(x):
        return [i for i in range(x)]

    def unused(x):
        return 1
    """
FLOW = """
    import functools
    import math
    import helpers
    from helpers import Base

    RATE = 0.5
    NAMES = {"a", "b", "c", "d"}
    TABLE = {"x": [1, 2, (3, None)], "y": {"z"}}

    class Model(Base):
        depth = 3

        def fit(self, x):
            return super().run(x) + self.depth

    @functools.lru_cache
    def quick(x):
        return x + 7

    def fit(frame, rate=RATE, *, deep=(1, 2)):
        def local(x):
            return x * 2
        total = 0
        for name in sorted(NAMES):
            total += helpers.clean(len(name)) and 1
        while True:
            if total > 3:
                break
            total += quick(1)
        return Model().fit(local(total)), TABLE, math.sqrt(2)

    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)
    """


class Lab:
    """A folder of modules, and fingerprints of what is in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("helpers", HELPERS)
        self.write("flow", FLOW)

    def write(self, module: str, source: str) -> None:
        path = self.folder / f"{module.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source))

    def edit(self, module: str, old: str, new: str) -> None:
        path = self.folder / f"{module}.py"
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        path.write_text(text.replace(old, new))

    def show(self, name: str = "fit", module: str = "flow", seed: str = "0") -> tuple[str, dict[str, str]]:
        code = _SHOW.format(module=module, name=name)
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", code, str(self.folder)], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        digest, parts = json.loads(done.stdout)
        return digest, parts


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_it_is_the_same_in_every_process(lab: Lab) -> None:
    assert lab.show(seed="1") == lab.show(seed="2") == lab.show(seed="3")


def test_it_names_what_it_is_made_of(lab: Lab) -> None:
    digest, parts = lab.show()
    assert len(digest) == 64
    assert list(parts) == [
        "flow.Model",
        "flow.Model.fit",
        "flow.NAMES",
        "flow.TABLE",
        "flow.fit",
        "flow.quick",
        "helpers.Base",
        "helpers.Base.run",
        "helpers.SCALE",
        "helpers.clean",
        "helpers.inner",
    ]


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("helpers", "# a comment", "# another\n    # one\n"),
        ("helpers", "def clean(x):", 'def clean(x):\n    """What it does."""'),
        ("helpers", "import json", "import json\n\n\n\n"),
        ("helpers", "return 1", "return 2"),
        ("flow", "def fit(frame,", "def fit(\n    frame,\n"),
        ("flow", "while True:", "while True:\n\n        # round and round"),
        ("flow", "class Model(Base):", 'class Model(Base):\n    """A model."""\n'),
        ("flow", "        total = 0", "        total = (\n            0\n        )"),
        ("flow", "if total > 3:", "if (\n            total > 3\n        ):"),
        ("flow", "def local(x):", 'def local(x):\n        "Local."'),
        ("flow", "return n == 0", "return n == 1"),
    ],
)
def test_edits_that_do_not_matter(lab: Lab, module: str, old: str, new: str) -> None:
    if old.startswith("        total"):
        old, new = old[4:], new[4:]
    before = lab.show()
    lab.edit(module, old, new)
    assert lab.show() == before


@pytest.mark.parametrize(
    ("module", "old", "new", "parts"),
    [
        ("helpers", "SCALE = 3", "SCALE = 4", {"helpers.SCALE"}),
        ("helpers", "range(x)", "range(x + 1)", {"helpers.inner"}),
        ("helpers", "return x + 1", "return x - 1", {"helpers.Base.run"}),
        ("flow", "RATE = 0.5", "RATE = 0.25", {"flow.fit"}),
        ("flow", '"d"}', '"e"}', {"flow.NAMES"}),
        ("flow", "(3, None)", "(3, False)", {"flow.TABLE"}),
        ("flow", "depth = 3", "depth = 4", {"flow.Model"}),
        ("flow", "return x + 7", "return x + 8", {"flow.quick"}),
        ("flow", "return x * 2", "return x / 2", {"flow.fit"}),
        ("flow", "deep=(1, 2)", "deep=(1, 3)", {"flow.fit"}),
        ("flow", "total > 3", "total >= 3", {"flow.fit"}),
        ("flow", "math.sqrt", "math.cbrt", {"flow.fit"}),
    ],
)
def test_edits_that_matter(lab: Lab, module: str, old: str, new: str, parts: set[str]) -> None:
    digest, before = lab.show()
    lab.edit(module, old, new)
    changed, after = lab.show()
    assert changed != digest
    assert {name for name in before | after if before.get(name) != after.get(name)} == parts


def test_functions_that_call_each_other(lab: Lab) -> None:
    digest, parts = lab.show("even")
    assert list(parts) == ["flow.even", "flow.odd"]
    lab.edit("flow", "return n != 0", "return 0 != n")
    assert lab.show("even")[0] != digest


def test_imports_inside_functions_are_followed_without_running_them(lab: Lab) -> None:
    lab.write("pkg.__init__", "raise SystemExit('nobody may run this')\n")
    lab.write("pkg.deep", "from . import other\n\ndef go(): return other.VALUE\n")
    lab.write("pkg.other", "VALUE = 1  # one\n")
    lab.write("lazy", "def step():\n    import json\n    import numpy\n    from pkg.deep import go\n    return go()\n")
    digest, parts = lab.show("step", "lazy")
    assert list(parts) == ["lazy.step", "pkg", "pkg.deep", "pkg.other"]
    lab.edit("pkg/other", "# one", "# the first")
    assert lab.show("step", "lazy")[0] == digest
    lab.edit("pkg/other", "VALUE = 1", "VALUE = 2")
    assert lab.show("step", "lazy")[0] != digest


def test_a_module_imported_in_a_function_counts_the_same_when_it_is_loaded(lab: Lab) -> None:
    lab.write("lazy", "def step():\n    import helpers\n    return helpers.clean(1)\n")
    before = lab.show("step", "lazy")
    lab.write("lazy", "import helpers as _\n\ndef step():\n    import helpers\n    return helpers.clean(1)\n")
    assert lab.show("step", "lazy") == before


def test_the_main_script_counts_as_the_module_it_would_be(lab: Lab) -> None:
    source = """
    RATE = 2
    def helper(x): return x * RATE
    def step(x): return helper(x)
    if __name__ == "__main__":
        from headrace.identity.fingerprint import fingerprint
        print(fingerprint(step).digest.hex())
    """
    lab.write("script", source)
    done = subprocess.run([sys.executable, str(lab.folder / "script.py")], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == lab.show("step", "script")[0]


# --- values -------------------------------------------------------------------------------------------------------

VALUES = """
    import collections, datetime, enum, functools, logging, random, re, threading, typing
    from dataclasses import dataclass, field
    from pathlib import Path
    import msgspec
    import numpy as np

    class Colour(enum.Enum):
        RED = "r"
        BLUE = "b"

    @dataclass
    class Config:
        rate: float = 0.5
        names: set = field(default_factory=lambda: {"a", "b", "c"})

    @dataclass(frozen=True, slots=True)
    class Frozen:
        x: int = 3

    class Row(typing.NamedTuple):
        a: int = 4

    class Record(msgspec.Struct):
        a: int = 5

    class Locked:
        def __init__(self):
            self.lock = threading.Lock()
            self.value = 6

    class Lazy:
        @functools.cached_property
        def cached(self):
            return 7

        @property
        def own(self):
            return 8

        @classmethod
        def of_class(cls):
            return 9

        @staticmethod
        def static():
            return 10

    def decorate(func):
        @functools.wraps(func)
        def inner(*values):
            return func(*values), 11
        return inner

    @decorate
    def decorated(x):
        return x + 12

    def make(n):
        def add(x):
            return x + n
        return add

    PLAIN = {
        "config": Config(), "frozen": Frozen(), "row": Row(), "record": Record(), "locked": Locked(), "lazy": Lazy(),
        "colour": Colour.RED, "words": frozenset({"x", "y", "z"}), "counter": collections.Counter("abc"),
        "array": np.arange(13.0), "strided": np.arange(40).reshape(8, 5)[:, ::2], "kind": np.dtype("f4"),
        "date": datetime.date(2014, 1, 1), "path": Path("fifteen"), "pattern": re.compile("sixteen"),
        "random": random.Random(17), "part": functools.partial(decorated, 18), "log": logging.getLogger("x"),
        "lock": threading.Lock(), "generator": (i for i in range(3)), "alias": list[int], "nothing": None,
    }
    PLAIN["self"] = PLAIN
    ADDERS = [make(19), make(20)]

    def step():
        return PLAIN, ADDERS
    """


@pytest.fixture
def zoo(tmp_path: Path) -> Lab:
    lab = Lab(tmp_path)
    lab.write("zoo", VALUES)
    return lab


def test_values_of_many_kinds_are_the_same_in_every_process(zoo: Lab) -> None:
    assert zoo.show("step", "zoo", seed="1") == zoo.show("step", "zoo", seed="2")


def test_every_value_counts(zoo: Lab) -> None:
    edits = [
        *((text, f"{text}9") for text in ("self.value = 6", "return 7", "return 8", "return 9", "return 10", ", 11")),
        *((text, f"{text}9") for text in ("x + 12", "arange(13", "Random(17", "decorated, 18", "make(19", "make(20")),
        ('"r"', '"q"'), ("0.5", "0.25"), ('{"a", "b", "c"}', '{"a", "b", "d"}'), ("x: int = 3", "x: int = 33"),
        ("a: int = 4", "a: int = 44"), ("a: int = 5", "a: int = 55"), ('"z"', '"w"'), ('"abc"', '"abcc"'),
        ("arange(40)", "arange(1, 41)"), ('"f4"', '"f8"'), ("2014, 1, 1", "2014, 1, 2"), ("fifteen", "FIFTEEN"),
        ("sixteen", "SIXTEEN"), ("list[int]", "list[str]"), ('"nothing": None', '"nothing": 0'),
    ]  # fmt: skip
    script = dedent("""
        import json, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        from headrace.identity.fingerprint import fingerprint
        source, edits = Path(sys.argv[1], "zoo.py").read_text(), json.loads(sys.argv[2])
        def digest(text):
            import types
            module = sys.modules["zoo"] = types.ModuleType("zoo")
            exec(text, module.__dict__)
            return fingerprint(module.step).digest
        before = digest(source)
        assert digest(source) == before
        missed = []
        for old, new in edits:
            assert old in source, old
            if digest(source.replace(old, new, 1)) == before:
                missed.append(old)
        print(missed)
        """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(zoo.folder), json.dumps(edits)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_what_is_redefined_in_a_notebook_is_noticed() -> None:
    cells: dict[str, object] = {"__name__": "__main__"}
    exec("def helper(x): return x\nSIZES = [1, 2]\ndef step(): return helper(SIZES)", cells)
    step = cells["step"]
    assert callable(step)
    first = fingerprint(step).digest
    assert fingerprint(step).digest == first
    exec("def helper(x): return -x", cells)
    second = fingerprint(step).digest
    exec("SIZES.append(3)", cells)
    assert len({first, second, fingerprint(step).digest}) == 3


def test_wrappers_methods_classes_and_library_functions() -> None:
    def plain() -> int:
        return 1

    class Step:
        __wrapped__ = staticmethod(plain)

        def __call__(self) -> int:
            return 1

    class Odd:
        def __getattr__(self, name: str) -> object:
            raise RuntimeError(name)

        def method(self) -> int:
            return 2

    assert list(fingerprint(Step()).parts)[-1].endswith("<locals>.plain")
    assert any(name.endswith("Odd.method") for name in fingerprint(Odd().method).parts)
    assert any(name.endswith("Odd.method") for name in fingerprint(Odd).parts)
    assert list(fingerprint(json.dumps).parts) == ["json.dumps"]
    assert list(fingerprint(len).parts) == ["builtins.len"]


def test_a_value_that_contains_itself_deeply_ends() -> None:
    nested: list[object] = []
    for _ in range(500):
        nested = [nested, nested]
    assert len(fingerprint(lambda: nested).digest) == 32
