"""How long a 1 GiB array takes from a pod to another through the bucket, beside a raw put and get of as many bytes.

    python bench/kubernetes/hand_over.py --namespace bench --image localhost/headrace/worker:test --address 10.222.0.1

All four steps run in the same two pods: ``make`` and ``put`` in one, ``total`` and ``get`` in the other. The array is
made before time counts, and ``total`` and ``get`` read all of it.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from setting import Setting, arguments, places_file

from headrace.testing.servers import rclone_s3

FLOW = """
import os
import time
from pathlib import Path
import obstore
from obstore.store import from_url
import numpy as np
from headrace import Pod, flow, step

WRITER = dict(cpu=0.05, memory="6GiB", pod=Pod(labels={"side": "writer"}))
READER = dict(cpu=0.05, memory="6GiB", pod=Pod(labels={"side": "reader"}))

def array(n: int, seed: int):
    return np.arange(n << 17, dtype=np.float64) + seed

@step(**WRITER)
def make(n: int, seed: int) -> np.ndarray:
    made = array(n, seed)
    Path("/tmp/made").write_text(str(time.time()))
    return made

@step(**WRITER)
def made_at(seed: int) -> float:
    return float(Path("/tmp/made").read_text())

@step(**READER)
def total(values: np.ndarray) -> tuple:
    found = float(values.sum())
    return found, time.time()

def bucket():
    return from_url(os.environ["BENCH_BUCKET"])

@step(**WRITER)
def put(n: int, seed: int) -> tuple:
    made = array(n, seed)
    began = time.time()
    obstore.put(bucket(), f"raw-{seed}", memoryview(made).cast("B"), use_multipart=True)
    return began, time.time()

@step(**READER)
def get(seed: int) -> tuple:
    began = time.time()
    values = np.frombuffer(obstore.get(bucket(), f"raw-{seed}").bytes(), dtype=np.float64)
    found = float(values.sum())
    took = time.time() - began
    obstore.delete(bucket(), f"raw-{seed}")
    return found, took

@flow(tags=["bench"])
def hand_over(mib: int = 1024, rounds: int = 3) -> dict:
    make(1, -1), total(make.submit(1, -2))  # both pods are warm
    found = {"ours": [], "raw": []}
    for seed in range(rounds):
        sum_, ended = total(make.submit(mib, seed))
        found["ours"].append(ended - made_at(seed))
        began, stored = put(mib, seed)
        other, took = get(seed)
        assert sum_ == other
        found["raw"].append(stored - began + took)
    return found
"""


def report(setting: Setting, mib: int, rounds: int) -> None:
    """Print what it takes."""
    with rclone_s3(host="0.0.0.0") as (url, config), tempfile.TemporaryDirectory() as folder:
        config["aws_endpoint_url"] = f"http://{setting.address}:{config['aws_endpoint_url'].rpartition(':')[2]}"
        credentials = {name.upper(): value for name, value in config.items()}
        variables = {**credentials, "AWS_ALLOW_HTTP": "true", "BENCH_BUCKET": f"{url}/raw"}
        Path(folder, "hand_over.py").write_text(FLOW)
        Path(folder, "pyproject.toml").write_text(places_file(setting, variables))
        environ = {**os.environ, **credentials, "HEADRACE_ARTIFACTS": f"{url}/bench"}
        command = [sys.executable, "-m", "headrace"]
        sizes = ["--mib", str(mib), "--rounds", str(rounds)]
        told = ["run", "hand_over.py", *sizes, "--on", "pods", "--quiet"]
        subprocess.run([*command, *told], cwd=folder, env=environ, check=True)
        said = subprocess.check_output([*command, "get", "hand_over", "--json"], cwd=folder, env=environ, text=True)
    found = ast.literal_eval(json.loads(said)["text"])
    ours, raw = min(found["ours"]), min(found["raw"])
    pairs = zip(found["ours"], found["raw"], strict=True)
    print(f"array of {mib} MiB from pod to pod: {ours:.2f} s; raw put and get of the bucket: {raw:.2f} s")
    print(f"ratio: {ours / raw:.2f} (target: 1.3); of each round:", *[f"{one / other:.2f}" for one, other in pairs])


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    setting = arguments(parser)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    told = parser.parse_args()
    report(setting(told), told.mib, told.rounds)


if __name__ == "__main__":
    main()
