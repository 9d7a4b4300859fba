"""How fast the server reads, beside MLflow's where that is installed.

    python bench/server/bench.py [--mlflow PYTHON] [--runs 10000] [--tasks 100000] [--seconds 10]

``--mlflow`` is the interpreter of an environment that has the package ``mlflow``; it gets the same number of runs.
Server and readers share the machine. What is printed are times of this machine; compare the two columns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from load import Reader, measure

HERE = Path(__file__).parent
PROJECT = "/api/v1/projects/default"


def resident(pid: int) -> float:
    """MiB of memory that a process and its children occupy."""
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
        except OSError:
            continue
        if int(folder.name) == pid or re.search(rf"^PPid:\s+{pid}$", status, re.M):
            found += int(re.search(r"^VmRSS:\s+(\d+)", status, re.M)[1]) if "VmRSS" in status else 0
    return found / 1024


class Server:
    """``headrace server`` in a folder."""

    def __init__(self, folder: Path) -> None:
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headrace", "server", "--port", "0"],
            cwd=folder,
            env={name: text for name, text in os.environ.items() if not name.startswith("HEADRACE_")},
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self.process.stderr.readline()
        host, port = re.search(r"http://([\d.]+):(\d+)", line).groups()
        self.place = host, int(port)
        asyncio.run(self._get("/readyz"))
        self.start = time.perf_counter() - began

    async def _get(self, path: str) -> bytes:
        return await Reader(*self.place).get(path)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)


async def listen(place: tuple[str, int], path: str, count: int, seconds: float) -> int:
    """Open so many streams of events; how many had an event within ``seconds``."""
    heard = 0

    async def one() -> None:
        nonlocal heard
        reader, writer = await asyncio.open_connection(*place)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {place[0]}:{place[1]}\r\n\r\n".encode())
        await reader.readuntil(b"event: run")
        heard += 1
        await asyncio.sleep(seconds)
        writer.close()

    await asyncio.gather(*(one() for _ in range(count)))
    return heard


def headrace(given: argparse.Namespace, folder: Path) -> None:
    """Measure Headrace."""
    empty = folder / "empty"
    empty.mkdir()
    server = Server(empty)
    print(f"start on an empty folder  {server.start:.2f} s")
    server.close()
    subprocess.run(
        [sys.executable, str(HERE / "fill.py"), str(folder), f"--runs={given.runs}", f"--tasks={given.tasks}"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    server = Server(folder)
    print(f"start on {given.runs:,} runs      {server.start:.2f} s")
    print(f"memory at rest            {resident(server.process.pid):.0f} MiB")
    wide = f"{PROJECT}/runs/wide/1"
    cases = {
        "list, first page": (f"{PROJECT}/runs?limit=50", 1),
        "list, a condition": (f"{PROJECT}/runs?where=metrics.loss%20%3C%200.1&limit=50", 1),
        f"run of {given.tasks:,} tasks": (wide, 1),
        "its steps": (f"{wide}/steps", 1),
        "its tasks, a page": (f"{wide}/tasks?limit=200&step=work", 1),
        "its graph": (f"{wide}/graph", 1),
        "200 readers of lists": (f"{PROJECT}/runs?limit=20", 200),
        "200 readers of a run": (f"{PROJECT}/runs/train/17", 200),
    }
    for name, (path, readers) in cases.items():
        print(f"{name:25} {asyncio.run(measure(server.place, [(path, b'')], readers, given.seconds))}")
    pages = [(f"{PROJECT}/runs/train/{number}", b"") for number in range(1, 201)]
    print(f"{'200 readers of 200 runs':25} {asyncio.run(measure(server.place, pages, 200, given.seconds))}")
    print(f"memory after that         {resident(server.process.pid):.0f} MiB")
    before = os.times()
    heard = asyncio.run(listen(server.place, f"{PROJECT}/runs/train/17/events", 1_000, 3.0))
    text = asyncio.run(server._get("/metrics")).decode()
    pollers = re.search(r"^headrace_pollers (\S+)", text, re.M)[1]
    told = f"{heard} heard it, pollers {float(pollers):.0f}"
    print(f"1,000 listeners of a run  {told}, {os.times()[0] - before[0]:.1f} s of the reader")
    server.close()


def mlflow(given: argparse.Namespace, folder: Path) -> None:
    """Measure MLflow with as many runs."""
    store = f"sqlite:///{folder}/mlflow.db"
    subprocess.run([given.mlflow, str(HERE / "fill_mlflow.py"), store, str(given.runs)], check=True)
    began = time.perf_counter()
    command = [given.mlflow, "-m", "mlflow", "server", "--backend-store-uri", store, "--port", "8799", "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    place = "127.0.0.1", 8799
    while True:
        try:
            asyncio.run(Reader(*place).get("/health"))
            break
        except OSError:
            time.sleep(0.1)
    print(f"mlflow: start             {time.perf_counter() - began:.2f} s")
    print(f"mlflow: memory at rest    {resident(process.pid):.0f} MiB")
    search = json.dumps({"experiment_ids": ["0"], "max_results": 50}).encode()
    some = json.dumps({"experiment_ids": ["0"], "max_results": 50, "filter": "metrics.loss < 0.1"}).encode()
    few = json.dumps({"experiment_ids": ["0"], "max_results": 20}).encode()
    path = "/api/2.0/mlflow/runs/search"
    for name, body, readers in (
        ("list, first page", search, 1),
        ("list, a condition", some, 1),
        ("200 readers of lists", few, 200),
    ):
        print(f"mlflow: {name:17} {asyncio.run(measure(place, [(path, body)], readers, given.seconds))}")
    process.terminate()
    process.wait(30)


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--mlflow", default="", help="interpreter of an environment with mlflow")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        headrace(given, Path(folder))
        if given.mlflow:
            mlflow(given, Path(folder))


if __name__ == "__main__":
    main()
