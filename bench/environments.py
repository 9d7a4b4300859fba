"""What an environment of a step costs: to find one that is built, its first task, its tasks, and to build one.

    python bench/environments.py

Each figure stands beside the same without an environment, or beside the plain start of an interpreter, in the same run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from headrace import Environment, flow, step
from headrace.services.environments.service import Environments

OTHER = next(
    version for version in ("3.10", "3.12", "3.13") if sys.version_info[:2] != tuple(map(int, version.split(".")))
)
SMALL = Environment(packages=["six==1.16.0"], python=OTHER)
DATA = Environment(packages=["pandas", "scikit-learn"])
TASKS = 1_000
now = time.perf_counter


def same(number: int) -> int:
    return number


here = step(name="here")(same)
there = step(name="there", environment=SMALL)(same)


@flow
def timed() -> dict[str, float]:
    here(0)
    found = {}
    began = now()
    there(0)
    found["first"] = now() - began
    for one in (here, there):
        began = now()
        for future in one.map(range(TASKS)):
            future.result()
        found[one.name] = (now() - began) / TASKS
    return found


def show(what: str, seconds: float, beside: str, limit: float) -> None:
    print(
        f"{what:42} {seconds * 1e3:9.2f} ms   {beside:34} {limit * 1e3:9.2f} ms   {seconds / limit:5.2f}x", flush=True
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADRACE_HOME"] = folder
        environments = Environments(str(Path(folder, "environments")), lambda _: None)
        for environment in (SMALL, DATA):  # what is measured is a warm cache of uv
            environments.build(environments.lock(environment, "bench", "."), "bench")
        lock = environments.lock(SMALL, "bench", ".")
        python = environments.build(lock, "bench").python
        began = now()
        for _ in range(50):
            again = Environments(environments.cache, lambda _: None)
            again.build(again.lock(SMALL, "bench", "."), "bench")
        check = (now() - began) / 50
        began = now()
        subprocess.run([python, "-c", "pass"], check=True)
        plain = now() - began
        timed()  # what is imported and compiled once
        found = timed()
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(same, range(10)))
            began = now()
            list(pool.map(same, range(TASKS)))
            pooled = (now() - began) / TASKS
        show("find an environment that is built", check, "target", 0.005)
        show(f"first task on Python {OTHER}", found["first"], "the start of that Python", plain)
        show("a task of 1,000 there", found["there"], "a task of 1,000 without environment", found["here"])
        show("a task of 1,000 there", found["there"], "a task of a process pool", pooled)
    with tempfile.TemporaryDirectory() as folder:
        environments = Environments(folder, lambda _: None)
        lock = environments.lock(DATA, "bench", ".")
        began = now()
        environments.build(lock, "bench")
        show("build pandas and scikit-learn, warm cache", now() - began, "target", 5.0)


if __name__ == "__main__":
    main()
