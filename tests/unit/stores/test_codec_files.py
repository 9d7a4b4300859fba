"""Files and folders as values."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from headrace.model.errors import BlobCorruptError, NotStorableError
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.artifacts.memory import MemoryStore
from headrace.stores.codecs import File, Folder, files, pack, preview, unpack
from headrace.stores.codecs.pickling import dump


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "_checked", set())
    return tmp_path / "cache"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "data.csv"
    path.parent.mkdir()
    path.write_text("a,b\n1,2\n")
    return path


def test_a_file(store: LocalStore, source: Path, cache: Path) -> None:
    packed = pack(File(source), store)
    assert len(packed.blobs) == 1
    source.unlink()
    loaded: Any = unpack(packed, store)
    assert not cache.exists()
    assert loaded.name == "data.csv"
    assert loaded.path.name == "data.csv"
    assert loaded.path.is_relative_to(cache)
    assert loaded.path.read_text() == "a,b\n1,2\n"
    assert loaded.path.stat().st_mode & 0o777 == 0o444
    with loaded.open() as stream:
        assert stream.readline() == "a,b\n"
    assert os.fspath(loaded) == str(loaded.path)
    again: Any = unpack(packed, store)
    assert again == loaded
    assert again.path == loaded.path
    assert pack(loaded, store) == packed
    assert "data.csv" in preview(loaded).text


def test_only_a_copy_can_be_changed(store: LocalStore, source: Path, tmp_path: Path) -> None:
    source.chmod(0o755)
    loaded: Any = unpack(pack(File(source), store), store)
    with pytest.raises(PermissionError, match="copy_to"):
        loaded.open("a")
    copy = loaded.copy_to(tmp_path)
    assert copy == tmp_path / "data.csv"
    copy.write_text("changed")
    assert os.access(copy, os.X_OK)
    assert loaded.path.read_text() == "a,b\n1,2\n"


def test_files_inside_of_values(store: LocalStore, source: Path) -> None:
    file = File(source)
    packed = pack({"f": [file, file], "more": (File(source), {"a", "b"})}, store)
    assert len({blob.digest for blob in packed.blobs}) == 1
    loaded: Any = unpack(packed, store)
    assert loaded["f"][0] is loaded["f"][1]
    assert loaded["more"][0].path.read_text() == source.read_text()
    by_value = pack({"f": file, "g": lambda: 1}, store)
    assert [blob.digest for blob in by_value.blobs] == [packed.blobs[0].digest]


def test_digests_follow_name_and_content(store: LocalStore, source: Path) -> None:
    digest = pack(File(source), store).digest
    moved = source.parent / "elsewhere" / source.name
    moved.parent.mkdir()
    moved.write_bytes(source.read_bytes())
    assert pack(File(moved), store).digest == digest
    moved.write_text("other")
    assert pack(File(moved), store).digest != digest
    renamed = source.with_name("other.csv")
    renamed.write_bytes(source.read_bytes())
    assert pack(File(renamed), store).digest != digest


def test_an_empty_and_a_large_file(store: LocalStore, tmp_path: Path) -> None:
    for size in (0, 10_000_000):
        path = tmp_path / "x"
        path.write_bytes(os.urandom(size))
        loaded: Any = unpack(pack(File(path), store), store)
        assert loaded.path.read_bytes() == path.read_bytes()


def test_a_copy_in_the_cache_that_was_changed_is_made_again(
    store: LocalStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pack(File(source), store)
    path = unpack(packed, store).path  # type: ignore[attr-defined]
    path.chmod(0o644)
    path.write_text("a,b\n9,9\n")
    monkeypatch.setattr(files, "_checked", set())  # as another process
    assert unpack(packed, store).path.read_text() == "a,b\n1,2\n"  # type: ignore[attr-defined]


def test_between_stores(store: LocalStore, source: Path) -> None:
    other = MemoryStore()
    loaded = unpack(pack(File(source), store), store)
    moved: Any = unpack(pack(loaded, other), other)
    assert moved.path.read_text() == source.read_text()


def test_damage_is_noticed_when_the_file_is_used(source: Path) -> None:
    store = MemoryStore()
    packed = pack(File(source), store)
    loaded: Any = unpack(packed, store)
    store.blobs[packed.blobs[0].digest] = (b"x", 0.0)
    with pytest.raises(BlobCorruptError):
        _ = loaded.path


def test_a_plain_pickle_keeps_the_path(source: Path) -> None:
    assert pickle.loads(pickle.dumps(File(source))).path == source
    assert not dump(File(source)).by_value


def test_a_folder(store: LocalStore, tmp_path: Path) -> None:
    root = tmp_path / "model"
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "a.txt").write_text("a")
    (root / "sub" / "run.sh").write_text("#!/bin/sh\n")
    (root / "sub" / "run.sh").chmod(0o755)
    (root / "link").symlink_to("sub/run.sh")
    (root / "latest").symlink_to("sub")
    packed = pack(Folder(root), store)
    assert pack(Folder(root), store) == packed
    loaded: Any = unpack(packed, store)
    assert loaded.files() == ["a.txt", "latest", "link", "sub/run.sh"] == Folder(root).files()
    assert loaded.path.name == "model"
    assert (loaded.path / "sub" / "empty").is_dir()
    assert os.access(loaded.path / "sub" / "run.sh", os.X_OK)
    assert (loaded.path / "link").read_text() == "#!/bin/sh\n"
    assert (loaded.path / "latest" / "run.sh").exists()
    with loaded.open("a.txt") as stream:
        assert stream.read() == "a"
    copy = loaded.copy_to(tmp_path / "copy")
    (copy / "a.txt").write_text("changed")
    (copy / "new").write_text("new")
    assert pack(Folder(copy), store).digest != packed.digest


def test_what_is_added_to_a_folder_in_the_cache_does_not_stay(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "model"
    root.mkdir()
    (root / "a").write_text("a")
    packed = pack(Folder(root), store)
    path = unpack(packed, store).path  # type: ignore[attr-defined]
    (path / "b").write_text("b")
    monkeypatch.setattr(files, "_checked", set())
    fresh: Any = unpack(packed, store)
    assert [item.name for item in fresh.path.iterdir()] == ["a"]


def test_what_cannot_be_stored(store: LocalStore, tmp_path: Path) -> None:
    for missing in (File(tmp_path / "no"), Folder(tmp_path / "no"), File(tmp_path)):
        with pytest.raises(NotStorableError, match=str(missing._path)):
            pack([missing], store)
    root = tmp_path / "f"
    root.mkdir()
    (root / "out").symlink_to("/etc/passwd")
    with pytest.raises(NotStorableError, match=r"out.*outside"):
        pack(Folder(root), store)
    (root / "out").unlink()
    os.mkfifo(root / "pipe")
    with pytest.raises(NotStorableError, match=r"pipe.*regular"):
        pack(Folder(root), store)


def test_previews_name_the_file_and_what_is_in_the_folder(store: LocalStore, tmp_path: Path) -> None:
    home = tmp_path / "models"
    home.mkdir()
    (home / "a.bin").write_bytes(b"a")
    (home / "b.bin").write_bytes(b"b")
    for folder in (Folder(home), unpack(pack(Folder(home), store), store)):
        shown = preview(folder)
        assert (shown.type, shown.text) == ("headrace.Folder", "models: a.bin, b.bin")
        assert shown.facts == (("files", "2"),)
    shown = preview(File(home / "a.bin"))
    assert (shown.type, shown.text) == ("headrace.File", "a.bin")
