"""Code packages as folders: what a manifest may say, and that a folder is whole or is written again."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.code import EXECUTABLE, CodeFile, CodePackage, decode_package, is_safe
from headrace.model.errors import BlobMissingError, StoreDamagedError, StoreError
from headrace.model.values import Blob
from headrace.runtime.code_folder import code_folder, install_code, package_at, remove_folders
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.artifacts.memory import MemoryStore
from headrace.stores.artifacts.protocol import ArtifactStore

DIGEST = blake3(b"x").digest()


def stored(store: ArtifactStore, files: dict[str, bytes], **rest: object) -> Blob:
    """A package with these files."""
    made = [CodeFile(path, store.put((content,)).digest, len(content)) for path, content in sorted(files.items())]
    return store.put((msgspec.structs.replace(CodePackage(tuple(made)), **rest).encode(),))


@pytest.fixture
def untouched() -> Iterator[None]:
    """What imports change is put back."""
    path, modules, finders = list(sys.path), set(sys.modules), list(sys.meta_path)
    yield
    sys.path[:], sys.meta_path[:] = path, finders
    for name in set(sys.modules) - modules:
        del sys.modules[name]


# --- manifests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "./a",
        "a/",
        "",
        ".",
        "..",
        "a\0b",
        "a\nb",
        "a\\b",
        "x" * 256,
        "a/" * 2500,
    ],
)
def test_a_path_that_leads_out_of_the_folder_is_refused(path: str) -> None:
    package = CodePackage((CodeFile(path, DIGEST, 1),))
    with pytest.raises(StoreDamagedError, match="refused"):
        decode_package(package.encode())


@pytest.mark.parametrize(
    "package",
    [
        CodePackage((CodeFile("b", DIGEST, 1), CodeFile("a", DIGEST, 1))),
        CodePackage((CodeFile("a", DIGEST, 1), CodeFile("a", DIGEST, 1))),
        CodePackage((CodeFile("a", DIGEST, 1), CodeFile("a/b", DIGEST, 1))),
        CodePackage((CodeFile("a", DIGEST, 1, 0o4755),)),
        CodePackage((CodeFile("a", b"short", 1),)),
        CodePackage((CodeFile("a", DIGEST, -1),)),
        CodePackage((CodeFile("a", DIGEST, 1),), ("../beside",)),
        CodePackage((CodeFile("a", DIGEST, 1),), ("",), (("os", "b"),)),
        CodePackage((CodeFile("a", DIGEST, 1),), ("",), (("a b", "a"),)),
        CodePackage((), format=2),
    ],
)
def test_a_manifest_that_no_packager_writes_is_refused(package: CodePackage) -> None:
    with pytest.raises(StoreDamagedError, match="refused"):
        decode_package(package.encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_an_error(data: bytes) -> None:
    try:
        decode_package(data)
    except StoreDamagedError:
        return
    assert decode_package(data).encode()


PATHS = st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=1, max_size=4).map("/".join)


@given(PATHS)
def test_a_safe_path_stays_below_its_folder(path: str) -> None:
    if is_safe(path):
        assert os.path.normpath(os.path.join("/folder", path)) == f"/folder/{path}"


# --- folders ------------------------------------------------------------------------------------------------------


def test_installed_modules_are_imported_ahead_of_others(tmp_path: Path, untouched: None) -> None:
    store = LocalStore(tmp_path / "store")
    files = {"src/code_one.py": b"X = 1", "odd/random.py": b"X = 2"}
    package = stored(store, files, folders=("", "src"), modules=(("flow_random", "odd/random.py"),))
    (tmp_path / "code_one.py").write_text("X = 'the wrong one'")
    sys.path.insert(0, str(tmp_path))
    folder = install_code(store, package, str(tmp_path / "cache"))
    assert sys.path[:2] == [folder, f"{folder}/src"]
    assert [__import__("code_one").X, __import__("flow_random").X] == [1, 2]
    assert install_code(store, package, str(tmp_path / "cache")) == folder
    assert sys.path.count(folder) == 1
    found = package_at(f"{folder}/src/code_one.py")
    assert found is not None
    assert (found.folder, found.package) == (folder, package)
    (tmp_path / "cache" / package.hex / "src/code_one.py").chmod(0o644)
    (tmp_path / "cache" / package.hex / "src/code_one.py").write_text("X = 3")
    assert package_at(f"{folder}/src/code_one.py") is None
    assert package_at(str(tmp_path / "code_one.py")) is None


def test_a_folder_is_private_and_its_files_are_for_reading(tmp_path: Path) -> None:
    store = MemoryStore()
    blob = store.put((b"#!/bin/sh\n",))
    manifest = CodePackage((CodeFile("run.sh", blob.digest, blob.size, EXECUTABLE),))
    package = store.put((manifest.encode(),))
    folder = Path(code_folder(store, package, manifest, str(tmp_path / "cache")))
    modes = [stat.S_IMODE(one.stat().st_mode) for one in (folder, folder / "run.sh", folder.parent)]
    assert modes == [0o700, 0o555, 0o700]


@pytest.mark.parametrize("damage", ["content", "size", "gone", "link", "open"])
def test_a_damaged_folder_is_written_again(tmp_path: Path, damage: str) -> None:
    store = MemoryStore()
    package = stored(store, {"a.py": b"X = 1", "b/c.py": b""})
    manifest = decode_package(store.get(package))
    folder = Path(code_folder(store, package, manifest, str(tmp_path)))
    file = folder / "a.py"
    if damage == "open":
        folder.chmod(0o755)
    else:
        file.unlink()
    if damage == "link":
        (tmp_path / "real.py").write_bytes(b"X = 1")
        file.symlink_to(tmp_path / "real.py")
    elif damage in ("content", "size"):
        file.write_bytes(b"X = 2" if damage == "content" else b"")
    assert code_folder(store, package, manifest, str(tmp_path)) == str(folder)
    assert (file.read_bytes(), file.is_symlink(), stat.S_IMODE(folder.stat().st_mode)) == (b"X = 1", False, 0o700)
    assert {one.name for one in tmp_path.iterdir()} - {"real.py"} == {folder.name, f"{folder.name}.manifest"}


def test_a_folder_of_links_is_not_written_through(tmp_path: Path) -> None:
    store = MemoryStore()
    package = stored(store, {"a.py": b"X = 1"})
    (tmp_path / "victim").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / package.hex).symlink_to(tmp_path / "victim")
    code_folder(store, package, decode_package(store.get(package)), str(tmp_path / "cache"))
    assert list((tmp_path / "victim").iterdir()) == []


def test_a_package_with_a_file_that_is_gone_leaves_no_folder(tmp_path: Path) -> None:
    store = MemoryStore()
    package = stored(store, {"a.py": b"X = 1"})
    store.delete([blake3(b"X = 1").digest()])
    with pytest.raises(BlobMissingError):
        code_folder(store, package, decode_package(store.get(package)), str(tmp_path))
    assert not [one for one in tmp_path.iterdir() if one.is_dir()]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    store = MemoryStore()
    package = stored(store, {"a.py": b""})
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be written to .*file/cache"):
        code_folder(store, package, decode_package(store.get(package)), str(tmp_path / "file/cache"))


def test_folders_that_no_run_needs_are_removed_once_they_are_old(tmp_path: Path) -> None:
    store = MemoryStore()
    packages = [stored(store, {"a.py": b"X = %d" % number}) for number in range(3)]
    for package in packages:
        code_folder(store, package, decode_package(store.get(package)), str(tmp_path))
    (tmp_path / f"{packages[0].hex}.1.draft").mkdir()
    (tmp_path / "0123456789abcdef.known").touch()
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - 7200,) * 2)
    code_folder(store, packages[2], decode_package(store.get(packages[2])), str(tmp_path))
    kept = {packages[0].hex}
    assert remove_folders(str(tmp_path), kept, time.time() - 3600) == 2  # one package, and the draft
    assert {one.name for one in tmp_path.iterdir() if one.is_dir()} == {packages[0].hex, packages[2].hex}
    assert (tmp_path / "0123456789abcdef.known").exists()
    assert remove_folders(str(tmp_path / "nowhere"), kept, 0.0) == 0


def test_several_at_once_get_one_folder(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    package = stored(store, {f"m{number}.py": b"X = %d" % number for number in range(20)})
    manifest = decode_package(store.get(package))
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(code_folder(store, package, manifest, str(tmp_path / "cache"))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert {one.name for one in (tmp_path / "cache").iterdir()} == {package.hex, f"{package.hex}.manifest"}


def test_a_fresh_interpreter_imports_from_a_package(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    package = stored(store, {"code_one.py": b"from code_two import X", "code_two.py": b"X = 5"})
    script = (
        "import sys\n"
        "from headrace.model.values import Blob\n"
        "from headrace.runtime.code_folder import install_code\n"
        "from headrace.stores.artifacts.local import LocalStore\n"
        "install_code(LocalStore(sys.argv[1]), Blob(bytes.fromhex(sys.argv[2]), int(sys.argv[3])), sys.argv[4])\n"
        "import code_one; print(code_one.X)"
    )
    words = [str(tmp_path / "store"), package.hex, str(package.size), str(tmp_path / "cache")]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "5\n", done.stderr
