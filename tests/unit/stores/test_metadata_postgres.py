"""What is particular to PostgreSQL: connections that break, servers that refuse, writers on several connections."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import psycopg
import pytest
from msgspec.structs import asdict

from headrace.model.errors import LeaseLostError, StoreAwayError, StoreDamagedError, StoreError, StoreReadOnlyError
from headrace.model.records import MetricChunk
from headrace.stores.metadata._pipeline import Pipeline
from headrace.stores.metadata.open import open_metadata
from headrace.stores.metadata.protocol import RunFilter
from headrace.stores.metadata.store import SqlMetadata
from headrace.testing import postgres
from headrace.testing.metadata import line, new_run, points, task


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres.postgres_server() as url:
        yield url


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
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
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
    with pytest.raises(StoreError, match="postgresql://"), store._database.write() as transaction:
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
    lease = store.acquire("run/1", "me", 30.0, 0.0)
    assert lease is not None
    store.commit([task(run_id)], lease)
    run = Pipeline.run
    left = losses

    def lose_answer(self: Pipeline, statements: list[tuple[str, tuple[object, ...]]]) -> None:
        nonlocal left
        commits = any(text == "COMMIT" for text, _ in statements)
        if not commits or not left or made:
            run(self, statements)
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
    lease = store.acquire("run/1", "me", 30.0, 0.0)
    assert lease is not None
    sent = []
    run = Pipeline.run
    monkeypatch.setattr(Pipeline, "run", lambda self, all_: sent.append(len(all_)) or run(self, all_))
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
    with store._database.write() as transaction:
        for number in range(300):
            transaction.change(f"UPDATE runs SET error = 'x{number}' WHERE id = %s", (run_id,))
        assert transaction.rows("SELECT error FROM runs WHERE id = %s", (run_id,)) == [("x299",)]
    with pytest.raises(StoreError), store._database.write() as transaction:
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
