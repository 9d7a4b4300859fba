"""Files and folders as values."""

from __future__ import annotations

import base64
import os
import pickle
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.model.errors import BlobCorruptError, NotStorableError
from headrace.model.values import Packed
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.artifacts.memory import MemoryStore
from headrace.stores.codecs import File, Folder, files, metadata_of, pack, preview, unpack
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


# --- the codecs ---------------------------------------------------------------------------------------------------

#: Manifests of ``data.csv`` and of a folder ``model`` with ``sub/a`` as earlier versions wrote them: pickles.
OLD_FILE = (
    "laZwaWNrbGXEIEzFsJ5z4SQ8vTRpYHran9r99+idvsti1kmubqbZcASwzILEeoAFlW8AAAAAAAAAjBxoZWFkcmFjZS5zdG9yZXMuY29kZWNz"
    "LmZpbGVzlIwIX3Jlc3RvcmWUk5SMBEZpbGWUjAhkYXRhLmNzdpRDKZGUoMKSxCDEIiPx+/KS9gSR4dBmbkmvS363WmM4UEG5g5Gs7PaFYgig"
    "lIeUUpQukZLEIMQiI/H78pL2BJHh0GZuSa9LfrdaYzhQQbmDkazs9oViCA=="
)
OLD_FOLDER = (
    "laZwaWNrbGXEIA6tn5ZaVPd1utIL9CqVPvnRtER5y6wAjMfTM90gJR+6f8R+gAWVcwAAAAAAAACMHGhlYWRyYWNlLnN0b3Jlcy5jb2RlY3Mu"
    "ZmlsZXOUjAhfcmVzdG9yZZSTlIwGRm9sZGVylIwFbW9kZWyUQy6RlKVzdWIvYcKSxCAXdi/d2WmkU5JdZXF6w+6iEyC2a1Q0L94VEo1sryEh"
    "XwGglIeUUpQukZLEIBd2L93ZaaRTkl1lcXrD7qITILZrVDQv3hUSjWyvISFfAQ=="
)


def test_file_is_stored_without_a_pickle(store: LocalStore, source: Path) -> None:
    packed = pack(File(source, {"rows": 1}), store)
    assert packed.codec == "file"
    assert msgspec.msgpack.decode(packed.inline)[0::2] == ["data.csv", {"rows": 1}]
    assert packed.size == 8
    assert b"_restore" not in packed.inline


def test_metadata_is_stored_with_the_file(store: LocalStore, source: Path) -> None:
    packed = pack(File(source, {"rows": 1, "columns": ["a", "b"]}), store)
    loaded: Any = unpack(packed, store)
    assert loaded.metadata == {"rows": 1, "columns": ["a", "b"]} == metadata_of(packed, store)
    assert pack(loaded, store) == packed
    assert pack(File(source), store).digest != packed.digest
    inside: Any = unpack(pack([File(source, {"rows": 1})], store), store)
    assert inside[0].metadata == {"rows": 1}
    assert ("rows", "1") in preview(loaded).facts
    with pytest.raises(NotStorableError, match=r"data.csv.*metadata"):
        pack(File(source, {"rows": object()}), store)


def test_stored_file_is_opened_without_a_copy_on_disk(store: LocalStore, source: Path, cache: Path) -> None:
    loaded: Any = unpack(pack(File(source), store), store)
    with loaded.open() as stream:
        assert list(stream) == ["a,b\n", "1,2\n"]
    with loaded.open("rb") as stream:
        assert stream.read(2) == b"a,"
        assert stream.seek(-2, os.SEEK_END) == 6
        assert stream.read() == b"2\n"
        stream.seek(0)
        assert stream.readline() == b"a,b\n"
        with pytest.raises(OSError, match="before the beginning"):
            stream.seek(-1)
    with loaded.open(encoding="utf-16", errors="replace", newline="") as stream:
        assert stream.encoding == "utf-16"
    assert loaded.size == 8
    assert not cache.exists()


def test_uri_leads_to_the_content(store: LocalStore, source: Path) -> None:
    loaded: Any = unpack(pack(File(source), store), store)
    with urllib.request.urlopen(loaded.uri) as answer:
        assert answer.read() == source.read_bytes()
    assert str(store.url) in loaded.uri
    assert File(source).uri == source.as_uri()


def test_folders_share_their_unchanged_files(store: LocalStore, tmp_path: Path) -> None:
    root = tmp_path / "model"
    (root / "sub").mkdir(parents=True)
    for number in range(20):
        (root / "sub" / f"{number}.txt").write_text(str(number))
    first = pack(Folder(root), store)
    (root / "sub" / "7.txt").write_text("changed")
    second = pack(Folder(root), store)
    assert len({blob.digest for blob in second.blobs} - {blob.digest for blob in first.blobs}) == 1
    assert len(list(store.list())) == 21
    entries = unpack(second, store).entries()  # type: ignore[attr-defined]
    assert entries == Folder(root).entries()
    assert entries[0] == ("sub/0.txt", 1, blake3(b"0").hexdigest())


def test_stored_folder_is_read_without_a_copy_on_disk(store: LocalStore, tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "model"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a").write_text("text")
    loaded: Any = unpack(pack(Folder(root, {"kind": "test"}), store), store)
    with loaded.open("./sub/a") as stream:
        assert stream.read() == "text"
    assert loaded.metadata == {"kind": "test"}
    assert not cache.exists()
    with pytest.raises(FileNotFoundError):
        loaded.open("no")


def test_manifest_of_many_files_is_a_blob(store: LocalStore, tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(1000):
        (root / f"{number}.txt").write_text(str(number % 3))
    packed = pack(Folder(root, {"a": 1}), store)
    assert (packed.inline, len(packed.blobs)) == (b"", 4)
    loaded: Any = unpack(packed, store)
    assert len(loaded.files()) == 1000
    assert pack(loaded, store) == packed
    assert metadata_of(packed, store) == {"a": 1}


def test_files_of_earlier_versions_are_loaded() -> None:
    store = MemoryStore()
    store.put((b"a,b\n1,2\n",))
    store.put((b"a",))
    file, folder = (msgspec.msgpack.decode(base64.b64decode(old), type=Packed) for old in (OLD_FILE, OLD_FOLDER))
    loaded: Any = unpack(file, store)
    assert (loaded.name, loaded.path.read_text(), loaded.metadata) == ("data.csv", "a,b\n1,2\n", {})
    loaded = unpack(folder, store)
    assert (loaded.name, loaded.files(), loaded.open("sub/a").read()) == ("model", ["sub/a"], "a")


_PARTS = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)


@given(st.dictionaries(st.tuples(st.sampled_from(["", "d/", "d/e/"]), _PARTS), st.binary(max_size=30), max_size=8))
@settings(max_examples=40)
def test_folder_is_the_same_after_a_round_trip(found: dict[tuple[str, str], bytes]) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "root")
        (root / "d" / "e").mkdir(parents=True)
        written = {}
        for (parent, name), content in found.items():
            path = root / parent / name
            if not path.is_dir():
                path.write_bytes(content)
                written[os.path.relpath(path, root)] = content
        store = MemoryStore()
        loaded: Any = unpack(pack(Folder(root), store), store)
        assert {path: loaded.open(path, "rb").read() for path in loaded.files()} == written
        copy = loaded.copy_to(Path(place, "copy"))
        assert Folder(copy).entries() == loaded.entries()
