"""Python's last collection is left out where no object needs it, and only there."""

import subprocess
import sys
from pathlib import Path

import pytest

_BEGIN = """
import atexit, gc, os, sys
atexit.register(lambda: print("frozen" if gc.get_freeze_count() > 1000 else "collected"))  # called last
from headrace._base.interpreter_end import quicken
quicken(lambda: print("closed"))
"""
_CYCLE = """
class Cycle:
    def __init__(self, held=None):
        self.me, self.held = self, held
"""


def _lines(code: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _BEGIN + _CYCLE + code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_process_without_finalizers_ends_without_the_last_collection() -> None:
    assert _lines("kept = Cycle()") == ["closed", "frozen"]


def test_object_in_a_cycle_is_finalized_while_its_modules_are_there() -> None:
    code = "class Last(Cycle):\n    def __del__(self): print(os.path.basename('gone'))\nkept = Last()"
    assert _lines(code) == ["closed", "collected", "gone"]


def test_file_that_a_cycle_holds_is_written(tmp_path: Path) -> None:
    lines = _lines("kept = Cycle(open(sys.argv[1], 'wb')); kept.held.write(b'text')", str(tmp_path / "file"))
    assert lines == ["closed", "collected"]
    assert (tmp_path / "file").read_text() == "text"


@pytest.mark.parametrize(
    "code",
    [
        "def generate():\n    try: yield\n    finally: print('left')\nkept = Cycle(generate()); next(kept.held)",
        "class Left:\n    def __exit__(self, *_): print('left')\n    __enter__ = lambda self: None\n"
        "def enter():\n    with Left(): yield\nkept = Cycle(enter()); next(kept.held)",
    ],
)
def test_generator_in_a_cycle_is_closed(code: str) -> None:
    assert _lines(code) == ["closed", "collected", "left"]


def test_database_connection_that_is_left_is_closed(tmp_path: Path) -> None:
    code = """
import sqlite3
kept = Cycle(sqlite3.connect(sys.argv[1])); kept.held.execute("PRAGMA journal_mode=WAL"); del kept.me
kept.held.execute("CREATE TABLE one (two)")
"""
    assert _lines(code, str(tmp_path / "file")) == ["closed", "collected"]
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_process_with_other_threads_ends_as_usual() -> None:
    code = "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    assert _lines(code) == ["collected"]


def test_forked_child_closes_nothing() -> None:
    code = "child = os.fork()\nif child: os.waitpid(child, 0); atexit.unregister(print)\n"
    assert _lines(code) == ["collected", "closed", "frozen"]
