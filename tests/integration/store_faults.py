"""Stores that are away: a database that another process has locked, a bucket that refuses."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.testing.proxy import Fault

HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""


@contextmanager
def lock_held(database: Path, seconds: float) -> Iterator[float]:
    """Another process holds the write lock of a SQLite database for ``seconds``; gives the time when it took it."""
    command = [sys.executable, "-c", HOLD, str(database), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield time.time()
        holder.kill()


def refuse(method: str, path: str) -> Fault | None:
    """For ``HttpProxy.fault``: every request of an object store is answered with 503."""
    return Fault(status=503) if method in ("PUT", "POST", "HEAD", "GET") else None
