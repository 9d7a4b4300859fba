"""What a run records of its surroundings: commit, interpreter, packages, host, user.

``surroundings`` looks in a thread beside the run. Paths are plain strings here and ``platform``, ``importlib.metadata``
and ``getpass`` are avoided: each of them alone would take longer than all the rest.
"""

# ruff: noqa: PTH100, PTH109, PTH112, PTH118, PTH120, PTH123 - see above

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
from blake3 import blake3

from headrace._base.process import host_name, user_name
from headrace._base.redaction import redact, redact_arguments
from headrace._base.variables import KEPT
from headrace.model.records import RunDetails
from headrace.runtime import secrets
from headrace.services.code.collect import project_root
from headrace.stores.artifacts.protocol import ArtifactStore

if TYPE_CHECKING:
    from headrace.services.gitdiff import GitDiff

#: Installed packages by the folders that were looked through: they do not change under a running process.
_packages: dict[tuple[str, ...], dict[str, str]] = {}


class Snapshot(msgspec.Struct, frozen=True):
    """The surroundings of a run at its start."""

    details: RunDetails
    user: str
    host: str
    pid: int
    git_commit: str


def snapshot(file: str | None, known: RunDetails = RunDetails()) -> Snapshot:  # noqa: B008 - frozen
    """Look around; ``file`` is that of the flow, ``""`` in a notebook or at a prompt, None where its project is known.

    ``known`` are details that are there already; they stay.
    """
    root = known.root if file is None else project_root(file)
    kept = bool(known.argv) and KEPT in os.environ  # it goes on with what another process was asked to do
    details = msgspec.structs.replace(
        known,
        root=root,
        python=python_version(),
        platform=_platform(),
        packages=installed_packages(),
        argv=known.argv if kept else redact_arguments(sys.argv, secrets.known_values),
        cwd=known.cwd if kept else _cwd(),
    )
    return Snapshot(details, user_name(), host_name(), os.getpid(), "" if file is None else git_commit(root))


def here() -> RunDetails:
    """What this process runs in: interpreter, platform, packages."""
    return RunDetails(python=python_version(), platform=_platform(), packages=installed_packages())


# --- git ----------------------------------------------------------------------------------------------------------


def git_commit(root: str) -> str:
    """The commit that is checked out where ``root`` is, read from ``.git`` without git; ``""`` if there is none."""
    git = _git_folder(root)
    head = _line(os.path.join(git, "HEAD")) if git else ""
    if not head.startswith("ref: "):
        return head
    name = head[5:]
    common = _line(os.path.join(git, "commondir"))  # a worktree shares its branches with the main one
    shared = os.path.join(git, common) if common else git
    for folder in (git, shared):
        commit = _line(os.path.join(folder, name))
        if commit:
            return commit
    for line in _lines(os.path.join(shared, "packed-refs")):
        commit, _, ref = line.partition(" ")
        if ref == name:
            return commit
    return ""


def begun_diff(file: str) -> GitDiff | None:
    """The diff of the project of a flow's file, which git computes from now on; None where there is no commit.

    To be called as early as can be: git is done then when the first steps want the cores.
    """
    root = project_root(file)
    if not git_commit(root):
        return None
    from headrace.services.gitdiff import GitDiff

    diff = GitDiff(root)
    diff.start()
    return diff


def _git_folder(root: str) -> str:
    folder = os.path.abspath(root)
    while True:
        candidate = os.path.join(folder, ".git")
        if os.path.isdir(candidate):
            return candidate
        pointer = _line(candidate)
        if pointer.startswith("gitdir: "):  # a worktree or a submodule
            return os.path.join(folder, pointer[8:])
        parent = os.path.dirname(folder)
        if parent == folder:
            return ""
        folder = parent


def _line(path: str) -> str:
    return next(_lines(path), "")


def _lines(path: str) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                yield line.strip()
    except OSError:
        return


def with_diff(details: RunDetails, diff: bytes | None, store: ArtifactStore) -> RunDetails:
    """``details`` with ``diff`` kept in ``store``; raises StoreError."""
    if diff:
        diff = redact(diff.decode(errors="surrogateescape")).encode(errors="surrogateescape")
    if not diff:
        return details
    return msgspec.structs.replace(details, git_diff=store.put([diff]))


# --- interpreter and machine --------------------------------------------------------------------------------------


def python_version() -> str:
    """Such as ``3.11.7``; another implementation than CPython is named."""
    version = sys.version.split(maxsplit=1)[0]
    name = sys.implementation.name
    return version if name == "cpython" else f"{name} {version}"


def installed_packages() -> dict[str, str]:
    """Installed distributions, name to version, by name, as their ``.dist-info`` folders are called.

    The standard library, the current folder and that of the script are not looked through, unless packages are
    installed there: they may hold a hundred thousand files.
    """
    standard = os.path.dirname(os.path.abspath(os.__file__))
    skipped = {"", _cwd(), *sys.path[:1]}
    folders = []
    for entry in dict.fromkeys(sys.path):
        is_site = entry.endswith(("site-packages", "dist-packages"))
        if is_site or not (entry in skipped or entry.startswith(standard) or entry.endswith(".zip")):
            folders.append(entry)
    key = tuple(folders)
    known = _packages.get(key)
    if known is None:
        found: dict[str, str] = {}
        for folder in folders:
            for name, version in _distributions(folder):
                found.setdefault(name, version)  # the first on the path is the one that is imported
        known = _packages[key] = dict(sorted(found.items()))
    return dict(known)


def _distributions(folder: str) -> Iterator[tuple[str, str]]:
    try:
        entries = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return
    for entry in entries:
        if entry.endswith((".dist-info", ".egg-info")):
            name, dash, rest = entry[:-10].partition("-")
            if dash:
                # An egg's name goes on after its version: name-1.0-py3.11.
                version = rest if entry.endswith(".dist-info") else rest.partition("-")[0]
                yield name.lower().replace("_", "-"), version


def environment_digest() -> bytes:
    """A digest of the interpreter and the installed packages, this one left out: 32 bytes."""
    packages = installed_packages()
    packages.pop("headrace", None)
    facts = (python_version(), sys.platform, os.uname().machine, sorted(packages.items()))
    return blake3(msgspec.msgpack.encode(facts)).digest()


def _platform() -> str:
    system = os.uname()
    return f"{system.sysname}-{system.release}-{system.machine}"


def _cwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # deleted under us
        return ""
