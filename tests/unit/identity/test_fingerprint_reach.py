"""Which of the user's code counts in a fingerprint, by the ways in which code reaches other code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

#: Each function reaches ``deep`` in another way; ``alone`` does not.
REACHING = """
import abc, collections, contextlib, dataclasses, enum, functools, operator, threading, types, weakref
from deep import deep
import foreign

def alone(x):
    return x

@functools.singledispatch
def chosen(x):
    return x

@chosen.register
def _(x: int):
    return deep(x)

def by_dispatch(x):
    return chosen(x)

class Dispatching:
    @functools.singledispatchmethod
    def run(self, x):
        return x

    @run.register
    def _(self, x: int):
        return deep(x)

def by_dispatching_method(x):
    return Dispatching().run(x)

def bearer(x):
    return bearer.helper(x)

bearer.helper = deep

def by_attribute(x):
    return bearer(x)

REGISTRY = {}

def register(function):
    REGISTRY[function.__name__] = function
    return function

@register
def entered(x):
    return deep(x)

def by_registry(name, x):
    return REGISTRY[name](x)

HANDLERS = [("a", (deep, 1))]

def by_list(x):
    return HANDLERS[0][1][0](x)

half = functools.partial(deep)

def by_partial(x):
    return half(x)

class Bag:
    def __init__(self):
        self.lock = threading.Lock()
        self.function = deep

BAG = Bag()

def by_instance_with_a_lock(x):
    return BAG.function(x)

class Methods:
    call = staticmethod(deep)
    other = classmethod(lambda cls, x: deep(x))
    table = {"deep": deep}

    @property
    def value(self):
        return deep(1)

    @functools.cached_property
    def late(self):
        return deep(2)

    part = functools.partialmethod(lambda self, x: deep(x), 1)

def by_property(it):
    return Methods().value

def by_default(x, function=deep):
    return function(x)

def by_keyword_default(x, *, function=deep):
    return function(x)

def decorated(function):
    def wrapper(x):
        return function(x)
    return wrapper

@decorated
def plain(x):
    return deep(x)

def by_decorator(x):
    return plain(x)

@foreign.bare
def bare(x):
    return deep(x)

def by_decorator_of_a_library(x):
    return bare(x)

@foreign.Wrapper
def held(x):
    return deep(x)

def by_object_of_a_library(x):
    return held(x)

@functools.lru_cache(maxsize=3)
def remembered(x):
    return deep(x)

def by_cache(x):
    return remembered(x)

@contextlib.contextmanager
def around(x):
    yield deep(x)

def by_context_manager(x):
    with around(x) as y:
        return y

def by_nested_function(x):
    def inner(y):
        return [deep(z) for z in y]
    return inner([x])

class Meta(type):
    def __call__(cls, *args):
        return deep(1)

class Made(metaclass=Meta):
    pass

def by_metaclass(x):
    return Made()

class Kind(enum.Enum):
    A = 1

    def run(self, x):
        return deep(x)

def by_member(x):
    return Kind.A.run(x)

@dataclasses.dataclass
class Record:
    x: int = dataclasses.field(default_factory=lambda: deep(1))

def by_factory(x):
    return Record()

SPACE = types.SimpleNamespace(run=deep)

def by_namespace(x):
    return SPACE.run(x)

WEAK = weakref.ref(deep)

def by_weak_reference(x):
    return WEAK()(x)

METHOD = Methods().table.get

def by_bound_method_of_a_builtin(x):
    return METHOD("deep")(x)

Pair = collections.namedtuple("Pair", "a b")
PAIR = Pair(deep, 2)

def by_named_tuple(x):
    return PAIR.a(x)

class Plugin:
    kinds = []

    def __init_subclass__(cls):
        Plugin.kinds.append(cls)

class Deep(Plugin):
    def run(self, x):
        return deep(x)

def by_subclass_registry(x):
    return Plugin.kinds[0]().run(x)
"""
#: In the place of an installed package.
FOREIGN = """
import threading

def bare(function):
    def wrapper(*args):
        return function(*args)
    return wrapper

class Wrapper:
    def __init__(self, function):
        self.wrapped = function
        self.lock = threading.Lock()
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return self.wrapped(x)
"""
DEEP = """
def deep(x):
    return x + 1
"""
SHOW = """
import json, sys
sys.path[:0] = sys.argv[1:3]
import reaching
if "call" in sys.argv:
    reaching.chosen(1), reaching.held(2), reaching.remembered(3), reaching.Dispatching().run(1)
from headrace.identity.fingerprint import fingerprint
found = {n: fingerprint(f).digest.hex() for n, f in vars(reaching).items() if n.startswith(("by_", "alone"))}
print(json.dumps(found))
"""


def digests(folder: Path, *arguments: str, seed: str = "0") -> dict[str, str]:
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", SHOW, str(folder), str(folder / "site-packages"), *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "foreign.py").write_text(dedent(FOREIGN))
    (tmp_path / "reaching.py").write_text(REACHING)
    (tmp_path / "deep.py").write_text(DEEP)
    return tmp_path


def test_code_counts_however_it_is_reached(folder: Path) -> None:
    before = digests(folder)
    (folder / "deep.py").write_text(DEEP.replace("+ 1", "+ 2"))
    after = digests(folder)
    assert len(before) > 20
    assert [name for name in before if before[name] == after[name]] == ["alone"]


def test_what_calls_leave_in_dispatchers_and_caches_does_not_count(folder: Path) -> None:
    before = digests(folder)
    assert digests(folder, "call", seed="1") == before == digests(folder, seed="2")


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("def _(x: int):\n    return deep(x)\n\ndef by", "def _(x: str):\n    return deep(x)\n\ndef by", "by_dispatch"),
        ("bearer.helper = deep", "bearer.helper = deep\nbearer.limit = 3", "by_attribute"),
        ("default_factory=lambda: deep(1)", "default_factory=lambda: deep(2)", "by_factory"),
        ("    A = 1", "    A = 2", "by_member"),
        ("functools.partial(deep)", "functools.partial(deep, 2)", "by_partial"),
    ],
)
def test_what_is_held_beside_the_code_counts_too(folder: Path, old: str, new: str, name: str) -> None:
    before = digests(folder)
    assert REACHING.count(old) == 1
    (folder / "reaching.py").write_text(REACHING.replace(old, new))
    after = digests(folder)
    assert [one for one in before if before[one] != after[one]] == [name]
