"""What a command costs beside its bare process, and a step in a container beside one on the machine.

    python bench/commands.py
    python bench/commands.py --tools localhost/tools:1 --python localhost/python:1     # with podman and such images

``--tools`` is an image with ``true``, ``--python`` one with Python. Ours and the other run by turns; medians are shown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable

from headrace import command, flow, step

ROUNDS = 40


def by_turns(ours: Callable[[int], object], other: Callable[[int], object], rounds: int) -> tuple[float, float]:
    """The medians of both in milliseconds, after one of each that does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for work, kept in zip((ours, other), times, strict=True):
            began = time.perf_counter()
            work(number)
            kept.append(time.perf_counter() - began)
    return statistics.median(times[0][1:]) * 1e3, statistics.median(times[1][1:]) * 1e3


def show(what: str, found: tuple[float, float], limit: float) -> None:
    """One line: ours, the other, the difference and what is allowed."""
    ours, other = found
    print(
        f"{what:42} {ours:8.2f} ms  beside {other:8.2f} ms: {ours - other:+8.2f} ms (at most +{limit:g} ms)", flush=True
    )


bare = command(["true"], inputs={"number": int})
files = command(shell="cat {one} > {out}", inputs={"one": "json"}, outputs={"out": "json"})


@step
def local(number: int) -> int:
    return number


@flow
def bench(tools: str, python: str) -> None:
    show("command", by_turns(bare, lambda _: subprocess.run(["true"], check=True), ROUNDS), 8)
    plain = ["sh", "-ec", f"cat {os.devnull} > {os.devnull}"]
    show("command with files", by_turns(lambda n: files([n]), lambda _: subprocess.run(plain, check=True), ROUNDS), 8)
    if tools:
        engine = ["podman", "run", "--rm", "--network=host", "--log-driver=none", tools, "true"]
        inside = bare.options(image=tools)
        show("command in a container", by_turns(inside, lambda _: subprocess.run(engine, check=True), 8), 150)
    if python:
        began = time.perf_counter()
        warm = local.options(image=python, name="inside")
        warm(-1)
        print(f"{'first Python step in a container':42} {(time.perf_counter() - began) * 1e3:8.2f} ms")
        show("Python step in a warm container", by_turns(warm, local, 200), 3)


def main() -> None:
    """Run in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", default="", help="an image with the program true")
    parser.add_argument("--python", default="", help="an image with Python")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["HEADRACE_HOME"] = home
        bench(asked.tools, asked.python)


if __name__ == "__main__":
    main()
