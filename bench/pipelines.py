"""Pipelines beside ``kfp.local`` with its SubprocessRunner, in the same run.

    python bench/pipelines.py PYTHON        # PYTHON: an interpreter that has kfp, such as .venv-kfp/bin/python

Each figure of Headrace stands beside that of kfp.local and the ratio of the two. kfp.local gets fewer tasks, because it
takes long; figures are per task. Both run the same pipelines; kfp.local is spared ``pip install kfp``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from headrace.frontends.kfp import validation
from headrace.frontends.kfp.graph import Graphs
from headrace.frontends.kfp.launch import Launch, run_pipeline
from headrace.frontends.kfp.pipeline_file import read_pipeline
from headrace.settings import Settings
from headrace.wiring import scope_at

PIPELINES = """
import sys, time, warnings
warnings.simplefilter("ignore")
from kfp import compiler, dsl, local
from typing import List

@dsl.component(install_kfp_package=False)
def nothing(x: int) -> int:
    return x

def chain_of(count):
    @dsl.pipeline(name="chain")
    def chain() -> int:
        last = nothing(x=0)
        for _ in range(count - 1):
            last = nothing(x=last.output)
        return last.output
    return chain

def loop_of(count):
    @dsl.pipeline(name="loop")
    def loop() -> List[int]:
        with dsl.ParallelFor(list(range(count))) as x:
            one = nothing(x=x)
        return dsl.Collected(one.output)
    return loop

command, kind, count, folder = sys.argv[1:]
made = {"chain": chain_of, "loop": loop_of}[kind](int(count))
if command == "compile":
    compiler.Compiler().compile(made, f"{folder}/{kind}{count}.yaml")
else:
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=folder, enable_caching=command == "cached")
    began = time.perf_counter()
    made()
    print(f"\\nseconds {time.perf_counter() - began}")
"""
now = time.perf_counter


def show(what: str, seconds: float, beside: float, target: str) -> None:
    print(
        f"{what:44} {seconds * 1e3:9.2f} ms  kfp.local {beside * 1e3:9.2f} ms  1/{beside / seconds:<8.1f} {target}",
        flush=True,
    )


class Bench:
    """A folder with the pipelines, and both ways to run them."""

    def __init__(self, python: str, folder: str) -> None:
        self.python, self.folder = python, folder
        Path(folder, "pipelines.py").write_text(PIPELINES)
        self.environ = {**os.environ, "PATH": f"{Path(python).parent}:{os.environ['PATH']}"}

    def real(self, command: str, kind: str, count: int) -> tuple[float, float]:
        """Seconds of the pipeline under kfp.local, and of the whole process."""
        began = now()
        argv = [self.python, f"{self.folder}/pipelines.py", command, kind, str(count), self.folder]
        done = subprocess.run(argv, env=self.environ, capture_output=True, text=True, check=True)
        return float(done.stdout.split("seconds ")[-1]) if command != "compile" else 0.0, now() - began

    def ours(self, kind: str, count: int, *, use_cache: bool = False) -> float:
        """Seconds of the pipeline under Headrace in this process."""
        path = f"{self.folder}/{kind}{count}.yaml"
        if not Path(path).exists():
            self.real("compile", kind, count)
        pipeline = read_pipeline(path)
        scope = scope_at(Settings(home=f"{self.folder}/home"))
        began = now()
        ended = run_pipeline(pipeline, {}, Launch(scope=scope, entry=f"{path}:{kind}", use_cache=use_cache))
        assert ended.error is None, ended.error
        return now() - began

    def each(self, kind: str, few: int, many: int) -> float:
        """Seconds per task: what ``many`` tasks take longer than ``few``, the best of three times."""
        self.ours(kind, few)  # imports
        return (min(self.ours(kind, many) for _ in range(3)) - min(self.ours(kind, few) for _ in range(3))) / (
            many - few
        )

    def command(self, path: str, *options: str) -> float:
        """Seconds of ``headrace run`` from the start of the process to its exit."""
        began = now()
        home = f"{self.folder}/home"
        argv = [sys.executable, "-m", "headrace", "run", "--quiet", *options, path]
        subprocess.run(argv, env={**os.environ, "HEADRACE_HOME": home}, check=True, capture_output=True)
        return now() - began


def main(python: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(python, folder)
        bench.ours("chain", 1)  # imports
        real, whole = bench.real("run", "chain", 1)
        show(
            "hello: start to exit",
            min(bench.command(f"{folder}/chain1.yaml", "--no-cache") for _ in range(3)),
            whole,
            "target 1/2",
        )
        real, _ = bench.real("run", "chain", 10)
        show("chain, per component", bench.each("chain", 10, 210), real / 10, "target 1/25")
        real, _ = bench.real("run", "loop", 20)
        show("ParallelFor of 1,000, per iteration", bench.each("loop", 20, 1020), real / 20, "target 1/300")
        _, real = min(bench.real("cached", "chain", 10)[::-1] for _ in range(3))[::-1]
        seconds = min(bench.command(f"{folder}/chain10.yaml") for _ in range(3))
        show("chain of 10 from the cache: start to exit", seconds, real, "target 1/2")
        plan(bench)


def plan(bench: Bench) -> None:
    """A YAML of 1,000 tasks, read, checked and planned."""
    bench.real("compile", "chain", 1000)
    path = f"{bench.folder}/chain1000.yaml"
    began = now()
    pipeline = read_pipeline(path)
    read = now()
    validation.check(pipeline, path)
    assert pipeline.spec.root.dag is not None
    Graphs(pipeline.spec).of(pipeline.spec.root.dag)
    size = os.path.getsize(path)
    print(
        f"1,000 tasks ({size >> 10} KiB of YAML): read {read - began:.3f} s, planned {now() - read:.3f} s   "
        "target 0.5 s together"
    )
    heavy = json.dumps(sorted({name.partition(".")[0] for name in sys.modules} & {"kfp", "google", "celpy"}))
    print(f"modules of kfp, protobuf or CEL in this process: {heavy}")


if __name__ == "__main__":
    main(sys.argv[1])
