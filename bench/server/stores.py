"""What the stores over HTTP cost beside the stores themselves: commits, a chain of steps, a blob of 1 GiB.

    python bench/server/stores.py [--gib 1] [--commits 300] [--only commits|chain|blobs]

Server and client run on this machine. Commits alternate between the two stores, so that both meet the same load; a
chain is the better of some runs; a blob is copied over a raw socket into a file, as the server does it.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from blake3 import blake3

from headrace.model.records import TaskId
from headrace.stores.artifacts.http import HttpArtifacts
from headrace.stores.http_client import Endpoint
from headrace.stores.metadata.http import HttpMetadata
from headrace.stores.metadata.open import open_metadata
from headrace.stores.metadata.protocol import MetadataStore, NewRun
from headrace.testing.metadata import artifact, task
from headrace.testing.postgres import postgres_server

CHAIN = """
import time
from headrace import flow, step

@step
def add(n: int) -> int:
    return n + 1

@flow
def chain(count: int = 200) -> int:
    n = 0
    for _ in range(20):
        n = add(n)
    began = time.perf_counter()
    for _ in range(count):
        n = add(n)
    print("PER STEP", (time.perf_counter() - began) / count)
    return n
"""


@contextlib.contextmanager
def served(folder: Path, variables: dict[str, str]) -> Iterator[str]:
    """A server over what ``variables`` say."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    environ = {**os.environ, **variables}
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace", "server", "--port", str(port)], cwd=folder, env=environ
    )
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/healthz", timeout=5).close()
                break
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait()


def remote(url: str) -> HttpMetadata:
    return HttpMetadata(Endpoint(url, lambda: ""), "default").hasty()


def commits(stores: dict[str, MetadataStore], count: int) -> dict[str, float]:
    """Median seconds of a commit of a finished task with its artifact, by store; they take turns."""
    makers: dict[str, Callable[[int], None]] = {}
    for name, store in stores.items():
        run, lease = store.open_run(
            NewRun(project="default", flow="bench", dialect="native", entry="a.py:f", created=time.time()),
            "me:1:1",
            600,
        )

        def make(n: int, store: MetadataStore = store, run_id: int = run.id, lease: object = lease) -> None:
            writes = [task(run_id, number=n), artifact(run_id, number=n)]
            store.commit(writes, lease)  # type: ignore[arg-type]

        makers[name] = make
    seconds: dict[str, list[float]] = {name: [] for name in makers}
    for n in range(count + 20):
        for name, make in makers.items():
            began = time.perf_counter()
            make(n + 1)
            if n >= 20:
                seconds[name].append(time.perf_counter() - began)
    for store in stores.values():
        assert store.task(1, TaskId("fit", 1)) is not None
    return {name: statistics.median(values) for name, values in seconds.items()}


def chain(folder: Path, variables: dict[str, str], times: int = 3) -> float:
    """Seconds per step of a chain of no-op steps."""
    (folder / "chain.py").write_text(CHAIN)
    command = [sys.executable, "-m", "headrace", "run", "chain.py", "--count", "300"]
    found = []
    for _ in range(times):
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=True
        )
        found.append(float(re.findall(r"PER STEP (\S+)", done.stdout + done.stderr)[0]))
    return min(found)


def raw_copy(size: int, folder: Path, hashed: bool = False) -> float:
    """Seconds in which ``size`` bytes go from memory over a socket into a file of another process.

    Args:
        hashed: also hash them with BLAKE3 on both sides, here in another thread: the least that any upload does whose
            content is checked.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = os.fork()
        if child == 0:
            connection, _ = listener.accept()
            view, hasher = memoryview(bytearray(1 << 20)), blake3()
            with open(folder / "copied", "wb", buffering=0) as file:
                while count := connection.recv_into(view):
                    file.write(view[:count])
                    if hashed:
                        hasher.update(view[:count])
            connection.sendall(b"x")
            os._exit(0)
        data = memoryview(os.urandom(1 << 20))
        whole = bytes(data) * (size >> 20) if hashed else b""
        with socket.create_connection(listener.getsockname()) as connection:
            began = time.perf_counter()
            hashing = threading.Thread(target=lambda: blake3(whole).digest())
            hashing.start()
            for _ in range(size >> 20):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)
            hashing.join()
            took = time.perf_counter() - began
        os.waitpid(child, 0)
    (folder / "copied").unlink()
    return took


def raw_read(size: int) -> float:
    """Seconds in which ``size`` bytes come over a socket into memory that is new, as that of any download is."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def send() -> None:
            connection, _ = listener.accept()
            data = memoryview(bytes(1 << 20))
            for _ in range(size >> 20):
                connection.sendall(data)
            connection.close()

        thread = threading.Thread(target=send)
        thread.start()
        done = 0
        with socket.create_connection(listener.getsockname()) as connection:
            began = time.perf_counter()
            view = memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
            while done < size:
                done += connection.recv_into(view[done : done + (1 << 20)])
            took = time.perf_counter() - began
        thread.join()
    return took


def blobs(url: str, size: int, folder: Path) -> None:
    """Up and down, each of new content: the best, and the median ratio to a raw copy in the same moment."""
    up, down, raw, floor, read = [], [], [], [], []
    store = HttpArtifacts(Endpoint(url, lambda: ""))
    for _ in range(5):
        data = os.urandom(1 << 20) * (size >> 20)
        raw.append(raw_copy(size, folder))
        floor.append(raw_copy(size, folder, hashed=True))
        began = time.perf_counter()
        blob = store.put((data,))
        up.append(time.perf_counter() - began)
        read.append(raw_read(size))
        began = time.perf_counter()
        view = store.get(blob)
        down.append(time.perf_counter() - began)
        assert len(view) == size
        store.delete([blob.digest])
        del view, data
    for what, seconds, beside, name in (
        ("upload", up, raw, "a raw copy over a socket into a file"),
        ("", up, floor, "such a copy that is hashed on both sides"),
        ("download", down, read, "a raw copy over a socket into new memory"),
    ):
        ratio = statistics.median(ours / theirs for ours, theirs in zip(seconds, beside, strict=True))
        print(f"{what:10} {min(seconds):6.2f} s   {ratio:4.1f}x {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=1.0, help="size of the blob")
    parser.add_argument("--commits", type=int, default=300)
    parser.add_argument("--only", choices=("commits", "chain", "blobs"), default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, postgres_server() as database:
        folder = Path(name)
        places = {one: folder / one for one in ("sqlite", "postgres", "laptop", "direct")}
        for place in places.values():
            place.mkdir()
        home = {"HEADRACE_HOME": str(places["sqlite"] / ".headrace")}
        with (
            served(places["sqlite"], home) as local,
            served(places["postgres"], {"HEADRACE_DATABASE": database}) as shared,
        ):
            if given.only in ("", "commits"):
                stores: dict[str, MetadataStore] = {
                    "PostgreSQL": open_metadata(f"{database}&schema=direct").hasty(),
                    "server on PostgreSQL": remote(shared),
                    "server on SQLite": remote(local),
                }
                medians = commits(stores, given.commits)
                for which, seconds in medians.items():
                    print(f"commit     {seconds * 1e3:6.2f} ms  {seconds / medians['PostgreSQL']:4.1f}x  {which}")
            if given.only in ("", "chain"):
                direct = chain(places["direct"], {"HEADRACE_HOME": str(places["direct"] / ".headrace")})
                through = chain(places["laptop"], {"HEADRACE_SERVER": local})
                on_postgres = chain(places["direct"], {"HEADRACE_DATABASE": f"{database}&schema=chain"})
                through_postgres = chain(places["laptop"], {"HEADRACE_SERVER": shared})
                print(f"chain      {direct * 1e3:6.2f} ms  a step on SQLite")
                print(f"           {through * 1e3:6.2f} ms  {through / direct:4.1f}x  through the server")
                print(f"chain      {on_postgres * 1e3:6.2f} ms  a step on PostgreSQL")
                ratio = through_postgres / on_postgres
                print(f"           {through_postgres * 1e3:6.2f} ms  {ratio:4.1f}x  through the server")
            if given.only in ("", "blobs"):
                blobs(local, int(given.gib * (1 << 30)), folder)


if __name__ == "__main__":
    main()
