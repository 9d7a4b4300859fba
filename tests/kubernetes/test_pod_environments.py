"""Environments that pods build, from an index that the place names, into a cache that they share."""

from __future__ import annotations

import contextlib
import functools
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests import user_images
from tests.clusters import Cluster
from tests.interpreters import FOUND, OURS
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project, allow_drivers, driven_project

from headrace.services.environments.baking import STORES
from headrace.services.environments.locking import BESIDE, NEEDED

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


@contextlib.contextmanager
def _served(folder: Path, cluster: Cluster) -> Iterator[tuple[str, ThreadingHTTPServer]]:
    """A package index of what is in a folder; its URL for pods."""
    server = ThreadingHTTPServer(("0.0.0.0", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://{cluster.host}:{server.server_address[1]}/simple", server
    server.shutdown()
    thread.join()
    server.server_close()


def _download(folder: Path, *words: str) -> None:
    told = ["download", "--quiet", "--only-binary=:all:", "--dest", str(folder), *words]
    subprocess.run([sys.executable, "-m", "pip", *told], check=True)


@pytest.fixture
def index(tmp_path: Path, cluster: Cluster) -> Iterator[tuple[str, ThreadingHTTPServer]]:
    """A package index with one package."""
    _download(tmp_path / "simple" / "packaging", "--no-deps", "packaging==24.2")
    with _served(tmp_path, cluster) as served:
        yield served


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


VERSIONS = """
import sys
from headrace import flow, step

def version(n: int) -> str:
    print("printed inside", n)
    return f"{sys.version_info[0]}.{sys.version_info[1]}"

STEPS = [step(version, name=f"inside_{n}", image=one, cpu=0.05) for n, one in enumerate(IMAGES)]

@flow
def main() -> list:
    return [one.result() for one in [made.submit(n) for n, made in enumerate(STEPS)]]
"""


def test_steps_run_on_the_pythons_of_their_images_for_which_pods_install_what_workers_need(
    tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str]
) -> None:
    others = [one for one in ("3.10", "3.12", "3.13") if one in FOUND and one != OURS]
    wheels = tmp_path / "wheels"
    for one in others:
        _download(wheels, f"--python-version={one}", *NEEDED, *BESIDE, STORES, "exceptiongroup>=1.2", "packaging")
    for file in wheels.iterdir():
        folder = tmp_path / "index" / "simple" / re.sub(r"[-_.]+", "-", file.name.partition("-")[0]).lower()
        folder.mkdir(parents=True, exist_ok=True)
        file.rename(folder / file.name)
    images = [user_images.for_cluster(f"python{one}") for one in others]
    project = Project(tmp_path, space, cluster, image, bucket)
    with _served(tmp_path / "index", cluster) as (url, _):
        variables = {**project.settings["variables"], "UV_DEFAULT_INDEX": url, "UV_INDEX_URL": url}
        project.write(VERSIONS.replace("IMAGES", repr(images)), variables=variables)
        project.run("run", "train.py", "--on", "pods", seconds=300)
    assert project.result("main/1") == others
    assert "printed inside 1" in project.run("logs", "main/1")


def test_driver_in_the_cluster_has_the_files_that_environments_are_made_of(
    tmp_path: Path,
    space: Space,
    cluster: Cluster,
    image: str,
    bucket: dict[str, str],
    database: str,
    index: tuple[str, ThreadingHTTPServer],
) -> None:
    stores = {**bucket, "HEADRACE_DATABASE": database}
    allow_drivers(space, stores)
    project = driven_project(tmp_path, space, cluster, image, stores)
    variables = {"UV_DEFAULT_INDEX": index[0], "UV_INDEX_URL": index[0]}
    project.write(FLOW.replace('Environment(packages=["packaging==24.2"])', '"old"'), variables=variables)
    (tmp_path / "old.txt").write_text("packaging==24.2\n")
    with (tmp_path / "pyproject.toml").open("a") as settings:
        settings.write('[tool.headrace.environments.old]\nfile = "old.txt"\n')
    said = project.run("run", "train.py", "--on", "pods", seconds=300)
    assert project.run("get", "main/1").strip() == "24.2 1000 True", said
