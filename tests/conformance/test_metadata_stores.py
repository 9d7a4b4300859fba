"""Every metadata store passes the suite; random commits agree with the store in dictionaries."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.stores.metadata.open import open_metadata
from headrace.stores.metadata.protocol import MetadataStore
from headrace.testing.metadata import MemoryMetadata, MetadataStoreSuite
from headrace.testing.postgres import postgres_server

_schemas = itertools.count()


class TestMemory(MetadataStoreSuite):
    def new_store(self, folder: Path) -> MetadataStore:
        return MemoryMetadata()


class TestSqlite(MetadataStoreSuite):
    def new_store(self, folder: Path) -> MetadataStore:
        return open_metadata(str(folder / "headrace.db"))


class TestSqliteFsync(MetadataStoreSuite):
    def new_store(self, folder: Path) -> MetadataStore:
        return open_metadata(f"sqlite:///{folder / 'headrace.db'}", durability="fsync")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        yield url


class TestPostgres(MetadataStoreSuite):
    @pytest.fixture(autouse=True)
    def _server(self, server: str) -> None:
        self.server = server

    def new_store(self, folder: Path) -> MetadataStore:
        return open_metadata(f"{self.server}&schema=t{next(_schemas)}")
