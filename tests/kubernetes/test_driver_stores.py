"""Stores of runs that are driven in the cluster: what pods ask them for, and a run while its bucket is away."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import obstore
from obstore.store import S3Store
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import allow_drivers, driven_project

from headrace.testing.proxy import Fault, HttpProxy

FLOW = """
import os
import time
from headrace import flow, step

@step(cpu=0.02)
def make() -> bytes:
    return os.urandom(1 << 20)

@step(cpu=0.02)
def size(data: bytes, n: int) -> int:
    return len(data) + n

@step(cpu=0.02)
def kept(n: int) -> bytes:
    time.sleep(0.5)
    return bytes([n]) * 200_000

@flow
def train() -> int:
    data = make.submit()
    sizes = [size(data, n) for n in range(3)]
    print("the bucket may go", flush=True)
    return sum(sizes) + sum(len(kept(n)) for n in range(10))
"""
#: Seconds for which the bucket is away.
AWAY = float(os.environ.get("HEADRACE_TEST_AWAY", "6"))


def test_pods_fetch_no_value_that_they_made_and_wait_for_a_bucket_that_is_away(
    tmp_path: Path, space: Space, cluster: Cluster, image: str, database: str, bucket: dict[str, str]
) -> None:
    fetched: list[str] = []
    away = threading.Event()

    def asked(method: str, path: str) -> Fault | None:
        if method == "GET":
            fetched.append(urlsplit(path).path)
        return Fault(status=503) if away.is_set() else None

    variables = {"HEADRACE_DATABASE": database, **bucket}
    server = ("127.0.0.1", urlsplit(bucket["AWS_ENDPOINT_URL"]).port or 0)
    with HttpProxy(server, asked) as proxy:
        behind = f"http://{cluster.host}:{proxy.address[1]}"
        project = driven_project(tmp_path, space, cluster, image, variables)
        allow_drivers(space, {**variables, "AWS_ENDPOINT_URL": behind})
        project.write(FLOW, limits={"pods": 1})
        process = project.start("run", "train.py", "--on", "pods")
        assert process.stdout is not None
        said = ""
        while "the bucket may go" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        away.set()
        time.sleep(AWAY)
        assert process.poll() is None, "the run goes on"
        away.clear()
        rest, _ = process.communicate(timeout=90)
        assert process.returncode == 0, said + rest
        assert proxy.failed > 0, "else the bucket was not missed"
    assert project.result("train/1") == 3 * (1 << 20) + 3 + 10 * 200_000
    store = S3Store.from_url(
        variables["HEADRACE_ARTIFACTS"],
        client_options={"allow_http": True},
        **{name.lower(): value for name, value in bucket.items() if name.startswith("AWS_")},
    )
    large = [one["path"] for page in obstore.list(store) for one in page if one["size"] >= 1 << 20]
    assert large
    assert fetched
    assert not [path for path in fetched if any(path.endswith(one) for one in large)]
