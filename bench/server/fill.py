"""A workspace of 10,000 runs, and one run of 100,000 tasks, written by the store itself."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from headrace import wiring
from headrace.model.records import Edge, MetricChunk, Param, Success, Tag, TaskRecord
from headrace.model.states import RunState, TaskState
from headrace.settings import Settings
from headrace.stores.metadata.protocol import MetadataStore, NewRun, RunChange

NOW = 1_750_000_000.0


def main() -> None:
    """Fill ``FOLDER/.headrace``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--tasks", type=int, default=100_000)
    given = parser.parse_args()
    with wiring.Workspace(Settings(home=str(given.folder / ".headrace"))) as workspace:
        chance = random.Random(1)
        for number in range(given.runs):
            one_run(workspace.metadata, number, chance)
        large_run(workspace.metadata, given.tasks)
        run_of_many_steps(workspace.metadata)
    sys.stdout.write(f"{given.folder}\n")


def one_run(store: MetadataStore, number: int, chance: random.Random) -> None:
    """A run with three parameters, two metrics and a tag."""
    at = NOW + number
    new = NewRun(project="default", flow="train", dialect="native", entry="train.py:train", created=at)
    run = store.create_run(new)
    values = tuple(chance.random() for _ in range(20))
    steps = tuple(range(20))
    store.commit(
        [
            Param(run.id, "depth", str(number % 10)),
            Param(run.id, "rate", f"{chance.random():.4f}"),
            Param(run.id, "name", f'"model-{number % 7}"'),
            Tag(run.id, "team", f"t{number % 5}"),
            *(
                MetricChunk(
                    run_id=run.id, step="fit", number=1, name=name, values=values, steps=steps, times=(at,) * 20
                )
                for name in ("loss", "accuracy")
            ),
            RunChange(run_id=run.id, state=RunState.SUCCEEDED, started=at, finished=at + 60.0),
        ]
    )


def large_run(store: MetadataStore, tasks: int) -> None:
    """A run of three steps: one task, ``tasks`` of them, one task."""
    run = store.create_run(NewRun(project="default", flow="wide", dialect="native", entry="w.py:wide", created=NOW))
    for first in range(1, tasks + 1, 5_000):
        store.commit([task(run.id, "work", number) for number in range(first, min(first + 5_000, tasks + 1))])
    store.commit([task(run.id, "load", 1), task(run.id, "join", 1)])
    for first in range(1, tasks + 1, 5_000):
        numbers = range(first, min(first + 5_000, tasks + 1))
        store.commit([Edge(run.id, *one) for n in numbers for one in (("load", 1, "work", n), ("work", n, "join", 1))])
    store.commit([RunChange(run_id=run.id, state=RunState.SUCCEEDED, started=NOW, finished=NOW + 600.0)])


def run_of_many_steps(store: MetadataStore, layers: int = 50, width: int = 20) -> None:
    """A run of a thousand steps of one task, each with data of two steps of the layer before."""
    run = store.create_run(NewRun(project="default", flow="steps", dialect="native", entry="s.py:steps", created=NOW))
    store.commit([task(run.id, f"s{layer}_{one}", 1) for layer in range(layers) for one in range(width)])
    edges = [
        Edge(run.id, f"s{layer - 1}_{(one + by) % width}", 1, f"s{layer}_{one}", 1)
        for layer in range(1, layers)
        for one in range(width)
        for by in (0, 7)
    ]
    store.commit([*edges, RunChange(run_id=run.id, state=RunState.SUCCEEDED, started=NOW, finished=NOW + 600.0)])


def task(run_id: int, step: str, number: int) -> TaskRecord:
    """A task that succeeded, one after the other on each of eight workers."""
    at = NOW + number // 8 * 0.045
    how = Success(at, at + 0.04, "host", 100 + number % 8, 0.03, 1 << 20, 1, "local", number)
    return TaskRecord(
        run_id=run_id,
        step=step,
        number=number,
        key=number.to_bytes(8, "big") + bytes(24),
        state=TaskState.SUCCEEDED,
        inputs=(),
        occurrence=0,
        code=bytes(32),
        attempts=1,
        created=at,
        started=at,
        finished=at + 0.04,
        success=how,
    )


if __name__ == "__main__":
    main()
