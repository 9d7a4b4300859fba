"""How long tasks take in warm pods, beside the same flow on this machine, and how long the first one takes.

    python bench/kubernetes/bench.py --namespace bench --image localhost/headrace/worker:test --address 10.222.0.1

Artifacts are in an S3 server that is started for it. Runs go by turns: all here, with the driver here and pods, and
with the driver in the cluster, too. Each figure is the least of ``--rounds``, with all of them behind it.
Requests to the API server are counted by a relay in front of it, of runs whose driver is here.
``--cpu-limit`` gives the workers' pods a limit of processor time.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from setting import Setting, arguments, drivers_allowed, places_file

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.client import ClusterClient, Kind
from headrace.testing.api_requests import ApiRequests, counted_requests
from headrace.testing.servers import rclone_s3

FLOW = """
import resource
import time
from headrace import flow, step

@step(cpu=0.05)
def work(n: int) -> int:
    return n

@flow(tags=["bench"])
def bench(chain: int = 50, fan: int = 1000, warm: int = 4) -> dict:
    began = time.perf_counter()
    work(-1)
    first = time.perf_counter() - began
    for _ in range(2):
        [one.result() for one in work.map(list(range(-100, 0)))]
    began = time.perf_counter()
    value = 0
    for _ in range(chain):
        value = work(value + 1)
    per_step = (time.perf_counter() - began) / chain
    began = time.perf_counter()
    [one.result() for one in work.map(list(range(1000, 1000 + fan)))]
    per_task = (time.perf_counter() - began) / fan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"first": first, "chain": per_step, "fan": per_task, "peak": peak}
"""
POD = Kind("v1", "Pod")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    setting = arguments(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chain", type=int, default=50)
    parser.add_argument("--fan", type=int, default=1000)
    parser.add_argument("--warm", type=int, default=4, help="pods")
    parser.add_argument("--cpu-limit", default="", help="of the workers' pods, as Kubernetes has it: 100m")
    told = parser.parse_args()
    sizes = ["--chain", str(told.chain), "--fan", str(told.fan)]
    report(setting(told), told.rounds, told.warm, sizes, told.cpu_limit)


def report(setting: Setting, rounds: int, warm: int, sizes: list[str], cpu_limit: str = "") -> None:
    """Print a table."""
    with (
        rclone_s3(host="0.0.0.0") as (url, config),
        tempfile.TemporaryDirectory() as folder,
        counted_requests(setting.kubeconfig) as requests,
    ):
        config["aws_endpoint_url"] = f"http://{setting.address}:{config['aws_endpoint_url'].rpartition(':')[2]}"
        stores = {name.upper(): value for name, value in config.items()} | {"HEADRACE_ARTIFACTS": f"{url}/bench"}
        credentials = {name: value for name, value in stores.items() if name.startswith("AWS_")}
        Path(folder, "bench.py").write_text(FLOW)
        counted = setting._replace(kubeconfig=str(requests.kubeconfig))
        Path(folder, "pyproject.toml").write_text(places_file(counted, credentials, warm, cpu_limit))
        environ = {**os.environ, **stores}
        with (
            ClusterClient(Access(setting.kubeconfig), setting.namespace) as client,
            drivers_allowed(setting, stores) as database,
        ):
            environs = {"local": environ, "pods": environ, "driven": {**environ, "HEADRACE_DATABASE": database}}
            if setting.kubeconfig:
                environs["driven"]["KUBECONFIG"] = setting.kubeconfig
            bare: list[float] = []
            found: dict[str, list[dict[str, float]]] = {place: [] for place in environs}
            for _ in range(rounds):
                bare.append(_bare_pod(client, setting.image))
                for place, those in environs.items():
                    found[place].append(_round(folder, place, those, sizes))
        _print(found, bare)
        _print_requests(requests, warm * rounds, rounds)


_FIGURES = (
    ("first", "first task", 1.0, "s"),
    ("chain", "step of a chain", 1e3, "ms"),
    ("fan", "task of a fan-out", 1e3, "ms"),
    ("peak", "driver at its peak", 1.0, "MiB"),
)


def _print(found: dict[str, list[dict[str, float]]], bare: list[float]) -> None:
    print(f"bare pod, asked for to Running: {_spread(bare, 1.0)} s; target of a first task: {min(bare) + 0.7:.2f} s")
    print("| | here | in pods, driver here | in pods, driver in the cluster |\n|---|---|---|---|")
    for name, what, factor, unit in _FIGURES:
        cells = [f"{_spread([one[name] for one in rounds], factor)} {unit}" for rounds in found.values()]
        print(f"| {what} | {' | '.join(cells)} |")


def _spread(figures: list[float], factor: float) -> str:
    """The least, and all in order."""
    in_order = sorted(factor * one for one in figures)
    return f"{in_order[0]:.2f} ({', '.join(f'{one:.2f}' for one in in_order)})"


def _print_requests(requests: ApiRequests, pods: int, runs: int) -> None:
    others = dict(requests.counted)
    made, dropped = others.pop("POST pods"), others.pop("DELETE pods")
    print(f"requests to the API server: {requests.total()} in {runs} runs with {pods} pods (target: 3 per pod):")
    print(f"  {made} creations and {dropped} deletions of pods; and {sum(others.values()) / runs:g} per run:")
    print("  " + ", ".join(f"{what} {count / runs:g}" for what, count in sorted(others.items())))


def _round(folder: str, place: str, environ: dict[str, str], sizes: list[str]) -> dict[str, float]:
    command = [sys.executable, "-m", "headrace"]
    told = ["run", "bench.py", *sizes, "--on", place, "--quiet"]
    subprocess.run([*command, *told], cwd=folder, env=environ, check=True)
    said = subprocess.check_output([*command, "get", "bench", "--json"], cwd=folder, env=environ, text=True)
    found: dict[str, float] = ast.literal_eval(json.loads(said)["text"])
    return found


def _bare_pod(client: ClusterClient, image: str) -> float:
    """Seconds from asking for a pod until its status says that it runs."""
    name = f"bare-{os.urandom(4).hex()}"
    container = {"name": "main", "image": image, "command": ["sleep", "60"], "resources": {"requests": {"cpu": "50m"}}}
    spec = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
    began = time.perf_counter()
    client.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    with _deleted(client, name):
        while (client.get(POD, name).get("status") or {}).get("phase") != "Running":
            time.sleep(0.02)
        return time.perf_counter() - began


@contextlib.contextmanager
def _deleted(client: ClusterClient, name: str) -> Iterator[Any]:
    try:
        yield
    finally:
        client.delete(POD, name)


if __name__ == "__main__":
    main()
