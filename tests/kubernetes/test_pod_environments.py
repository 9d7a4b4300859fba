"""Environments that pods build, from an index that the place names, into a cache that they share."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project

FLOW = """
import os
from headrace import Environment, flow, step

@step(environment=Environment(packages=["packaging==24.2"]), cpu=0.05, isolated=True)
def inside() -> str:
    import packaging
    return f"{packaging.__version__} {os.getuid()} {packaging.__file__.startswith('/headrace/environments/')}"

@flow
def main() -> str:
    return inside()
"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path, cluster: Cluster) -> Iterator[tuple[str, ThreadingHTTPServer]]:
    """A package index with one package; its URL for pods."""
    folder = tmp_path / "simple" / "packaging"
    told = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder), "packaging==24.2"]
    subprocess.run([sys.executable, "-m", "pip", *told], check=True)
    server = ThreadingHTTPServer(("0.0.0.0", 0), functools.partial(_Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://{cluster.host}:{server.server_address[1]}/simple", server
    server.shutdown()
    thread.join()
    server.server_close()


def test_environment_is_built_in_a_pod_once_for_all_that_share_its_cache(
    tmp_path: Path,
    space: Space,
    cluster: Cluster,
    image: str,
    bucket: dict[str, str],
    index: tuple[str, ThreadingHTTPServer],
) -> None:
    url, server = index
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)  # the node is this machine, and pods have a user of their own
    project = Project(tmp_path, space, cluster, image, bucket)
    shared = {"name": "cache", "hostPath": {"path": str(cache)}}
    mount = {"name": "cache", "mountPath": "/headrace/environments"}
    variables = {**project.settings["variables"], "UV_DEFAULT_INDEX": url, "UV_INDEX_URL": url}
    project.write(FLOW, variables=variables, pod={"volumes": [shared], "volume_mounts": [mount]})
    project.run("run", "train.py", "--on", "pods", seconds=300)
    server.shutdown()  # the next pod finds what the first one has built
    project.run("run", "train.py", "--on", "pods", seconds=300)
    assert [project.run("get", one).strip() for one in ("main/1", "main/2")] == ["24.2 1000 True"] * 2
