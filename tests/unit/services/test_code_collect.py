"""Which files are in a code package, and which are refused."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.model.errors import CodePackageError, UsageError
from headrace.services.code.collect import CodeRules, Collected, collect, project_root
from headrace.services.code.package import read_package, store_package
from headrace.services.code.patterns import check_pattern, matches
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.artifacts.memory import MemoryStore


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project; modules of it that a test imports are forgotten after it."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, **files: str) -> None:
    """Files by name, with ``__`` for ``/``; ``.py`` at the end of each name."""
    for name, text in files.items():
        path = folder / (name.replace("___", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def places(folder: Path, file: str = "train.py", **rules: object) -> list[str]:
    return sorted(collect(str(folder / file), CodeRules(**rules)).files)  # type: ignore[arg-type]


# --- modules ------------------------------------------------------------------------------------------------------


def test_modules_that_are_imported_inside_functions_are_in_the_package(folder: Path) -> None:
    write(
        folder,
        train="def f():\n    import one\n    from pack import two, four\n    import msgspec",
        one="def g():\n    import importlib; importlib.import_module('three')",
        three="",
        pack___two="from . import relative\nfrom .deep.er import x",
        pack___relative="",
        pack___four___deep="",
        pack___deep___er="",
        unused="",
    )
    (folder / "pack/__init__.py").write_text("")
    (folder / "pack/four/__init__.py").write_text("")
    expected = ["one.py", "pack/__init__.py", "pack/deep/er.py", "pack/four/__init__.py", "pack/relative.py"]
    assert places(folder) == [*expected, "pack/two.py", "three.py", "train.py"]


def test_modules_that_are_loaded_are_in_the_package(folder: Path) -> None:
    write(folder, train="", code_loaded="", lib___code_deep="")
    sys.path.insert(0, str(folder / "lib"))
    try:
        __import__("code_loaded")
        __import__("code_deep")
        found = collect(str(folder / "train.py"), CodeRules())
    finally:
        sys.path.remove(str(folder / "lib"))
    assert sorted(found.files) == ["code_loaded.py", "lib/code_deep.py", "train.py"]
    assert list(found.folders) == ["", "lib"]


def test_code_beside_the_project_gets_a_place_of_its_own(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for at in ("first", "second"):
        beside = tmp_path_factory.mktemp(at) / "lib"
        write(beside, **{f"beside_{at}": "", f"unused_{at}": ""})
        sys.path.append(str(beside))
    try:
        write(folder, train="import beside_first\ndef f(): import beside_second")
        found = collect(str(folder / "train.py"), CodeRules())
    finally:
        del sys.path[-2:]
    assert sorted(found.files) == [".path/lib-2/beside_second.py", ".path/lib/beside_first.py", "train.py"]
    assert sorted(found.folders) == ["", ".path/lib", ".path/lib-2"]


def test_a_module_with_a_name_of_its_own_is_remembered_by_it(folder: Path) -> None:
    from importlib.util import module_from_spec, spec_from_file_location

    write(folder, train="", odd___random="")
    spec = spec_from_file_location("flow_random", folder / "odd/random.py")
    assert spec is not None
    sys.modules["flow_random"] = module_from_spec(spec)
    found = collect(str(folder / "train.py"), CodeRules())
    assert found.modules == {"flow_random": "odd/random.py"}


def test_star_imports_reach_the_modules_of_a_package(folder: Path) -> None:
    write(folder, train="from pack import *", pack____a="", pack___b="")
    (folder / "pack/__init__.py").write_text("__all__ = ['b']")
    assert "pack/b.py" in places(folder)


def test_exclude_leaves_modules_out_but_never_the_flow(folder: Path) -> None:
    write(folder, train="import one, two", one="", two="")
    assert places(folder, exclude=("*.py",)) == ["train.py"]
    assert places(folder, exclude=("one.py", "other")) == ["train.py", "two.py"]


def test_the_project_is_the_nearest_folder_that_looks_like_one(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert project_root(str(deep / "train.py")) == str(deep)
    (tmp_path / "a" / ".headrace").mkdir()
    assert project_root(str(deep / "train.py")) == str(tmp_path / "a")
    (tmp_path / "pyproject.toml").touch()
    assert project_root(str(deep / "train.py")) == str(tmp_path)
    (deep / ".git").mkdir()
    assert project_root(str(deep / "train.py")) == str(deep)


# --- include ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("data/*.csv", ["data/a.csv", "data/b.csv"]),
        ("data", ["data/a.csv", "data/b.csv", "data/deep/c.csv", "data/deep/d.txt"]),
        ("data/**", ["data/a.csv", "data/b.csv", "data/deep/c.csv", "data/deep/d.txt"]),
        ("**/*.csv", ["data/a.csv", "data/b.csv", "data/deep/c.csv"]),
        ("data/deep/[cx].*", ["data/deep/c.csv"]),
        ("data/[!a].csv", ["data/b.csv"]),
        ("./data/a.csv", ["data/a.csv"]),
        ("data/?.csv", ["data/a.csv", "data/b.csv"]),
        (".hidden/x", [".hidden/x"]),
        ("nothing/*.csv", []),
    ],
)
def test_include_names_files_by_patterns(folder: Path, pattern: str, expected: list[str]) -> None:
    write(folder, train="")
    for place in ("data/a.csv", "data/b.csv", "data/deep/c.csv", "data/deep/d.txt", "data/.secret.csv", ".hidden/x"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(place)
    assert places(folder, include=(pattern,)) == sorted([*expected, "train.py"])
    assert places(folder, include=(pattern,), exclude=("data", ".hidden")) == ["train.py"]


@pytest.mark.parametrize("pattern", ["/etc/passwd", "../beside", "data/../../x", "~/x", "", "."])
def test_patterns_stay_in_the_project(pattern: str) -> None:
    with pytest.raises(UsageError, match="by their path from its root"):
        check_pattern(pattern)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # names of sockets may not be long
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(5 << 30)


MAKERS = {
    "a socket": _socket,
    "a pipe": lambda path: os.mkfifo(path),
    "does not exist": lambda path: None,
    "circle": lambda path: path.symlink_to(path.name),
    "out of the project": lambda path: path.symlink_to("/etc/hostname"),
    "has 5 GiB": _huge,
    "a device": lambda path: path.symlink_to("/dev/null"),
}


@pytest.mark.parametrize("problem", MAKERS)
def test_what_was_asked_for_by_name_and_cannot_be_kept_is_an_error(folder: Path, problem: str) -> None:
    write(folder, train="")
    (folder / "data").mkdir()
    MAKERS[problem](folder / "data/strange")
    with pytest.raises(CodePackageError, match=rf"data/strange .*{problem}.*`include`.*`exclude`"):
        places(folder, include=("data/strange",))


@pytest.mark.parametrize("problem", [one for one in MAKERS if one not in ("does not exist", "has 5 GiB")])
def test_what_a_pattern_matches_and_no_package_can_hold_is_left_out(folder: Path, problem: str) -> None:
    write(folder, train="")
    (folder / "data").mkdir()
    (folder / "data/good").touch()
    MAKERS[problem](folder / "data/strange")
    found = collect(str(folder / "train.py"), CodeRules(include=("data/*",)))
    assert sorted(found.files) == ["data/good", "train.py"]
    assert list(found.left_out) == ["data/strange"]
    assert collect(str(folder / "train.py"), CodeRules(include=("data",), exclude=("data/str*",))).left_out == {}


def test_a_large_file_in_the_project_costs_nothing_unless_it_is_asked_for(folder: Path) -> None:
    write(folder, train="")
    _huge(folder / "model.bin")
    assert places(folder) == ["train.py"]
    with pytest.raises(CodePackageError, match=r"model.bin has 5 GiB, and code_file_limit is 16 MiB"):
        places(folder, include=("*.bin",))


def test_all_files_together_have_a_limit(folder: Path) -> None:
    write(folder, train="")
    for name in "abc":
        (folder / f"{name}.csv").write_bytes(b"x" * 2000)
    with pytest.raises(CodePackageError, match=r"the code package has 5.9 KiB, and code_limit is 3.9 KiB; its largest"):
        places(folder, include=("*.csv",), limit=4000)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(folder: Path) -> None:
    write(folder, train="import closed", closed="")
    (folder / "closed.py").chmod(0)
    found = collect(str(folder / "train.py"), CodeRules())
    assert "Permission denied" in found.left_out["closed.py"]
    with pytest.raises(CodePackageError, match=r"closed.py cannot be read"):
        places(folder, include=("closed.py",))


CHANGE = """
import itertools, os, sys
print(flush=True)
for at in itertools.count():  # a write alone changes the time stamp only some hundred times a second
    os.utime(sys.argv[1], ns=(at * 1_000_000,) * 2)
"""


def test_a_file_that_changes_while_it_is_read_is_refused_in_the_end(folder: Path) -> None:
    write(folder, train="")
    changing = folder / "log.csv"
    changing.write_bytes(b"x" * (1 << 20))
    with subprocess.Popen([sys.executable, "-c", CHANGE, changing], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            with pytest.raises(CodePackageError, match=r"log.csv changed each of the 3 times it was read.*`exclude`"):
                for _ in range(1000):  # the other process may be off the processor while a file is read
                    places(folder, include=("log.csv",))
        finally:
            process.kill()
    assert places(folder, include=("log.csv",)) == ["log.csv", "train.py"]


# --- random trees -------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c.py", "d.csv", ".h", "__pycache__"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
TARGETS = st.sampled_from(["..", ".", "a", "../a", "../b/a", "/etc", "/etc/hostname", "nowhere", "d.csv"])
ENTRIES = st.dictionaries(
    PATHS,
    st.one_of(
        st.tuples(st.just("file"), st.binary(max_size=200)),
        st.tuples(st.just("link"), TARGETS),
        st.tuples(st.sampled_from(["socket", "pipe", "huge", "folder"]), st.just(b"")),
    ),
    max_size=14,
)
PATTERNS = st.lists(
    st.sampled_from(["**", "a", "a/**", "**/*.csv", "b/*", "*", "a/b/d.csv", ".h", "a/*/*"]), max_size=3
)


def _build(root: Path, tree: dict[str, tuple[str, bytes | str]]) -> None:
    for path, (kind, what) in tree.items():
        place = root / path
        with contextlib.suppress(OSError):  # the parent is a file, or a link to nowhere
            if not Path(os.path.realpath(place.parent)).is_relative_to(root):
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            if kind == "file":
                assert isinstance(what, bytes)
                place.write_bytes(what)
            elif kind == "link":
                place.symlink_to(str(what))
            elif kind == "folder":
                place.mkdir()
            else:
                {"socket": _socket, "pipe": os.mkfifo, "huge": _huge}[kind](place)


@given(tree=ENTRIES, include=PATTERNS, exclude=PATTERNS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_gives_a_package_of_its_files_or_one_error(
    tmp_path_factory: pytest.TempPathFactory,
    tree: dict[str, tuple[str, bytes | str]],
    include: list[str],
    exclude: list[str],
) -> None:
    root = tmp_path_factory.mktemp("tree").resolve()
    (root / "pyproject.toml").touch()
    (root / "train.py").write_text("import a, b.a, c")
    _build(root, tree)
    rules = CodeRules(include=tuple(include), exclude=tuple(exclude))
    try:
        found = collect(str(root / "train.py"), rules)
    except CodePackageError as error:
        assert "`include`" in str(error)
        return
    store = MemoryStore()
    _, blob = store_package(found, store, rules.file_limit)
    package = read_package(store, blob)
    assert "train.py" in {one.path for one in package.files}
    for one in package.files:
        path = root / one.path
        assert path.is_file()
        assert bytes(store.get(one.blob)) == path.read_bytes()
        assert one.path == "train.py" or not matches(one.path, rules.exclude)
        if not one.path.endswith(".py"):
            assert Path(os.path.realpath(path)).is_relative_to(root)
    for place in found.left_out:
        real = Path(os.path.realpath(root / place))
        assert not real.is_file() or not real.is_relative_to(root) or real.stat().st_size > rules.file_limit


# --- storing ------------------------------------------------------------------------------------------------------


def stored(found: Collected, store: LocalStore) -> str:
    return store_package(found, store, 1 << 20)[1].hex


def make_old(folder: Path) -> None:
    for path in folder.rglob("*.py"):
        os.utime(path, (time.time() - 3600,) * 2)


def test_equal_files_give_an_equal_digest_wherever_they_lie(tmp_path: Path) -> None:
    store, digests = LocalStore(tmp_path / "store"), set()
    for name in ("one", "two"):
        write(tmp_path / name, train="import helper", helper="x = 1")
        (tmp_path / name / "pyproject.toml").touch()
        digests.add(stored(collect(str(tmp_path / name / "train.py"), CodeRules()), store))
    assert len(digests) == 1
    (tmp_path / "two/helper.py").write_text("x = 2")
    digests.add(stored(collect(str(tmp_path / "two/train.py"), CodeRules()), store))
    (tmp_path / "two/helper.py").chmod(0o755)
    digests.add(stored(collect(str(tmp_path / "two/train.py"), CodeRules()), store))
    assert len(digests) == 3


def test_unchanged_files_are_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(folder / ".headrace/artifacts")
    write(folder, train="import helper", helper="x = 1")
    rules = CodeRules(known=str(folder / ".headrace/code"))
    monkeypatch.setattr(time, "time_ns", lambda: int((time.time() + 60) * 1e9))  # the files are a minute old
    first = stored(collect(str(folder / "train.py"), rules), store)
    again = collect(str(folder / "train.py"), rules)
    assert [one.content for one in again.files.values()] == [None, None]
    assert stored(again, store) == first
    (folder / "helper.py").write_text("x = 2")
    changed = collect(str(folder / "train.py"), rules)
    assert changed.files["helper.py"].content == b"x = 2"
    assert stored(changed, store) != first


def test_a_file_that_was_just_changed_is_read_again(folder: Path) -> None:
    store = LocalStore(folder / ".headrace/artifacts")
    write(folder, train="")
    rules = CodeRules(known=str(folder / ".headrace/code"))
    stored(collect(str(folder / "train.py"), rules), store)
    assert collect(str(folder / "train.py"), rules).files["train.py"].content == b""


def test_what_the_store_lost_is_stored_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(folder / ".headrace/artifacts")
    write(folder, train="import helper", helper="x = 1")
    rules = CodeRules(known=str(folder / ".headrace/code"))
    monkeypatch.setattr(time, "time_ns", lambda: int((time.time() + 60) * 1e9))
    first = store_package(collect(str(folder / "train.py"), rules), store, 1 << 20)[1]
    store.delete([one.digest for one in store.list()])
    assert store_package(collect(str(folder / "train.py"), rules), store, 1 << 20)[1] == first
    assert bytes(store.get(read_package(store, first).files[0].blob)) == b"x = 1"


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None])
def test_damaged_memory_of_files_is_forgotten(
    folder: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    store = LocalStore(folder / ".headrace/artifacts")
    write(folder, train="")
    rules = CodeRules(known=str(folder / ".headrace/code"))
    monkeypatch.setattr(time, "time_ns", lambda: int((time.time() + 60) * 1e9))
    first = stored(collect(str(folder / "train.py"), rules), store)
    [kept] = (folder / ".headrace/code").iterdir()
    content = kept.read_bytes()
    kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if damage is None else damage)
    again = collect(str(folder / "train.py"), rules)
    assert again.files["train.py"].content == b""
    assert stored(again, store) == first


def test_cells_of_a_notebook_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "get_ipython", lambda: None, raising=False)
    monkeypatch.setattr(main, "In", ["", "x = 1", "  ", "print(x)"], raising=False)
    found = collect("", CodeRules())
    cells = {place: one.content for place, one in found.files.items() if place.startswith(".cells/")}
    assert cells == {".cells/0001.py": b"x = 1", ".cells/0003.py": b"print(x)"}
