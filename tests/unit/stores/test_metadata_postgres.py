"""What is particular to PostgreSQL: connections that break, servers that refuse, writers on several connections."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from msgspec.structs import asdict

from headrace.model.errors import (
    LeaseLostError,
    StoreAwayError,
    StoreDamagedError,
    StoreError,
    StoreReadOnlyError,
    UsageError,
)
from headrace.model.records import MetricChunk
from headrace.stores.metadata._pipeline import Pipeline
from headrace.stores.metadata.open import open_metadata
from headrace.stores.metadata.protocol import RunFilter
from headrace.stores.metadata.store import SqlMetadata
from headrace.testing import postgres
from headrace.testing.metadata import line, new_run, points, task
from headrace.testing.proxy import Proxy


@pytest.fixture(scope="module")
def running() -> Iterator[postgres.PostgresServer]:
    with postgres.restartable_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def server(running: postgres.PostgresServer) -> str:
    return running.url


def url_of(server: str, request: pytest.FixtureRequest) -> str:
    return f"{server}&schema={re.sub(r'[^a-z0-9]+', '_', request.node.name.lower()).strip('_')[:60]}"


@pytest.fixture
def store(server: str, request: pytest.FixtureRequest) -> Iterator[SqlMetadata]:
    store = open_metadata(url_of(server, request))
    yield store
    store.close()


def administer(server: str, *statements: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


KILL_OTHERS = (
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


def test_broken_connections_are_replaced(store: SqlMetadata, server: str) -> None:
    run_id = new_run(store).id
    assert store.tasks(run_id) == []
    administer(server, KILL_OTHERS)
    assert store.tasks(run_id) == []
    administer(server, KILL_OTHERS)
    store.commit([task(run_id)])
    assert store.tasks(run_id) == [task(run_id)]


def test_a_server_that_went_away_in_the_middle(store: SqlMetadata, server: str) -> None:
    """The commit under way fails as a whole; the next one works."""
    run_id = new_run(store).id
    with pytest.raises(StoreError, match="postgresql://"), store._database.write(9.0) as transaction:
        statement = store._statements("put_tag")
        transaction.change(statement.text, (run_id, "lost", "", None))
        assert transaction.rows("SELECT count(*) FROM tags", ()) == [(1,)]
        administer(server, KILL_OTHERS)
        transaction.change(statement.text, (run_id, "lost too", "", None))
    assert store.tags([run_id]) == []
    store.commit([task(run_id)])


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("losses", [1, 2])
def test_commit_whose_answer_was_lost_is_made_once(
    store: SqlMetadata, monkeypatch: pytest.MonkeyPatch, made: bool, losses: int
) -> None:
    run_id = new_run(store).id
    lease = store.acquire("run/1", "me", 30.0)
    assert lease is not None
    store.commit([task(run_id)], lease)
    run = Pipeline.run
    left = losses

    def lose_answer(self: Pipeline, statements: list[tuple[str, tuple[object, ...]]], seconds: float) -> None:
        nonlocal left
        commits = any(text == "COMMIT" for text, _ in statements)
        if not commits or not left or made:
            run(self, statements, seconds)
        if commits and left:
            left -= 1
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(Pipeline, "run", lose_answer)
    chunk = MetricChunk(run_id=run_id, step="fit", number=1, name="loss", values=(1.0,), steps=(0,), times=(0.0,))
    writes = [chunk]
    driver = store.hasty()
    for _ in range(losses):
        with pytest.raises(StoreAwayError):
            driver.commit(writes, lease)
    driver.commit(writes, lease)
    driver.commit([MetricChunk(**{**asdict(chunk), "steps": (1,)})], lease)
    assert [one.steps for one in store.metrics(run_id)] == [(0,), (1,)]
    [summary] = store.metric_summaries([run_id])
    assert summary.count == 2


def test_a_commit_is_one_round_trip(store: SqlMetadata, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = new_run(store).id
    lease = store.acquire("run/1", "me", 30.0)
    assert lease is not None
    sent = []
    run = Pipeline.run
    monkeypatch.setattr(Pipeline, "run", lambda self, all_, s: sent.append(len(all_)) or run(self, all_, s))
    store.commit([task(run_id), task(run_id, number=2), line(run_id, 1), points(run_id, "a", 1.0)], lease)
    assert len(sent) == 1
    store.release(lease)
    with pytest.raises(LeaseLostError, match="no longer holds run/1"):
        store.commit([task(run_id, number=3)], lease)
    assert len(store.tasks(run_id)) == 2
    store.commit([task(run_id, number=3)])
    assert len(store.tasks(run_id)) == 3


def test_many_large_and_strange_statements(store: SqlMetadata) -> None:
    """More than buffers hold, and more kinds of statements than are kept prepared."""
    run_id = new_run(store).id
    tasks = [task(run_id, "s" * 1000, number=number, error="e" * 5000) for number in range(2000)]
    store.commit(tasks)
    assert store.tasks(run_id) == tasks
    with store._database.write(9.0) as transaction:
        for number in range(300):
            transaction.change(f"UPDATE runs SET error = 'x{number}' WHERE id = %s", (run_id,))
        assert transaction.rows("SELECT error FROM runs WHERE id = %s", (run_id,)) == [("x299",)]
    with pytest.raises(StoreError), store._database.write(9.0) as transaction:
        transaction.change("UPDATE runs SET nothing = %s", (1,))
    store.commit([task(run_id, number=2)])


def test_a_user_who_may_only_read(store: SqlMetadata, server: str, request: pytest.FixtureRequest) -> None:
    schema = request.node.name.lower()
    new_run(store)
    administer(
        server,
        "CREATE ROLE reader LOGIN",
        f"GRANT USAGE ON SCHEMA {schema} TO reader",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader",
    )
    reader = open_metadata(url_of(server, request).replace("postgres@", "reader@"))
    assert len(reader.runs(RunFilter())) == 1
    with pytest.raises(StoreReadOnlyError, match="cannot be written to"):
        new_run(reader)
    reader.close()


def test_a_schema_with_a_table_missing(store: SqlMetadata, server: str, request: pytest.FixtureRequest) -> None:
    administer(server, f"DROP TABLE {request.node.name.lower()}.tasks")
    with pytest.raises(StoreDamagedError, match=r"does not hold a whole Headrace database"):
        store.tasks(1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("/postgres?", "/nowhere?", "nowhere"), ("postgres@", "nobody:secret@", "nobody")],
)
def test_what_is_not_there(server: str, old: str, new: str, message: str) -> None:
    with pytest.raises(StoreError, match=f"cannot connect to .*{message}") as caught:
        open_metadata(server.replace(old, new))
    assert "secret" not in str(caught.value)


def test_opened_at_once(server: str) -> None:
    """Several that find no tables make them once."""
    stores: list[SqlMetadata] = []
    threads = [threading.Thread(target=lambda: stores.append(open_metadata(f"{server}&schema=race"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 6
    assert sorted(new_run(store).number for store in stores) == [1, 2, 3, 4, 5, 6]
    for store in stores:
        store.close()


def test_followers_miss_no_line(store: SqlMetadata, server: str, request: pytest.FixtureRequest) -> None:
    """Lines of several writers appear in the order of their positions, though transactions end in any order."""
    run_id = new_run(store).id
    writers = [open_metadata(url_of(server, request)) for _ in range(4)]

    def write(number: int) -> None:
        for seq in range(30):
            chunks = [points(run_id, name, 1.0) for name in (("a", "b") if number % 2 else ("b", "a"))]
            writers[number].commit([line(run_id, seq, number=number), *chunks])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    seen, position = [], 0
    while any(thread.is_alive() for thread in threads) or store.log_position(run_id) > position:
        upto = store.log_position(run_id)
        rows = store._database.rows(
            f"SELECT id, step FROM logs WHERE run_id = {run_id} AND id > {position} AND id <= {upto}"
        )
        seen += rows
        position = max(position, upto)
    assert len(seen) == 120
    assert [summary.count for summary in store.metric_summaries([run_id])] == [120, 120]
    for one in writers:
        one.close()


def test_programs_where_only_root_may_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The installation is copied to where the server's user can start it."""
    found = postgres.find_programs()
    assert found is not None
    monkeypatch.setattr(postgres.subprocess, "run", _refusing_probe(postgres.subprocess.run))
    with postgres.postgres_server() as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def _refusing_probe(run):  # type: ignore[no-untyped-def]
    def refusing(command, **settings):  # type: ignore[no-untyped-def]
        if command[0] == "/bin/sh":
            command = ["/bin/false"]
        return run(command, **settings)

    return refusing


# --- connections --------------------------------------------------------------------------------------------------


@pytest.fixture
def proxy(running: postgres.PostgresServer) -> Iterator[Proxy]:
    with Proxy(running.socket) as proxy:
        yield proxy


@pytest.fixture
def far(proxy: Proxy, request: pytest.FixtureRequest) -> Iterator[SqlMetadata]:
    """The store of the test behind the proxy."""
    store = open_metadata(url_of(f"postgresql://postgres@127.0.0.1:{proxy.address[1]}/postgres?", request))
    yield store
    proxy.silent = False
    proxy.cut()
    store.close()


def test_long_read_holds_up_no_other(store: SqlMetadata) -> None:
    done: list[str] = []

    def read_long() -> None:
        store._database.rows("SELECT pg_sleep(2)")
        done.append("long")

    thread = threading.Thread(target=read_long)
    thread.start()
    time.sleep(0.2)
    store._database.rows("SELECT 1")
    done.append("short")
    thread.join()
    assert done == ["short", "long"]


def test_no_more_connections_read_than_the_url_allows(server: str, request: pytest.FixtureRequest) -> None:
    store = open_metadata(url_of(server, request) + "&readers=2")
    seen: set[int] = set()
    lock = threading.Lock()

    def read() -> None:
        [(pid, _)] = store._database.rows("SELECT pg_backend_pid(), pg_sleep(0.1)")
        with lock:
            seen.add(pid)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 2
    store.close()


@pytest.mark.parametrize("readers", ["0", "-1", "many", "1001"])
def test_number_of_readers_is_a_number(server: str, readers: str) -> None:
    with pytest.raises(UsageError, match=f"readers={readers}"):
        open_metadata(f"{server}&readers={readers}")


def test_server_that_says_nothing_is_given_up(far: SqlMetadata, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-open connection: what is sent goes nowhere, and nothing comes back."""
    run_id = new_run(far).id
    lease = far.acquire("run/1", "me", 300.0)
    driver = far.hasty()
    driver.commit([task(run_id)], lease)
    assert len(driver.tasks(run_id)) == 1
    monkeypatch.setattr("headrace.stores.metadata.store.DRIVER_SECONDS", 1.0)
    proxy.silent = True
    began = time.monotonic()
    writes = [task(run_id, number=2)]
    with pytest.raises(StoreAwayError, match="no answer for 1 s"):
        driver.commit(writes, lease)
    with pytest.raises(StoreAwayError, match="no answer for 1 s"):
        driver.tasks(run_id)
    assert time.monotonic() - began < 30
    proxy.cut()
    proxy.silent = False
    driver.commit(writes, lease)
    assert len(driver.tasks(run_id)) == 2


def test_server_that_cannot_be_reached_is_given_up(server: str, request: pytest.FixtureRequest) -> None:
    """A machine that takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        began = time.monotonic()
        with pytest.raises(StoreAwayError, match="cannot connect"):
            open_metadata(f"postgresql://postgres@127.0.0.1:{deaf.getsockname()[1]}/postgres?connect_timeout=2")
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("direction", ["request", "answer"])
def test_commit_that_is_cut_anywhere_is_made_once(far: SqlMetadata, proxy: Proxy, direction: str) -> None:
    """Whatever number of bytes passed; also when the connection is cut again while the driver asks what came of it."""
    run_id = new_run(far).id
    lease = far.acquire("run/1", "me", 3000.0)
    driver = far.hasty()
    driver.commit([], lease)
    cuts = 0
    for number, passed in enumerate([0, 1, 5, 20, 100, 300, 700, 1000, 1300, 1600, 2000, 2500, 3000, 4000]):
        chunk = MetricChunk(
            run_id=run_id, step="fit", number=1, name="loss", values=(1.0,), steps=(number,), times=(0.0,)
        )
        writes = [chunk, task(run_id, number=number + 1)]
        setattr(proxy, f"cut_after_{direction}", passed)
        for _ in range(10):
            try:
                driver.commit(writes, lease)
                break
            except StoreAwayError:
                cuts += 1
                setattr(proxy, f"cut_after_{direction}", passed // 2 if cuts % 2 else None)
        else:
            raise AssertionError("the commit was never made")
        setattr(proxy, f"cut_after_{direction}", None)
    assert cuts >= 10
    assert [one.steps for one in far.metrics(run_id)] == [(number,) for number in range(14)]
    assert len(far.tasks(run_id)) == 14
    [summary] = far.metric_summaries([run_id])
    assert summary.count == 14


def test_server_that_takes_no_writes_for_now_is_waited_for(store: SqlMetadata, server: str) -> None:
    """As a standby does until it has taken over."""
    run_id = new_run(store).id
    try:
        administer(server, "ALTER DATABASE postgres SET default_transaction_read_only = on", KILL_OTHERS)
        with pytest.raises(StoreAwayError, match="takes no writes now"):
            store.commit([task(run_id)])
    finally:
        administer(
            server,
            "SET default_transaction_read_only = off",
            "ALTER DATABASE postgres RESET default_transaction_read_only",
        )
        administer(server, KILL_OTHERS)
    store.commit([task(run_id)])
    assert len(store.tasks(run_id)) == 1
