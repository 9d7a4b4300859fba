"""Every artifact store, wrapper and fake passes the suite of the protocol."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from headrace.model.values import Blob
from headrace.stores.artifacts.cached import CachedStore
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.artifacts.memory import MemoryStore
from headrace.stores.artifacts.objects import ObjectStore
from headrace.testing.artifacts import ArtifactStoreSuite


def overwrite_object(store: ObjectStore, blob: Blob, content: bytes) -> None:
    """Write past the store's own checks, with its client."""
    import obstore

    obstore.put(store._connect(), f"{blob.hex[:2]}/{blob.hex[2:]}", content)


class TestLocalStore(ArtifactStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(tmp_path / "blobs")

    def overwrite(self, store: Any, blob: Blob, content: bytes) -> None:
        path = Path(store.url, blob.hex[:2], blob.hex[2:])
        path.chmod(0o644)
        path.write_bytes(content)


class TestDurableLocalStore(TestLocalStore):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(tmp_path / "blobs", durable=True)


class TestMemoryStore(ArtifactStoreSuite):
    between_processes = False

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    def overwrite(self, store: Any, blob: Blob, content: bytes) -> None:
        store.blobs[blob.digest] = (content, store.blobs[blob.digest][1])


class TestObjectStoreS3(ArtifactStoreSuite):
    @pytest.fixture
    def store(self, s3: tuple[str, dict[str, str]]) -> ObjectStore:
        url, config = s3
        return ObjectStore(f"{url}/{uuid.uuid4().hex}", config=config)

    def overwrite(self, store: Any, blob: Blob, content: bytes) -> None:
        overwrite_object(store, blob, content)


class TestObjectStoreFile(ArtifactStoreSuite):
    """Serves ranges as the protocol of S3 has them, which rclone does not."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return ObjectStore((tmp_path / "objects").as_uri())

    def overwrite(self, store: Any, blob: Blob, content: bytes) -> None:
        overwrite_object(store, blob, content)


class TestObjectStoreMemory(ArtifactStoreSuite):
    between_processes = False

    @pytest.fixture
    def store(self) -> ObjectStore:
        return ObjectStore("memory://")

    def overwrite(self, store: Any, blob: Blob, content: bytes) -> None:
        overwrite_object(store, blob, content)


class TestCachedStore(ArtifactStoreSuite):
    @pytest.fixture
    def store(self, s3: tuple[str, dict[str, str]], tmp_path: Path) -> CachedStore:
        url, config = s3
        return CachedStore(ObjectStore(f"{url}/{uuid.uuid4().hex}", config=config), LocalStore(tmp_path / "cache"))

    def overwrite(self, store: Any, blob: Blob, content: bytes) -> None:
        overwrite_object(store._store, blob, content)
        store._cache.delete([blob.digest])
