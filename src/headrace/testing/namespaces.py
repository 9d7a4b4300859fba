"""Another machine for tests: a network namespace with its own address, and another root folder, on this kernel.

Nothing is shared with this machine but the network between the two and the installed packages. It needs root, ``ip``
and ``unshare``.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import headrace

_numbers = itertools.count()
#: Where the other machine has Headrace and the packages that are installed here.
_APP, _SITE = "/opt/app", "/opt/site"
_SYSTEM = ("usr", "bin", "sbin", "lib", "lib64", "etc", "dev", "proc", "sys")
_SCRIPT = """
set -e
root=$1; shift
mount -t tmpfs headrace-root "$root"
mkdir -p "$root/tmp" "$root/root"
while [ "$1" != -- ]; do
  mkdir -p "$root$2"
  mount --rbind "$1" "$root$2"
  shift 2
done
shift
exec chroot "$root" "$@"
"""


def why_not() -> str:
    """Why there can be no other machine here; empty when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "unshare", "chroot", "mount"):
        if shutil.which(program) is None:
            return f"the program {program} is not installed"
    done = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True, check=False)
    return f"namespaces cannot be made here: {done.stderr.strip()}" if done.returncode else ""


class OtherMachine:
    """``here`` and ``there`` are the addresses of this and of the other machine on the network between them."""

    def __init__(self, name: str, root: Path, here: str, there: str) -> None:
        self.name = name
        self.here = here
        self.there = there
        self._root = root
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, arguments: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start Python there with ``arguments`` and no variables but ``environ``, in an empty working directory."""
        folders = [(f"/{name}", f"/{name}") for name in _SYSTEM if Path("/", name).exists()]
        if not sys.base_prefix.startswith("/usr"):
            folders.append((sys.base_prefix, sys.base_prefix))
        folders.append((sysconfig.get_path("purelib"), _SITE))
        folders.append((str(Path(headrace.__file__).parent), f"{_APP}/headrace"))
        mounts = [part for pair in folders for part in pair]
        python = os.path.realpath(sys.executable)
        command = ["ip", "netns", "exec", self.name, "unshare", "--mount", "--propagation", "private"]
        command += ["sh", "-c", _SCRIPT, "sh", str(self._root), *mounts, "--", python, *arguments]
        inside = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "PYTHONPATH": f"{_APP}:{_SITE}", **environ}
        started = subprocess.Popen(command, env=inside)
        self._started.append(started)
        return started

    def cut(self, *, down: bool = True) -> None:
        """Take the network between the machines away, or bring it back."""
        _run("ip", "link", "set", self._wire(), "down" if down else "up")

    def _wire(self) -> str:
        return f"{self.name}h"

    def close(self) -> None:
        """End what was started there."""
        for one in self._started:
            if one.poll() is None:
                one.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    one.wait(10)
                one.kill()
            one.wait()


@contextlib.contextmanager
def other_machine(root: Path) -> Iterator[OtherMachine]:
    """Another machine while the block lasts; ``root`` is an empty folder of this one that becomes its root.

    Raises:
        RuntimeError: there can be none here.
    """
    problem = why_not()
    if problem:
        raise RuntimeError(problem)
    number = (os.getpid() * 7 + next(_numbers)) % (1 << 14)
    name = f"hr{number}"
    base = f"10.213.{number >> 6}.{(number & 63) << 2}".rpartition(".")
    here, there = (f"{base[0]}.{int(base[2]) + n}" for n in (1, 2))
    machine = OtherMachine(name, root, here, there)
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "link", "add", f"{name}h", "type", "veth", "peer", "name", f"{name}w", "netns", name)
        _run("ip", "address", "add", f"{here}/30", "dev", f"{name}h")
        _run("ip", "link", "set", f"{name}h", "up")
        inside = ("ip", "-n", name)
        _run(*inside, "address", "add", f"{there}/30", "dev", f"{name}w")
        _run(*inside, "link", "set", f"{name}w", "up")
        _run(*inside, "link", "set", "lo", "up")
        yield machine
    finally:
        machine.close()
        subprocess.run(["ip", "link", "delete", f"{name}h"], check=False, capture_output=True)
        _run("ip", "netns", "delete", name)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
