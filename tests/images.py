"""Small container images of this machine's own files: no registry is asked."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

#: Programs that an image without Python has.
_TOOLS = ("sh", "cat", "cp", "ls", "wc", "sleep", "head", "tr", "env", "mkdir", "touch", "id", "sort", "true")
_NOT_NEEDED = {
    "site-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "lib2to3",
    "ensurepip",
    "pydoc_data",
}
#: What wheels expect of every Linux.
_EXPECTED = ("libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libm.so.6", "libz.so.1")
#: What podman needs on machines that may not raise limits and that have runc alone.
_CONFIG = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
"""


def require_podman() -> None:
    """Skip the test where there is no podman; in CI that is a failure."""
    if shutil.which("podman") is None:
        pytest.fail(".ci/run installs podman") if os.environ.get("CI") else pytest.skip("podman is not installed")


def settings(folder: Path) -> dict[str, str]:
    """Environment variables with which podman works here."""
    config = folder / "containers.conf"
    config.write_text(_CONFIG)
    return {"CONTAINERS_CONF": str(config)}


@functools.cache
def without_python() -> str:
    """The name of an image that has a shell and some tools, and no Python."""
    programs = [Path(found) for name in _TOOLS if (found := shutil.which(name))]
    with _Image("localhost/headrace-test-tools:1") as image:
        if image.wanted:
            for one in programs:
                image.file(f"bin/{one.name}", one)
            image.libraries(programs)
    return image.name


@functools.cache
def with_python(home: str = sys.base_prefix) -> str:
    """The name of an image with the Python that is installed in ``home`` and nothing else but a shell."""
    executable = _executable(home)
    with _Image(f"localhost/headrace-test-{executable.name}:1") as image:
        if image.wanted:
            image.python(executable)
    return image.name


@functools.cache
def with_pip() -> str:
    """The name of an image with Python and pip, as base images of Python have it."""
    import pip

    executable = _executable(sys.base_prefix)
    with _Image("localhost/headrace-test-pip:1") as image:
        if image.wanted:
            image.python(executable)
            image.link("usr/local/bin/python", executable.name)
            image.tree(Path(pip.__file__).parent, f"usr/local/lib/{executable.name}/site-packages/pip")
    return image.name


@functools.cache
def with_kfp(name: str, packages: str, texts: tuple[tuple[str, str], ...]) -> str:
    """The name of an image with Python, the packages in a folder, and some texts as files: path and content."""
    executable = _executable(sys.base_prefix)
    with _Image(f"localhost/headrace-test-{name}:1") as image:
        if image.wanted:
            image.python(executable)
            image.file("bin/mktemp", Path(shutil.which("mktemp") or "/bin/mktemp"))
            image.tree(Path(packages), f"usr/local/lib/{executable.name}/site-packages")
            for path, text in texts:
                image.text(path, text)
    return image.name


@functools.cache
def with_files(name: str, texts: tuple[tuple[str, str], ...]) -> str:
    """The name of an image with some texts as files, and nothing that runs."""
    with _Image(f"localhost/headrace-test-{name}:1") as image:
        if image.wanted:
            for path, text in texts:
                image.text(path, text)
    return image.name


def _executable(home: str) -> Path:
    """The executable of the Python that is installed in ``home``."""
    found = sorted(Path(home, "bin").glob("python3.*"))
    return next(one for one in found if re.fullmatch(r"python3\.\d+", one.name))


class _Image:
    """An image that is made unless podman has it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.wanted = subprocess.run(["podman", "image", "exists", name], check=False).returncode != 0

    def __enter__(self) -> _Image:
        self._file = tempfile.NamedTemporaryFile(suffix=".tar")
        self._tar = tarfile.open(fileobj=self._file, mode="w")
        self._names: set[str] = set()
        for folder in ("tmp", "etc", "root", "proc", "sys", "dev"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            self._tar.addfile(entry)
        self.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        return self

    def __exit__(self, *error: object) -> None:
        self._tar.close()
        self._file.flush()
        if self.wanted and error == (None, None, None):
            change = "ENV PATH=/usr/local/bin:/usr/bin:/bin"
            subprocess.run(["podman", "import", "--quiet", "--change", change, self._file.name, self.name], check=True)
        self._file.close()

    def python(self, executable: Path) -> None:
        """Add a Python, and a shell."""
        library = executable.parent.parent / "lib" / executable.name
        self.tree(library, f"usr/local/lib/{executable.name}")
        self.file(f"usr/local/bin/{executable.name}", executable.resolve())
        self.link("usr/local/bin/python3", executable.name)
        modules = [one for one in (library / "lib-dynload").glob("*.so") if "_tkinter" not in one.name]
        self.file("bin/sh", Path(shutil.which("sh") or "/bin/sh"))
        self.libraries([executable.resolve(), Path("/bin/sh"), Path("/bin/mktemp"), *modules])

    def text(self, name: str, text: str) -> None:
        """Add a file with a text."""
        entry = tarfile.TarInfo(name)
        entry.size = len(text)
        self._tar.addfile(entry, io.BytesIO(text.encode()))

    def file(self, name: str, source: Path) -> None:
        """Add a file."""
        if name not in self._names:
            self._names.add(name)
            self._tar.add(source.resolve(), name)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(entry)

    def tree(self, source: Path, name: str) -> None:
        """Add a folder without what tests do not need."""
        for parent, folders, files in os.walk(source):
            folders[:] = [
                one for one in folders if one not in _NOT_NEEDED and not one.startswith(("__pycache__", "config-"))
            ]
            for one in files:
                self.file(f"{name}/{os.path.relpath(Path(parent, one), source)}", Path(parent, one))

    def libraries(self, programs: Iterable[Path]) -> None:
        """Add the shared libraries that the loader would load, and the loader itself."""
        for one in _libraries(programs):
            self.file(str(one).lstrip("/") if "ld-linux" in one.name else f"usr/lib/{one.name}", one)


def _libraries(programs: Iterable[Path]) -> Iterator[Path]:
    said = subprocess.run(["ldd", *map(str, programs)], stdout=subprocess.PIPE, text=True, check=False).stdout
    found = set(re.findall(r"(/\S+\.so\S*) \(0x", said))
    cache = subprocess.run(["/sbin/ldconfig", "-p"], stdout=subprocess.PIPE, text=True, check=False).stdout
    for name in _EXPECTED:
        found |= set(re.findall(rf"{re.escape(name)} .*=> (/\S+)", cache)[:1])
    yield from map(Path, sorted(found))


def containers() -> list[str]:
    """The containers of Headrace that podman knows of, whatever their state."""
    said = subprocess.run(
        ["podman", "ps", "--all", "--filter", "label=headrace.owner", "--format", "{{.Names}}"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return said.split()


def remove_all() -> None:
    """Remove what a failed test has left."""
    with contextlib.suppress(subprocess.CalledProcessError):
        if left := containers():
            subprocess.run(["podman", "rm", "--force", "--time=0", *left], check=False, stdout=subprocess.DEVNULL)
