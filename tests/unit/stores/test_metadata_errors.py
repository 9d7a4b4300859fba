"""Bad luck with the database: each kind gives one typed error that names the file or URL and the way out."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.model.errors import (
    HeadraceError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreVersionError,
    UsageError,
)
from headrace.model.records import Tag
from headrace.stores.metadata import _sqlite
from headrace.stores.metadata.open import open_metadata
from headrace.stores.metadata.protocol import RunFilter
from headrace.testing.metadata import attempt, new_run, task


@pytest.fixture
def path(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path_factory.getbasetemp().chmod(0o755)  # for ``as_nobody``; private when it was chosen on the command line
    return tmp_path / "headrace.db"


def fill(path: Path, tasks: int = 1) -> int:
    store = open_metadata(str(path))
    run_id = new_run(store).id
    store.commit([task(run_id, number=number, error="x" * 200) for number in range(1, tasks + 1)])
    store.close()
    return run_id


def as_nobody(work: Callable[[], None]) -> None:
    """Run ``work`` in a child that permissions apply to, also when the tests run as root."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            work()
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_file_of_something_else(path: Path) -> None:
    path.write_bytes(b"this is not a database, whatever its name says\n" * 100)
    with pytest.raises(StoreDamagedError, match=r"headrace\.db is not readable"):
        open_metadata(str(path))


def test_a_database_of_something_else(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE books (title TEXT)")
    other.close()
    with pytest.raises(StoreDamagedError, match=r"not one of Headrace .it has books"):
        open_metadata(str(path))


def test_a_damaged_file(path: Path) -> None:
    fill(path, 500)
    data = bytearray(path.read_bytes())
    data[4096 * 30 :] = b"\x5a" * (len(data) - 4096 * 30)
    path.write_bytes(data)
    with pytest.raises(StoreDamagedError, match=r"headrace\.db"):
        store = open_metadata(str(path))
        try:
            store.tasks(1)
        finally:
            store.close()


@pytest.mark.parametrize("empty", [False, True])
def test_a_lost_file_is_made_anew(path: Path, empty: bool) -> None:
    fill(path)
    path.unlink()
    if empty:
        path.touch()
    store = open_metadata(str(path))
    assert store.runs(RunFilter()) == []
    store.close()


def test_a_file_that_goes_away_while_in_use(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sqlite, "_LOOK_SECONDS", -1.0)
    store = open_metadata(str(path))
    run_id = new_run(store).id
    path.unlink()
    with pytest.raises(StoreDamagedError, match="deleted or replaced"):
        store.commit([task(run_id)])
    store.close()


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        open_metadata(str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="folder"):
        open_metadata(str(tmp_path / "file" / "headrace.db"))


@pytest.mark.parametrize("folder_too", [False, True])
def test_read_only(path: Path, folder_too: bool) -> None:
    """Reading works; writing says what is wrong."""
    run_id = fill(path)
    path.chmod(0o444)
    path.parent.chmod(0o555 if folder_too else 0o777)
    for folder in path.parents:
        if os.geteuid() == 0 and folder.is_relative_to("/tmp/pytest-of-root"):
            folder.chmod(folder.stat().st_mode | 0o055)

    def work() -> None:
        store = open_metadata(str(path))
        assert len(store.tasks(run_id)) == 1
        assert len(list(store.referenced_blobs())) == 0
        with pytest.raises(StoreReadOnlyError, match=r"headrace\.db cannot be written to"):
            store.commit([task(run_id)])
        store.close()

    as_nobody(work)
    path.parent.chmod(0o755)


def test_a_folder_that_takes_no_new_file(path: Path) -> None:
    path.parent.chmod(0o555)
    for folder in path.parents:
        if os.geteuid() == 0 and folder.is_relative_to("/tmp/pytest-of-root"):
            folder.chmod(folder.stat().st_mode | 0o055)

    def work() -> None:
        with pytest.raises(StoreReadOnlyError, match="must be writable"):
            open_metadata(str(path))
        with pytest.raises(StoreReadOnlyError, match="folder"):
            open_metadata(str(path.parent / "deeper" / "headrace.db"))

    as_nobody(work)
    path.parent.chmod(0o755)


def test_a_full_disk(path: Path) -> None:
    """Nothing of the commit that did not fit is left, and the store works on when there is room again."""
    store = open_metadata(str(path))
    run_id = new_run(store).id
    store._database._writer.execute("PRAGMA max_page_count=80")  # type: ignore[attr-defined]
    with pytest.raises(StoreFullError, match=r"no space left for .*headrace\.db"):
        store.commit([Tag(run_id, "x"), *[task(run_id, number=n, error="x" * 1000) for n in range(1000)]])
    assert store.tasks(run_id) == []
    assert store.tags([run_id]) == []
    store._database._writer.execute("PRAGMA max_page_count=1000000")  # type: ignore[attr-defined]
    store.commit([task(run_id)])
    store.close()


def test_locked_for_too_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sqlite, "LOCK_SECONDS", 0.05)
    store = open_metadata(str(path))
    run_id = new_run(store).id
    browser = sqlite3.connect(path, isolation_level=None)
    browser.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked by another process"):
        store.commit([task(run_id)])
    assert store.tasks(run_id) == []
    browser.execute("ROLLBACK")
    browser.close()
    store.commit([task(run_id)])
    store.close()


def test_a_number_that_fits_no_column(path: Path) -> None:
    """The whole commit is refused, and the next one works."""
    store = open_metadata(str(path))
    run_id = new_run(store).id
    with pytest.raises(StoreError, match=r"headrace\.db"):
        store.commit([task(run_id), attempt(run_id, pid=2**70)])
    assert store.tasks(run_id) == []
    store.commit([task(run_id)])
    store.close()


def test_a_forked_child_is_refused(path: Path) -> None:
    store = open_metadata(str(path))
    run_id = new_run(store).id
    assert store.tasks(run_id) == []
    child = os.fork()
    if child == 0:
        code = 0
        for use in (lambda: store.commit([task(run_id)]), lambda: store.tasks(run_id)):
            try:
                use()
            except StoreError as error:
                code += "fork" not in str(error)
            else:
                code += 10
        store.close()
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.commit([task(run_id)])
    store.close()


def test_use_after_close(path: Path) -> None:
    store = open_metadata(str(path))
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.runs(RunFilter())
    with pytest.raises(StoreError, match="closed"):
        store.delete_run(1)


def test_a_newer_version(path: Path) -> None:
    fill(path)
    with sqlite3.connect(path) as other:
        other.execute("UPDATE headrace_schema SET version_num = '9999'")
    other.close()
    with pytest.raises(StoreVersionError, match=r"newer Headrace .schema 9999"):
        open_metadata(str(path))


def test_urls(path: Path) -> None:
    store = open_metadata(f"sqlite:///{path}")
    assert store.url == f"sqlite:///{path}"
    store.close()
    assert path.exists()
    with pytest.raises(UsageError, match="mysql://"):
        open_metadata("mysql://u:p@h/db")
    with pytest.raises(UsageError, match="durability"):
        open_metadata(str(path), durability="always")
    with pytest.raises(UsageError, match="schema="):
        open_metadata("postgresql://h/db?schema=a;b")


def test_no_server(tmp_path: Path) -> None:
    """The password is not shown."""
    with pytest.raises(StoreError, match="cannot connect to postgresql://me") as caught:
        open_metadata(f"postgresql://me:secret@/db?host={tmp_path}")
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value, HeadraceError)


def test_opening_loads_nothing_heavy(path: Path) -> None:
    """SQLite needs neither SQLAlchemy, Alembic nor psycopg."""
    program = (
        "import sys; from headrace.stores.metadata.open import open_metadata;"
        f"open_metadata({str(path)!r}).close();"
        "print([name for name in ('sqlalchemy', 'alembic', 'psycopg', 'logging', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
