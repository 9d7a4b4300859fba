"""The stores over HTTP pass the suites of stores, in front of a folder with SQLite, of PostgreSQL and of S3."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.model.values import Blob
from headrace.settings import Settings
from headrace.stores.artifacts.http import HttpArtifacts
from headrace.stores.http_client import Endpoint
from headrace.stores.metadata.http import HttpMetadata
from headrace.stores.metadata.protocol import MetadataStore
from headrace.testing._metadata_leases import LeasesSuite
from headrace.testing._metadata_live import LiveRunsSuite
from headrace.testing._metadata_signals import SignalsSuite
from headrace.testing.artifacts import ArtifactStoreSuite
from headrace.testing.http_stores import StoreServer, store_server
from headrace.testing.metadata import MetadataStoreSuite
from headrace.testing.postgres import postgres_server
from headrace.wiring import Workspace

_names = itertools.count()


def no_token() -> str:
    return ""


@pytest.fixture(scope="module")
def server() -> Iterator[StoreServer]:
    with store_server() as running:
        yield running


class TestMetadataOverHttp(MetadataStoreSuite):
    @pytest.fixture(autouse=True)
    def _server(self, server: StoreServer) -> None:
        self.server = server

    def new_store(self, folder: Path) -> MetadataStore:
        workspace = Workspace(Settings(home=str(folder)))
        return HttpMetadata(Endpoint(self.server.add(workspace), no_token))


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_server() as url:
        yield url


class TestPostgresOverHttp(LeasesSuite, SignalsSuite):
    """What depends on the database, in front of which a server is."""

    @pytest.fixture
    def store(self, server: StoreServer, postgres: str, tmp_path: Path) -> Iterator[MetadataStore]:
        settings = Settings(home=str(tmp_path), database=f"{postgres}&schema=h{next(_names)}")
        with Workspace(settings) as workspace:
            store = HttpMetadata(Endpoint(server.add(workspace), no_token))
            yield store
            store.close()

    test_numbered = LiveRunsSuite.test_numbered_commit_is_made_once_and_never_after_a_later_one


class TestFolderOverHttp(ArtifactStoreSuite):
    @pytest.fixture
    def store(self, server: StoreServer, tmp_path: Path) -> HttpArtifacts:
        self.folder = tmp_path / "artifacts"
        return HttpArtifacts(Endpoint(server.add(Workspace(Settings(home=str(tmp_path)))), no_token))

    def overwrite(self, store: Any, blob: Blob, content: bytes) -> None:
        path = Path(self.folder, blob.hex[:2], blob.hex[2:])
        path.chmod(0o644)
        path.write_bytes(content)


class TestBucketOverHttp(ArtifactStoreSuite):
    """Large blobs come by links straight from the bucket."""

    @pytest.fixture
    def store(
        self, server: StoreServer, s3: tuple[str, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> HttpArtifacts:
        url, config = s3
        for name, value in config.items():
            monkeypatch.setenv(name.upper(), value)
        settings = Settings(home=str(tmp_path), artifacts=f"{url}/{uuid.uuid4().hex}")
        self.workspace = Workspace(settings)
        return HttpArtifacts(Endpoint(server.add(self.workspace), no_token))

    def overwrite(self, store: Any, blob: Blob, content: bytes) -> None:
        import obstore

        kept: Any = self.workspace.artifacts
        obstore.put(kept._store._connect(), f"{blob.hex[:2]}/{blob.hex[2:]}", content)
        kept._cache.delete([blob.digest])


def test_large_blobs_come_by_links_from_the_bucket(
    server: StoreServer, s3: tuple[str, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server does not read them; a link that leads nowhere is done without."""
    url, config = s3
    for name, value in config.items():
        monkeypatch.setenv(name.upper(), value)
    workspace = Workspace(Settings(home=str(tmp_path), artifacts=f"{url}/{uuid.uuid4().hex}"))
    store = HttpArtifacts(Endpoint(server.add(workspace), no_token))
    content = bytes(range(256)) * 2000
    blob = store.put((content,))
    kept: Any = workspace.artifacts
    kept._cache.delete([blob.digest])
    assert store.get(blob) == content
    assert kept._cache.missing([blob]) == [blob]
    monkeypatch.setattr(type(kept), "link", lambda *_: "http://127.0.0.1:9/nothing")
    assert store.get(blob) == content
    assert store._links_from > 0
    assert kept._cache.missing([blob]) == []
