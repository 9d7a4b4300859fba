"""The codecs over stores that map, that copy, and that are far away."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from headrace.stores.artifacts.local import LocalStore
from headrace.stores.artifacts.memory import MemoryStore
from headrace.stores.artifacts.objects import ObjectStore
from headrace.testing.codecs import CodecSuite


class TestOverLocalStore(CodecSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(tmp_path / "blobs")


class TestOverMemoryStore(CodecSuite):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


class TestOverS3(CodecSuite):
    @pytest.fixture
    def store(self, s3: tuple[str, dict[str, str]]) -> ObjectStore:
        url, config = s3
        return ObjectStore(f"{url}/{uuid.uuid4().hex}", config=config)
