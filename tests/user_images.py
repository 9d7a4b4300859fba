"""Images of users, of this machine's own files, for the cluster and for podman: R, a static binary, a Python."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tests.cluster import common, oci
from tests.interpreters import FOUND

_TOTAL = Path(__file__).parents[1] / "examples" / "images" / "total" / "main.go"
_PATH = "PATH=/usr/local/bin:/usr/bin:/bin"


@functools.cache
def name_of(kind: str) -> str:
    """The name of an image of that kind, by what is in it."""
    with layer(kind).open("rb") as file:
        return f"localhost/headrace/{kind}:{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


def for_cluster(kind: str) -> str:
    """The name of an image of that kind, loaded into the cluster."""
    name = name_of(kind)
    archive = layer(kind).with_suffix(".tar")
    if not archive.exists():
        oci.write_image(name, [layer(kind)], {"Env": [_PATH]}, archive)
    common.import_image(archive)
    return name


def for_podman(kind: str) -> str:
    """The name of an image of that kind, loaded into podman."""
    name = name_of(kind)
    if subprocess.run(["podman", "image", "exists", name], check=False).returncode:
        subprocess.run(
            ["podman", "import", "--quiet", "--change", f"ENV {_PATH}", layer(kind), name],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return name


def from_podman(name: str) -> None:
    """Load an image that podman has into the cluster."""
    subprocess.run([sys.executable, Path(__file__).parent / "cluster" / "load", name], check=True)


@functools.cache
def layer(kind: str) -> Path:
    """The file system of an image of that kind, as a tar archive; made once per session."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-user-images-"))
    path = folder / f"{kind}.layer"
    with oci.Layer(path) as made:
        made.folder("tmp", 0o1777)
        made.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        _KINDS.get(kind, _add_python)(made, kind)
    return path


def _add_binary(made: oci.Layer, kind: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        told = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", f"{scratch}/total", str(_TOTAL)]
        subprocess.run(told, env=os.environ | {"CGO_ENABLED": "0"}, check=True)
        made.file("total", Path(scratch, "total").read_bytes(), 0o755)


def _add_tools(made: oci.Layer) -> None:
    made.file("bin/busybox", Path("/bin/busybox").read_bytes(), 0o755)
    for name in subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split():
        if name != "busybox":
            made.link(f"bin/{name}", "busybox")


def _add_r(made: oci.Layer, kind: str) -> None:
    if shutil.which("Rscript") is None:
        pytest.fail(".ci/run installs R") if os.environ.get("CI") else pytest.skip("R is not installed")
    _add_tools(made)
    for name in ("which", "sed", "uname"):  # where R looks for them
        made.link(f"usr/bin/{name}", "/bin/busybox")
    home = Path("/usr/lib/R")
    made.tree(home, "usr/lib/R", skip=("help", "html", "doc", "*.pdf"))
    for folder in ("/usr/share/R", "/etc/R"):
        made.tree(Path(folder), folder[1:], skip=("doc",))
    for name in ("R", "Rscript"):
        found = Path("/usr/bin", name)
        made.link(f"usr/bin/{name}", str(found.resolve())) if found.is_symlink() else made.file(
            f"usr/bin/{name}", found.read_bytes(), 0o755
        )
    made.file("bin/bash", Path("/bin/bash").read_bytes(), 0o755)  # R begins as a script of it
    _add_libraries(made, [Path("/bin/bash"), home / "bin/exec/R", Path("/usr/bin/Rscript"), *home.rglob("*.so")])


def _add_python(made: oci.Layer, kind: str) -> None:
    """``kind`` is ``pythonX.Y``, and ``-pip`` where pip is in it: of one of the interpreters of this machine."""
    _add_tools(made)
    kind, _, more = kind.partition("-")
    home = Path(os.path.realpath(FOUND[kind.removeprefix("python")])).parents[1]
    if more:
        import pip

        made.tree(Path(pip.__file__).parent, f"usr/local/lib/{kind}/site-packages/pip", skip=("__pycache__",))
        made.link("usr/local/bin/python", kind)
    library = home / "lib" / kind
    made.tree(library, f"usr/local/lib/{kind}", skip=_NOT_NEEDED)
    made.file(f"usr/local/bin/{kind}", (home / "bin" / kind).resolve().read_bytes(), 0o755)
    made.link("usr/local/bin/python3", kind)
    modules = [one for one in (library / "lib-dynload").glob("*.so") if "_tkinter" not in one.name]
    _add_libraries(made, [home / "bin" / kind, *modules])


_NOT_NEEDED = (
    "site-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "lib2to3",
    "ensurepip",
    "pydoc_data",
    "config-3*",
)
#: What wheels expect of every Linux.
_EXPECTED = ("libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libm.so.6", "libz.so.1")


def _add_libraries(made: oci.Layer, programs: Iterable[Path]) -> None:
    said = subprocess.run(["ldd", *map(str, programs)], stdout=subprocess.PIPE, text=True, check=False).stdout
    found = set(re.findall(r"(/\S+\.so\S*) \(0x", said))
    cache = subprocess.run(["/sbin/ldconfig", "-p"], stdout=subprocess.PIPE, text=True, check=False).stdout
    for name in _EXPECTED:
        found |= set(re.findall(rf"{re.escape(name)} .*=> (/\S+)", cache)[:1])
    for one in {Path(one).name: Path(one) for one in sorted(found)}.values():
        place = str(one).lstrip("/") if "ld-linux" in one.name else f"usr/lib/{one.name}"
        made.file(place, one.read_bytes(), 0o755)


_KINDS: dict[str, Callable[[oci.Layer, str], None]] = {"binary": _add_binary, "r": _add_r}
