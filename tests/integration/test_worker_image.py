"""The image of worker pods: its recipe, its lock, and a build of it from a local base image and local wheels."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from tests import clusters, images

from headrace import __version__

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "images/worker"
EXTRAS = ("environments", "kubernetes", "objects", "postgres", "remote")


def test_lock_has_every_requirement_in_a_version_that_fits_with_hashes() -> None:
    lock = re.sub(r"\\\n", " ", (RECIPE / "requirements.txt").read_text())
    lines = [line for line in lock.splitlines() if line and not line.lstrip().startswith("#")]
    assert all("--hash=sha256:" in line for line in lines)
    locked = dict(re.match(r"([\w.-]+)==(\S+)", line).groups() for line in lines)  # type: ignore[union-attr, misc]
    for wanted in clusters.requirements(EXTRAS):
        assert locked[canonicalize_name(wanted.name)] in wanted.specifier, f"images/worker/build --lock: {wanted}"


def test_recipe_is_pinned_runs_as_nobody_and_asks_for_hashes() -> None:
    lines = [line for line in (RECIPE / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if line.startswith("FROM ")] == ["FROM ${BASE} AS build", "FROM ${BASE}"]
    assert [line for line in lines if line.startswith("USER ")] == ["USER 65532:65532"]
    assert not [line for line in lines if re.match(r"ADD|ARG (?!(BASE|TARGETARCH)$)|RUN .*(curl|wget|sudo|apt)", line)]
    assert "--require-hashes" in "".join(lines)
    bases = re.findall(r'"(3\.\d+)": "([^"]+)"', (RECIPE / "build").read_text())
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    assert [f"Programming Language :: Python :: {version}" for version, _ in bases] == [
        one for one in python if re.search(r":: 3\.\d+$", one)
    ]
    assert all(re.fullmatch(rf"docker.io/library/python:{version}\.\d+-slim-\w+", base) for version, base in bases)


def test_image_is_built_from_wheels_and_runs_as_any_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images.require_podman()
    for name, value in images.settings(tmp_path).items():
        monkeypatch.setenv(name, value)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    lock = tmp_path / "requirements.txt"
    lock.write_text("".join(map(_locked, (_wheel(one, wheels) for one in clusters.closure(("remote",))))))
    _own_wheel(wheels)
    tag = "localhost/headrace-test-worker:1"
    options = [
        "--wheels",
        wheels,
        "--requirements",
        lock,
        "--base",
        images.with_pip(),
        "--engine",
        "podman",
        "--tag",
        tag,
    ]
    done = subprocess.run([sys.executable, RECIPE / "build", *options], capture_output=True, text=True, check=False)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        look = "import os, getpass, headrace; print(os.getuid(), getpass.getuser(), headrace.__version__)"
        run = ["podman", "run", "--rm", "--network", "none", "--read-only"]
        said = [
            subprocess.run([*run, *more, tag, *command], capture_output=True, text=True, check=True).stdout.strip()
            for more, command in (
                ([], ["python", "-c", look]),
                (["--user", "1234:0"], ["python", "-c", look]),
                ([], ["headrace", "--version"]),
                ([], ["headrace-entry", "copy", "/tmp/entry"]),
            )
        ]
        assert said[:2] == [f"65532 headrace {__version__}", f"1234 headrace {__version__}"]
        assert __version__ in said[2]
    finally:
        subprocess.run(["podman", "rmi", "--force", tag], capture_output=True, check=False)


def test_engine_that_is_installed_but_does_not_work_is_passed_over_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tag = ["--tag", "localhost/headrace-test-none"]
    for engine, script in (("docker", "[ $1 = version ]"), ("podman", "exit 1")):
        file = tmp_path / engine
        file.write_text(f"#!/bin/sh\n{script} || {{ echo '{engine} cannot' >&2; exit 1; }}\n")
        file.chmod(0o755)
    done = subprocess.run([sys.executable, RECIPE / "build", *tag], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "images/worker/build: docker, podman or buildah is needed. `docker buildx version` says: docker cannot; "
        "`podman version` says: nothing"
    ]


def _wheel(one: Distribution, folder: Path) -> tuple[str, Path]:
    """Make the wheel again that a package was installed from, as far as its files go."""
    name = one.name.replace("-", "_")
    tag = re.search(r"^Tag: (\S+)", one.read_text("WHEEL") or "", re.MULTILINE)
    path = folder / f"{name}-{one.version}-{tag.group(1) if tag else 'py3-none-any'}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in one.files or ():
            if ".." not in file.parts and file.suffix != ".pyc" and Path(str(one.locate_file(file))).exists():
                wheel.write(str(one.locate_file(file)), str(file))
    return f"{one.name}=={one.version}", path


def _locked(made: tuple[str, Path]) -> str:
    return f"{made[0]} --hash=sha256:{hashlib.sha256(made[1].read_bytes()).hexdigest()}\n"


def _own_wheel(folder: Path) -> None:
    info = f"headrace-{__version__}.dist-info"
    with zipfile.ZipFile(folder / f"headrace-{__version__}-py3-none-any.whl", "w") as wheel:
        for file in sorted((ROOT / "src/headrace").rglob("*.py")):
            wheel.write(file, str(file.relative_to(ROOT / "src")))
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: headrace\nVersion: {__version__}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\nheadrace = headrace.cli.main:main\n")
        wheel.writestr(f"{info}/RECORD", "")
