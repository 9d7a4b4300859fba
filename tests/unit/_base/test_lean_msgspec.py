"""msgspec is imported without typing_extensions, and everybody else finds that as before."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="typing lacks what msgspec needs")


def _lines(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_flow_file_loads_msgspec_without_what_typing_extensions_imports() -> None:
    code = (
        "import sys; from headrace import flow; "
        "print(*[name in sys.modules for name in ('msgspec', 'typing_extensions', 'inspect', 'ast')])"
    )
    assert _lines(code) == ["True", "False", "False", "False"]


def test_typed_dictionary_of_typing_extensions_is_read_as_with_it() -> None:
    code = """
import sys
from headrace import flow
import msgspec
import typing_extensions as te
class Point(te.TypedDict):
    x: te.Annotated[int, msgspec.Meta(ge=0)]
    y: te.NotRequired[int]
print(msgspec.json.decode(b'{"x": 1}', type=Point) == {"x": 1}, len(sys.meta_path))
try:
    msgspec.json.decode(b'{"x": -1}', type=Point)
except msgspec.ValidationError:
    print("refused")
"""
    before = subprocess.run(
        [sys.executable, "-c", "import sys; print(len(sys.meta_path))"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert _lines(code) == ["True", before, "refused"]


def test_other_threads_find_typing_extensions_meanwhile() -> None:
    code = """
import sys, threading
from headrace._base import lean_msgspec
for name in [one for one in sys.modules if one.partition(".")[0] in ("msgspec", "typing_extensions")]:
    del sys.modules[name]
hides = lean_msgspec._Hides()
sys.meta_path.insert(0, hides)
found = []
def find():
    import typing_extensions
    found.append(typing_extensions.__name__)
thread = threading.Thread(target=find)
try:
    import typing_extensions
except ModuleNotFoundError:
    found.append("hidden")
thread.start(); thread.join()
print(*found)
"""
    assert _lines(code) == ["hidden", "typing_extensions"]
