"""The Kubernetes that tests use: which one, whether it is up, and an image of Headrace in it."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import importlib.metadata
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from importlib.util import cache_from_source
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from tests import entry
from tests.cluster import common, oci

ROOT = Path(__file__).parents[1]
HOW = "tests/kubernetes left out: no cluster here; tests/cluster/up makes one (or HEADRACE_TEST_KUBECONFIG names one)"
#: What is in the image, beside Headrace and what it needs anyway.
_EXTRAS = ("environments", "kfp", "kubernetes", "metaflow", "objects", "postgres", "remote", "server")
_LIBRARIES = ("numpy",)
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_SITE = f"usr/local/lib/{_PYTHON}/site-packages"


class Cluster(NamedTuple):
    """Where tests make their pods."""

    kubeconfig: Path
    #: This machine's address for pods. Servers of tests that listen on all addresses have it for the test, too.
    host: str


def given() -> Cluster | None:
    """The cluster of ``HEADRACE_TEST_KUBECONFIG``, or this machine's, which may not be up yet; None: there is none."""
    if file := os.environ.get("HEADRACE_TEST_KUBECONFIG"):
        return Cluster(Path(file), os.environ.get("HEADRACE_TEST_HOST", _own_address()))
    if os.environ.get("HEADRACE_TEST_CLUSTER") or _answers():
        return Cluster(common.KUBECONFIG, common.HOST)
    return None


def is_up() -> bool:
    """Whether tests need not wait for it (also when it could not be made: they fail at once)."""
    folder = os.environ.get("HEADRACE_TEST_CLUSTER")
    return "HEADRACE_TEST_KUBECONFIG" in os.environ or folder is None or Path(folder, "code").exists()


def wait(seconds: float = 2400) -> None:
    """Wait until ``.ci/run`` has it up.

    Raises:
        RuntimeError: it could not be brought up, or takes longer than ``seconds``; with what it wrote.
    """
    until = time.monotonic() + seconds
    while not is_up():
        if time.monotonic() > until:
            raise RuntimeError(f"the cluster is not up after {seconds:.0f} s:\n{_log()}")
        time.sleep(0.5)
    folder = os.environ.get("HEADRACE_TEST_CLUSTER")
    if folder and "HEADRACE_TEST_KUBECONFIG" not in os.environ and Path(folder, "code").read_text() != "0":
        raise RuntimeError(f"the cluster could not be brought up:\n{_log()}")


def _log() -> str:
    return Path(os.environ["HEADRACE_TEST_CLUSTER"], "log").read_text(errors="replace")[-4000:]


def _answers() -> bool:
    if not common.KUBECONFIG.exists():
        return False
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", common.API_PORT), timeout=5).close()
        return True
    return False


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent: it finds the interface of the default route
        address: str = probe.getsockname()[0]
        return address


@functools.cache
def worker_image(*more: str) -> str:
    """The name of an image with this tree's Headrace, for pods; made unless the cluster has it.

    ``more`` are packages of this environment that it has besides, with what they need.
    """
    if name := os.environ.get("HEADRACE_TEST_IMAGE"):
        return name
    common.IMAGES.mkdir(parents=True, exist_ok=True)
    with (common.CACHE / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        packages = [_packages_layer()]
        if more:
            packages.append(_more_layer(more))
        source = ROOT / "src/headrace"
        digest = hashlib.sha256("".join(one.name for one in packages).encode() + entry.program().read_bytes())
        for file in _files(source):
            digest.update(f"{file.relative_to(source)}\0{file.stat().st_mode}\0".encode() + file.read_bytes())
        name = f"localhost/headrace/worker:test-{digest.hexdigest()[:16]}"
        ctr = ("ctr", "--address", str(common.CONTAINERD), "--namespace", "k8s.io", "images", "ls", "--quiet")
        if common.run(*ctr, f"name=={name}").strip() != name:
            _make(name, packages, source)
    return name


def _make(name: str, packages: list[Path], source: Path) -> None:
    with tempfile.TemporaryDirectory(dir=common.CACHE) as scratch:
        layer = Path(scratch, "layer")
        with oci.Layer(layer) as writer:
            writer.file("usr/local/bin/headrace-entry", entry.program().read_bytes(), 0o755)
            writer.tree(source, f"{_SITE}/headrace", skip=("*.opt-?.pyc",))  # compiled here, or every pod would do it
        layers = [word for one in (*packages, layer) for word in ("--layer", one)]
        command = [sys.executable, ROOT / "tests/cluster/image", name, *layers, "--discard"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _packages_layer() -> Path:
    """The layer with what Headrace needs of this environment's packages; made once for each set of versions."""
    found = sorted(closure(_EXTRAS, *_LIBRARIES), key=lambda one: one.name)
    versions = "\n".join(f"{one.name} {one.version}" for one in found) + "\nlayout 2"
    path = common.IMAGES / f"worker-{hashlib.sha256(versions.encode()).hexdigest()[:16]}.layer"
    if path.exists():
        return path
    for old in common.IMAGES.glob("worker-*.layer"):
        if time.time() - old.stat().st_mtime > 86400:
            old.unlink()
    unfinished = path.with_suffix(".unfinished")
    with oci.Layer(unfinished) as layer:
        _add_packages(layer, found)
        layer.file("usr/local/bin/headrace", _SCRIPT.encode(), 0o755)
        if (uv := Path(sys.prefix, "bin/uv")).exists():
            layer.tree(uv, "usr/local/bin/uv")
    unfinished.rename(path)
    return path


def _more_layer(names: tuple[str, ...]) -> Path:
    """A layer with packages that are not in that layer; made once for each set of versions."""
    common_ones = {one.name for one in closure(_EXTRAS, *_LIBRARIES)}
    wanted = [Requirement(one) for one in names]
    found = sorted((one for one in needed_by(wanted) if one.name not in common_ones), key=lambda one: one.name)
    versions = "\n".join(f"{one.name} {one.version}" for one in found)
    path = common.IMAGES / f"worker-{hashlib.sha256(versions.encode()).hexdigest()[:16]}.layer"
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        with oci.Layer(unfinished) as layer:
            _add_packages(layer, found, skip="tests")
        unfinished.rename(path)
    return path


def _add_packages(layer: oci.Layer, found: Iterable[importlib.metadata.Distribution], skip: str = "") -> None:
    """Add distributions to a layer, without what is in folders named ``skip``."""
    for one in found:
        for file in one.files or ():
            where = Path(str(one.locate_file(file)))
            if ".." in file.parts or skip in file.parts or file.suffix in (".pyc", ".pth") or not where.exists():
                continue
            layer.tree(where, f"{_SITE}/{file}")
            if file.suffix == ".py" and (compiled := Path(cache_from_source(str(where)))).exists():
                layer.tree(compiled, f"{_SITE}/{file.parent}/__pycache__/{compiled.name}")


_SCRIPT = f"#!/usr/local/bin/{_PYTHON}\nimport sys\nfrom headrace.cli.main import main\nsys.exit(main())\n"


def requirements(extras: Iterable[str]) -> list[Requirement]:
    """What Headrace needs with ``extras``, as pyproject.toml says now (the environment may have been made earlier)."""
    import tomllib  # not there on Python 3.10, where parts of the suite run, too

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    return [one for one in map(Requirement, wanted) if one.name != "headrace"]


def closure(extras: Iterable[str], *more: str) -> Iterable[importlib.metadata.Distribution]:
    """The distributions of this environment that Headrace needs with ``extras``, and ``more`` with what they need."""
    return needed_by(requirements(extras) + [Requirement(one) for one in more])


def needed_by(todo: list[Requirement]) -> Iterable[importlib.metadata.Distribution]:
    """The distributions of this environment that answer requirements, with all that they need."""
    found: dict[str, importlib.metadata.Distribution] = {}
    seen = {str(one) for one in todo}
    while todo:
        asked = todo.pop()
        one = importlib.metadata.distribution(asked.name)
        found[one.name.lower()] = one
        for requirement in map(Requirement, one.requires or ()):
            extras = asked.extras or {""}
            needed = requirement.marker is None or any(requirement.marker.evaluate({"extra": one}) for one in extras)
            if needed and str(requirement) not in seen:
                seen.add(str(requirement))
                todo.append(requirement)
    return found.values()


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(one for one in folder.rglob("*") if one.is_file() and "__pycache__" not in one.parts)
