"""What one task is made of, each part beside the limit that no Python program on this machine can pass.

    python bench/micro.py                       # or: make bench
    python bench/micro.py --only commit --seconds 2

Ours and the limit run by turns, so that a noisy machine hits both; the medians are shown, and their ratio.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pickle
import shutil
import socket
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from headrace import flow, step
from headrace.model.records import ArtifactRecord, AttemptRecord, TaskRecord
from headrace.model.states import AttemptState, TaskState
from headrace.model.values import Preview
from headrace.services.code.collect import CodeRules
from headrace.services.code.package import CodeOfRun
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.codecs import pack, unpack
from headrace.stores.metadata.open import open_metadata
from headrace.stores.metadata.protocol import NewRun, Write

now = time.perf_counter
VALUE = {"i": 3}
MIB = 2**20

#: Runs the work some times and returns the seconds that one took.
Timed = Callable[[], float]


class Case(NamedTuple):
    """One figure: ours, and what limits it."""

    name: str
    ours: Timed
    limit_name: str
    limit: Timed


def repeat(work: Callable[[], object], times: int) -> Timed:
    """A ``Timed`` of a plain call."""

    def timed() -> float:
        start = now()
        for _ in range(times):
            work()
        return (now() - start) / times

    return timed


# --- values -----------------------------------------------------------------------------------------------------


@contextmanager
def packing(folder: Path) -> Iterator[list[Case]]:
    """Small values, and the bytes of large ones."""
    store = LocalStore(folder / "blobs")
    packed = pack(VALUE, store)
    pickled = pickle.dumps(VALUE, 5)
    megabytes = bytearray(os.urandom(64 * MIB))

    def put_fresh() -> float:
        megabytes[:16] = os.urandom(16)  # other content, or the store would have it already
        start = now()
        blob = store.put((memoryview(megabytes),))
        seconds = now() - start
        store.delete([blob.digest])
        return seconds

    def write_file() -> float:
        start = now()
        (folder / "raw").write_bytes(megabytes)
        seconds = now() - start
        (folder / "raw").unlink()
        return seconds

    yield [
        Case(
            'pack {"i": 3}',
            repeat(lambda: pack(VALUE, store), 2000),
            "pickle.dumps",
            repeat(lambda: pickle.dumps(VALUE, 5), 2000),
        ),
        Case(
            'unpack {"i": 3}',
            repeat(lambda: unpack(packed, store), 2000),
            "pickle.loads",
            repeat(lambda: pickle.loads(pickled), 2000),
        ),
        Case("put 64 MiB, hashed", put_fresh, "write a file", write_file),
    ]


# --- rows -------------------------------------------------------------------------------------------------------


def task_rows(run_id: int, number: int) -> list[Write]:
    """What the end of one task writes."""
    packed = pack(VALUE, LocalStore("."))
    return [
        TaskRecord(
            run_id=run_id,
            step="add",
            number=number,
            key=number.to_bytes(32, "big"),
            state=TaskState.SUCCEEDED,
            inputs=(),
            occurrence=0,
            code=bytes(32),
            attempts=1,
            created=1.0,
            started=1.0,
            finished=2.0,
        ),
        AttemptRecord(
            run_id=run_id,
            step="add",
            number=number,
            attempt=1,
            state=AttemptState.SUCCEEDED,
            started=1.0,
            finished=2.0,
            host="host",
            pid=1,
        ),
        ArtifactRecord(
            run_id=run_id,
            step="add",
            number=number,
            name="result",
            value=packed,
            preview=Preview(type="dict", text="{'i': 3}"),
            created=2.0,
        ),
    ]


@contextmanager
def committing(folder: Path) -> Iterator[list[Case]]:
    """The end of a task as a transaction of its own, and grouped with others."""
    store = open_metadata(str(folder / "headrace.db"))
    run = store.create_run(NewRun(project="bench", flow="micro", dialect="native", entry="", created=1.0))
    raw = sqlite3.connect(folder / "raw.db", isolation_level=None)
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("PRAGMA synchronous=OFF")
    for table in ("task", "attempt", "artifact"):
        raw.execute(
            f"CREATE TABLE {table}(run INTEGER, step TEXT, number INTEGER, body BLOB, PRIMARY KEY(run, step, number))"
        )
    body, numbers = bytes(150), iter(range(1, 10**9))

    def ours(group: int, times: int) -> Timed:
        def timed() -> float:
            batches = [[row for _ in range(group) for row in task_rows(run.id, next(numbers))] for _ in range(times)]
            start = now()
            for batch in batches:
                store.commit(batch)
            return (now() - start) / (times * group)

        return timed

    def limit(group: int, times: int) -> Timed:
        def timed() -> float:
            batches = [[(1, "add", next(numbers), body) for _ in range(group)] for _ in range(times)]
            start = now()
            for batch in batches:
                raw.execute("BEGIN IMMEDIATE")
                for table in ("task", "attempt", "artifact"):
                    raw.executemany(f"INSERT INTO {table} VALUES(?, ?, ?, ?)", batch)
                raw.execute("COMMIT")
            return (now() - start) / (times * group)

        return timed

    yield [
        Case("commit one task", ours(1, 200), "3 rows in a bare transaction", limit(1, 200)),
        Case("commit 100 tasks, per task", ours(100, 5), "300 rows in a bare transaction", limit(100, 5)),
    ]
    store.close()
    raw.close()


# --- tasks ------------------------------------------------------------------------------------------------------


@step
def add(d: dict[str, int]) -> dict[str, int]:
    return {"i": d["i"] + 1}


@flow
def chain(n: int) -> float:
    add({"i": -1})  # the first one starts the workers
    d, start = {"i": 0}, now()
    for _ in range(n):
        d = add(d)
    return (now() - start) / n


@flow
def fan(n: int) -> float:
    add({"i": -1})
    start = now()
    for future in add.map([{"i": i} for i in range(n)]):
        future.result()
    return (now() - start) / n


def plain_add(d: dict[str, int]) -> dict[str, int]:
    return {"i": d["i"] + 1}


def pool_chain(n: int) -> float:
    with ProcessPoolExecutor(2) as pool:
        pool.submit(plain_add, {"i": -1}).result()
        d, start = {"i": 0}, now()
        for _ in range(n):
            d = pool.submit(plain_add, d).result()
        return (now() - start) / n


def pool_fan(n: int) -> float:
    with ProcessPoolExecutor(2) as pool:
        pool.submit(plain_add, {"i": -1}).result()
        start = now()
        for future in [pool.submit(plain_add, {"i": i}) for i in range(n)]:
            future.result()
        return (now() - start) / n


def ping_pong(n: int) -> float:
    """A byte to a forked process and back."""
    here, there = socket.socketpair()
    child = os.fork()
    if child == 0:
        here.close()
        while there.recv(1):
            there.send(b"x")
        os._exit(0)
    there.close()
    start = now()
    for _ in range(n):
        here.send(b"x")
        here.recv(1)
    seconds = (now() - start) / n
    here.close()
    os.waitpid(child, 0)
    return seconds


@contextmanager
def trips(folder: Path) -> Iterator[list[Case]]:
    """Whole tasks: to a worker and back, recorded."""
    os.chdir(folder)  # where the runs are kept
    yield [
        Case("task in a chain", lambda: chain(200), "the same through a pool", lambda: pool_chain(200)),
        Case("task in a chain", lambda: chain(200), "a byte there and back", lambda: ping_pong(2000)),
        Case("task in a fan-out of 1,000", lambda: fan(1000), "the same through a pool", lambda: pool_fan(1000)),
    ]


# --- the code of a run --------------------------------------------------------------------------------------------

FILES = 200
MODULE = "import os\n\n\ndef work(rows):\n    from m{after} import work as other\n    return other(rows)\n\n\n"


def lay_out(project: Path, count: int) -> Path:
    """A flow with ``count`` files of 5 KB, each of which imports the next one inside of a function."""
    project.mkdir()
    (project / "pyproject.toml").touch()
    for number in range(1, count):
        text = MODULE.format(after=number + 1) + f"# {number}: what a line of a module says, more or less\n" * 90
        (project / f"m{number}.py").write_text(text)
    flow_file = project / "train.py"
    flow_file.write_text("import m1\n")
    for path in project.iterdir():
        os.utime(path, (time.time() - 3600,) * 2)
    return flow_file


def keep_code(file: Path, known: str, store: LocalStore) -> None:
    """Find and store the code of a flow, as every run does before its first task."""
    CodeOfRun(f"{file}:train", CodeRules(known=known)).store(store)


def copy_files(folder: Path, to: Path) -> None:
    """The least that keeping files for the first time can be."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    for path in folder.glob("*.py"):
        content = path.read_bytes()
        (to / blake3(content).hexdigest()).write_bytes(content)


@contextmanager
def packages(folder: Path) -> Iterator[list[Case]]:
    """The code package of a run: of a project that was never seen, and of one that did not change."""
    large, small = lay_out(folder / "large", FILES), lay_out(folder / "small", 1)
    kept, known = LocalStore(folder / "kept"), str(folder / "known")
    time.sleep(2.1)  # a file that was changed just now would be read again
    for file in (large, small):
        keep_code(file, known, kept)
    fresh = itertools.count()

    def first() -> float:
        place = folder / f"fresh{next(fresh)}"
        start = now()
        keep_code(large, "", LocalStore(place))
        seconds = now() - start
        shutil.rmtree(place)
        return seconds

    yield [
        Case(
            f"code of {FILES} new files",
            first,
            "copying them",
            repeat(lambda: copy_files(large.parent, folder / "c"), 1),
        ),
        Case(
            f"code of {FILES} known files",
            repeat(lambda: keep_code(large, known, kept), 1),
            "a look at each",
            look(large),
        ),
        Case("code of one known file", repeat(lambda: keep_code(small, known, kept), 20), "a look at it", look(small)),
    ]


def look(file: Path) -> Timed:
    """Asking for the status of all files beside ``file``."""
    paths = [str(path) for path in file.parent.glob("*.py")]
    return repeat(lambda: [os.stat(path) for path in paths], 20)


# --- report -----------------------------------------------------------------------------------------------------

GROUPS = {"pack": packing, "commit": committing, "code": packages, "trip": trips}


def measure(case: Case, seconds: float) -> dict[str, float | str]:
    """Ours and the limit by turns for about ``seconds``, at least three times each."""
    ours: list[float] = []
    limit: list[float] = []
    end = now() + seconds
    while now() < end or len(ours) < 3:
        ours.append(case.ours() * 1e6)
        limit.append(case.limit() * 1e6)
    return {
        "name": case.name,
        "us": statistics.median(ours),
        "limit": case.limit_name,
        "limit_us": statistics.median(limit),
        "ratio": statistics.median([a / b for a, b in zip(ours, limit, strict=True)]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=GROUPS, help="one group of figures")
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each figure (default: 1)")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    chosen = parser.parse_args()
    for name, group in GROUPS.items():
        if chosen.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder, group(Path(folder)) as cases:
                for case in cases:
                    row = measure(case, chosen.seconds)
                    if chosen.json:
                        print(json.dumps(row), flush=True)
                    else:
                        figures = f"{row['us']:10.1f} us {row['limit_us']:10.1f} us  {row['ratio']:6.2f}x"
                        print(f"{case.name:30}{figures}  of {case.limit_name}", flush=True)


if __name__ == "__main__":
    main()
