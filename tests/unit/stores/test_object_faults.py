"""Object stores that refuse, stall, break off or shorten answers: a real S3 server behind a proxy that does it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlparse

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.model.errors import BlobCorruptError, BlobMissingError, StoreAwayError
from headrace.model.values import Blob
from headrace.stores.artifacts import objects
from headrace.stores.artifacts.hashing import digest_of
from headrace.stores.artifacts.objects import PARTED_FROM, ObjectStore
from headrace.testing.proxy import Fault, HttpProxy
from headrace.testing.servers import rclone_s3

LARGE = PARTED_FROM + 12345


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, dict[str, str]]]:
    with rclone_s3() as server:
        yield server


@pytest.fixture
def proxy(server: tuple[str, dict[str, str]]) -> Iterator[HttpProxy]:
    at = urlparse(server[1]["aws_endpoint_url"])
    assert at.hostname is not None
    assert at.port is not None
    with HttpProxy((at.hostname, at.port), lambda method, path: None) as proxy:
        yield proxy


def through(proxy: HttpProxy, server: tuple[str, dict[str, str]]) -> ObjectStore:
    url, config = server
    return ObjectStore(url, config={**config, "aws_endpoint_url": f"http://127.0.0.1:{proxy.address[1]}"})


@pytest.fixture
def store(proxy: HttpProxy, server: tuple[str, dict[str, str]]) -> ObjectStore:
    return through(proxy, server)


def first(count: int, fault: Fault, only: str = "") -> Callable[[str, str], Fault | None]:
    """The first ``count`` requests, or those of one method, go wrong."""
    left, lock = [count], threading.Lock()

    def decide(method: str, path: str) -> Fault | None:
        with lock:
            if (only and method != only) or not left[0]:
                return None
            left[0] -= 1
            return fault

    return decide


FAULTS = [
    Fault(status=503),
    Fault(status=429),
    Fault(status=500),
    Fault(cut_request=0),
    Fault(cut_request=700),
    Fault(cut_answer=0),
    Fault(cut_answer=30),
    Fault(cut_answer=5_000),
    Fault(delay=1.0),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("size", [20_000, LARGE], ids=["small", "large"])
def test_blob_arrives_whole_although_requests_fail(
    store: ObjectStore, proxy: HttpProxy, fault: Fault, size: int
) -> None:
    content = os.urandom(size)
    proxy.fault = first(3, fault)
    blob = store.put([content])
    assert proxy.failed >= 2
    proxy.fault = first(3, fault)
    assert bytes(store.get(blob)) == content
    proxy.fault = first(2, fault)
    assert store.missing([blob]) == []


@pytest.mark.parametrize("size", [20_000, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("kept", [0, 1, 7_000])
def test_shortened_answer_is_asked_for_again_and_harms_no_blob(
    store: ObjectStore, proxy: HttpProxy, size: int, kept: int
) -> None:
    """A proxy on the way that shortens an answer and says that it is whole."""
    content = os.urandom(size)
    blob = store.put([content])
    proxy.fault = first(1, Fault(truncate=kept), only="GET")
    assert bytes(store.get(blob)) == content
    assert proxy.failed == 1
    assert store.missing([blob]) == []


@pytest.mark.parametrize("size", [20_000, LARGE], ids=["small", "large"])
def test_blob_that_is_short_in_the_store_is_never_believed(
    store: ObjectStore, server: tuple[str, dict[str, str]], size: int
) -> None:
    import obstore

    content = os.urandom(size)
    blob = Blob(digest_of([memoryview(content)], size), size)
    key = f"{blob.hex[:2]}/{blob.hex[2:]}"
    obstore.put(store._connect(), key, content[: size // 2])
    assert store.missing([blob]) == [blob]
    with pytest.raises(BlobCorruptError, match="damaged"):
        store.get(blob)
    with pytest.raises(BlobMissingError):
        store.get(blob)
    assert store.put([content]) == blob
    assert bytes(store.get(blob)) == content


@pytest.mark.parametrize("cut", [200, 9_000, 40_000])
def test_upload_that_is_cut_leaves_no_blob_that_looks_whole(
    store: ObjectStore, proxy: HttpProxy, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(objects, "RETRY_SECONDS", 0.5)
    content = os.urandom(100_000)
    proxy.fault = first(1_000, Fault(cut_request=cut), only="PUT")
    with pytest.raises(StoreAwayError):
        store.put([content])
    proxy.fault = lambda method, path: None
    blob = Blob(digest_of([memoryview(content)], 100_000), 100_000)
    assert store.missing([blob]) == [blob]
    assert store.put([content]) == blob
    assert bytes(store.get(blob)) == content


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(cut_answer=300), Fault(cut_request=0)], ids=str)
def test_store_that_stays_away_is_named_with_what_was_tried(
    store: ObjectStore, proxy: HttpProxy, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PATIENCE_SECONDS", 2.0)
    monkeypatch.setattr(objects, "RETRY_SECONDS", 0.5)
    blob = store.put([b"x" * 20_000])
    proxy.fault = lambda method, path: fault
    for what, call in (("read", lambda: store.get(blob)), ("write to", lambda: store.put([os.urandom(20_000)]))):
        with pytest.raises(StoreAwayError) as caught:
            call()
        assert f"the artifact store {store.url}" in str(caught.value)
        assert "tried" in str(caught.value)
        assert what in str(caught.value) or "look into" in str(caught.value)
        assert len(str(caught.value)) < 1_000


def test_server_that_cannot_be_reached_is_away(
    monkeypatch: pytest.MonkeyPatch, server: tuple[str, dict[str, str]]
) -> None:
    monkeypatch.setattr(objects, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(objects, "RETRY_SECONDS", 0.5)
    url, config = server
    away = ObjectStore(url, config={**config, "aws_endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(StoreAwayError, match="tried"):
        away.put([b"x" * 20_000])


_faults = st.sampled_from([None, None, None, *FAULTS[:-1], Fault(truncate=10)])


def test_any_order_of_faults_changes_no_byte(server: tuple[str, dict[str, str]], proxy: HttpProxy) -> None:
    store = through(proxy, server)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(_faults, max_size=12), st.integers(0, 60_000))
    def check(faults: list[Fault | None], size: int) -> None:
        content = os.urandom(size)
        coming = iter(faults)
        lock = threading.Lock()

        def fault(method: str, path: str) -> Fault | None:
            with lock:
                chosen = next(coming, None)
            return None if chosen is not None and chosen.truncate is not None and method != "GET" else chosen

        proxy.fault = fault
        blob = store.put([content])
        try:
            assert bytes(store.get(blob)) == content
        except BlobCorruptError:  # shortened twice in a row: taken for damaged, and made again
            assert sum(one is not None and one.truncate is not None for one in faults) > 1

    check()
