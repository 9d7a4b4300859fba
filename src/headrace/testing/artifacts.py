# ruff: noqa: D102 - the names of tests say what they check
"""What every artifact store must do, as tests: subclass ``ArtifactStoreSuite`` and give it a store.

class TestMyStore(ArtifactStoreSuite):
    @pytest.fixture
    def store(self): return MyStore(...)

    def overwrite(self, store, blob, content): ...
"""

from __future__ import annotations

import itertools
import multiprocessing
import random
import threading
from collections.abc import Iterable

import pytest
from blake3 import blake3

from headrace.model.errors import BlobCorruptError, BlobMissingError
from headrace.model.values import Blob
from headrace.stores.artifacts.protocol import ArtifactStore

#: Sizes around every threshold of the stores here: empty, small, mapped, hashed in threads, sent in parts.
SIZES = (0, 1, 1000, 65_535, 65_536, 65_537, 1 << 20, (4 << 20) - 1, (4 << 20) + 1, (17 << 20) + 3)


def content(size: int, seed: int = 0) -> bytes:
    """Bytes that do not repeat."""
    return random.Random(seed).randbytes(size)


class ArtifactStoreSuite:
    """The contract of ``ArtifactStore``. A subclass provides the fixture ``store`` (empty) and ``overwrite``."""

    #: Whether the pickled store, opened by another process, is the same store.
    between_processes = True

    @pytest.fixture
    def store(self) -> ArtifactStore:
        """An empty store."""
        raise NotImplementedError

    def overwrite(self, store: ArtifactStore, blob: Blob, content: bytes) -> None:
        """Put other bytes under the name of ``blob``, as a broken disk or a stranger would."""
        raise NotImplementedError

    @pytest.mark.parametrize("size", SIZES)
    def test_gives_back_what_was_put(self, store: ArtifactStore, size: int) -> None:
        data = content(size)
        blob = store.put((data,))
        assert blob == Blob(blake3(data).digest(), size)
        assert bytes(store.get(blob)) == data

    def test_parts_are_one_blob(self, store: ArtifactStore) -> None:
        data = content((20 << 20) + 7)
        cuts = [0, 0, 5, 70_000, 9 << 20, len(data)]
        parts = [memoryview(data)[start:end] for start, end in itertools.pairwise(cuts)]
        assert store.put(parts) == store.put((data,)) == Blob(blake3(data).digest(), len(data))

    def test_no_parts_are_an_empty_blob(self, store: ArtifactStore) -> None:
        assert bytes(store.get(store.put(()))) == b""

    def test_views_of_items_wider_than_a_byte(self, store: ArtifactStore) -> None:
        data = content(8000)
        assert store.put((memoryview(data).cast("I"),)) == store.put((bytearray(data),))

    @pytest.mark.parametrize("size", (100, 200_000, 17 << 20))
    def test_views_are_writable_and_private(self, store: ArtifactStore, size: int) -> None:
        data = content(size)
        blob = store.put((data,))
        view = store.get(blob)
        assert not view.readonly
        view[0] ^= 0xFF
        assert bytes(store.get(blob)) == data

    def test_a_view_outlives_its_blob(self, store: ArtifactStore) -> None:
        data = content(1 << 20)
        blob = store.put((data,))
        view = store.get(blob)
        store.delete([blob.digest])
        assert bytes(view) == data

    def test_putting_again_changes_nothing(self, store: ArtifactStore) -> None:
        for size in (10, 100_000, 5 << 20):
            data = content(size, seed=size)
            assert store.put((data,)) == store.put((data,))
        assert len(list(store.list())) == 3

    def test_missing_blob(self, store: ArtifactStore) -> None:
        absent = Blob(bytes(32), 5)
        with pytest.raises(BlobMissingError, match="00000000") as missing:
            store.get(absent)
        assert missing.value.digest == absent.digest
        with pytest.raises(BlobMissingError):
            store.get(Blob(bytes(32), 100 << 20))

    def test_lists_what_is_there(self, store: ArtifactStore) -> None:
        assert list(store.list()) == []
        blobs = [store.put((content(size),)) for size in (0, 10, 70_000)]
        assert {(info.digest, info.size) for info in store.list()} == {(blob.digest, blob.size) for blob in blobs}
        assert all(info.modified > 1_600_000_000 for info in store.list())

    def test_tells_what_is_missing(self, store: ArtifactStore) -> None:
        here, other = store.put((b"here",)), Blob(bytes(32), 4)
        assert store.missing([]) == []
        assert store.missing([here, other, Blob(here.digest, 5)]) == [other, Blob(here.digest, 5)]

    def test_delete(self, store: ArtifactStore) -> None:
        one, two = store.put((b"one",)), store.put((b"seven",))
        assert store.delete([]) == 0
        assert store.delete([one.digest, bytes(32)]) == 3
        assert store.missing([one, two]) == [one]
        assert store.put((b"one",)) == one
        assert store.missing([one, two]) == []

    @pytest.mark.parametrize("size", (1000, 100_000, 17 << 20))
    @pytest.mark.parametrize("damage", ("truncated", "emptied", "altered", "longer"))
    def test_damage_is_noticed_and_can_be_repaired(self, store: ArtifactStore, size: int, damage: str) -> None:
        data = content(size)
        blob = store.put((data,))
        assert bytes(store.get(blob)) == data
        bad = {
            "truncated": data[: size // 2],
            "emptied": b"",
            "altered": data[:-1] + bytes([data[-1] ^ 1]),
            "longer": data + b"x",
        }
        self.overwrite(store, blob, bad[damage])
        with pytest.raises(BlobCorruptError, match=blob.hex) as corrupt:
            store.get(blob)
        assert corrupt.value.digest == blob.digest
        assert store.missing([blob]) == [blob]
        with pytest.raises(BlobMissingError):
            store.get(blob)
        assert store.put((data,)) == blob
        assert bytes(store.get(blob)) == data

    def test_many_threads(self, store: ArtifactStore) -> None:
        failures: list[BaseException] = []

        def work(seed: int) -> None:
            try:
                for number in range(8):
                    data = content(1000 * 20**number % 300_000, seed=number)
                    assert bytes(store.get(store.put((data,)))) == data
            except BaseException as exc:
                failures.append(exc)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []

    def test_many_processes(self, store: ArtifactStore) -> None:
        if not self.between_processes:
            return
        spawn = multiprocessing.get_context("spawn")
        workers = [spawn.Process(target=_put_and_get, args=(store, range(6))) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0, 0, 0]
        blobs = [Blob(blake3(data).digest(), len(data)) for data in map(_shared_content, range(6))]
        assert store.missing(blobs) == []
        assert len(list(store.list())) == len(blobs)


def _shared_content(number: int) -> bytes:
    return content(10 ** (number + 2) if number < 5 else 5 << 20, seed=number)


def _put_and_get(store: ArtifactStore, numbers: Iterable[int]) -> None:
    for number in numbers:
        data = _shared_content(number)
        if bytes(store.get(store.put((data,)))) != data:
            raise AssertionError(f"blob {number} came back different")
