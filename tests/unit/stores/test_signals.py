"""One thread per process and database hears signals, whatever number of runs it drives and whatever the server does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.model.records import Signal
from headrace.stores.metadata import _sqlite
from headrace.stores.metadata._subscriptions import Listener, Turn
from headrace.stores.metadata.open import open_metadata
from headrace.testing._metadata_signals import Heard
from headrace.testing.engine import Rig
from headrace.testing.metadata import new_run
from headrace.testing.postgres import PostgresServer, restartable_postgres
from headrace.testing.proxy import Proxy


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with restartable_postgres() as server:
        yield server


def pollers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "headrace-signals"]


def test_fifty_runs_cost_one_poller_on_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    rows, read = _sqlite._Ear.rows, _sqlite.SqliteDatabase.rows

    def counting(self: Any, text: str, *rest: Any) -> Any:
        asked.append(text)
        return rows(self, text, *rest)

    def counting_reader(self: Any, text: str, *rest: Any) -> Any:
        asked.append(text)
        return read(self, text, *rest)

    store = open_metadata(str(tmp_path / "headrace.db"))
    rigs = [Rig(store=store) for _ in range(50)]
    try:
        monkeypatch.setattr(_sqlite._Ear, "rows", counting)
        monkeypatch.setattr(_sqlite.SqliteDatabase, "rows", counting_reader)
        began = time.monotonic()
        time.sleep(2)
        passed = time.monotonic() - began
        assert len(pollers()) == 1
        # Asked whether anything was written ten times a second, and for signals only when something was.
        assert 1 <= len(asked) <= 2 * (passed * 10 + 2)
        assert {text.partition(" ")[0] for text in asked} <= {"PRAGMA", "SELECT"}
        store.send(rigs[17].run.id, "cancel", "", b"", "me", 1.0)
        until = time.monotonic() + 60
        while not rigs[17].loop.cancel_requested and time.monotonic() < until:
            time.sleep(0.01)
        assert [rig.loop.cancel_requested for rig in rigs] == ["me" if at == 17 else "" for at in range(50)]
    finally:
        for rig in rigs:
            rig.close()
    assert pollers() == []
    store.close()


def test_runs_on_postgresql_are_told_and_ask_nothing(server: PostgresServer) -> None:
    store = open_metadata(f"{server.url}&schema=told")
    runs = [new_run(store).id for _ in range(50)]
    heard = [Heard() for _ in runs]
    subscriptions = [store.subscribe(run, 0, one.add) for run, one in zip(runs, heard, strict=True)]
    store.send(runs[3], "cancel", "a", b"", "me", 1.0)
    heard[3].expect("a")
    with psycopg.connect(server.url, autocommit=True) as connection:
        counted = (
            "SELECT sum(calls) FROM (SELECT xact_commit AS calls FROM pg_stat_database WHERE datname = 'postgres') s"
        )
        connection.execute("SELECT pg_stat_clear_snapshot()")
        before = connection.execute(counted).fetchone()
        time.sleep(4)
        after = connection.execute(counted).fetchone()
    assert before is not None
    assert after is not None
    assert after[0] - before[0] <= 10  # ten questions a second and run would be 2,000
    began = time.monotonic()
    store.send(runs[4], "cancel", "b", b"", "me", 1.0)
    heard[4].expect("b")
    assert time.monotonic() - began < 4  # not what it asks every five seconds
    for subscription in subscriptions:
        subscription.close()
    assert pollers() == []
    store.close()


@pytest.mark.parametrize("fault", ["cut", "silent"])
def test_signals_are_heard_after_a_fault_of_the_network(server: PostgresServer, fault: str) -> None:
    with Proxy(server.socket) as proxy:
        far = open_metadata(f"postgresql://postgres@127.0.0.1:{proxy.address[1]}/postgres?schema=fault_{fault}")
        near = open_metadata(f"{server.url}&schema=fault_{fault}")
        run_id, heard = new_run(near).id, Heard()
        subscription = far.subscribe(run_id, 0, heard.add)
        near.send(run_id, "cancel", "a", b"", "me", 1.0)
        heard.expect("a")
        if fault == "cut":
            proxy.refusing = True
            proxy.cut()
        else:
            proxy.silent = True
        near.send(run_id, "cancel", "b", b"", "me", 1.0)
        time.sleep(1)
        assert len(heard.signals) == 1
        proxy.refusing = False
        if fault == "silent":  # what was on its way is lost, as when a router forgets a connection
            proxy.cut()
            proxy.silent = False
        heard.expect("ab")
        subscription.close()
        far.close()
        near.close()


def test_signals_are_heard_after_a_restart_of_the_server() -> None:
    with restartable_postgres() as server:
        store = open_metadata(server.url)
        run_id, heard = new_run(store).id, Heard()
        subscription = store.subscribe(run_id, 0, heard.add)
        store.send(run_id, "cancel", "a", b"", "me", 1.0)
        heard.expect("a")
        server.stop()
        server.start()
        store.send(run_id, "cancel", "b", b"", "me", 1.0)
        heard.expect("ab")
        subscription.close()
        store.close()


def test_closing_a_store_ends_its_subscriptions(tmp_path: Path) -> None:
    store = open_metadata(str(tmp_path / "headrace.db"))
    store.subscribe(new_run(store).id, 0, lambda signal: None)
    assert len(pollers()) == 1
    store.close()
    assert pollers() == []


class _StillTurn(Turn):
    def wake(self) -> None:
        pass


class _StillListener(Listener):
    """A listener whose thread does nothing: the test delivers."""

    def begin(self) -> Turn:
        return _StillTurn(lambda: None)


def test_subscription_that_is_made_while_the_store_is_asked_misses_no_signal() -> None:
    signals = [
        Signal(id=number, run_id=1, kind="cancel", name="", value=b"", sender="me", created=1.0) for number in (1, 2, 3)
    ]
    early: list[Signal] = []
    late: list[Signal] = []
    listener = _StillListener()
    listener.add(1, 2, early.append)
    asked = listener.current()  # the store is asked for what comes after signal 2
    listener.add(1, 0, late.append)
    listener.deliver(signals[2:], asked)
    assert (early, late) == (signals[2:], [])
    listener.deliver(signals, listener.current())
    listener.close()
    assert (early, late) == (signals[2:], signals)
