"""The code package of a run as a folder from which it can be imported, in any process that reaches the artifact store.

    install_code(store, package, cache)

writes the files into a folder of ``cache`` that is named after the package, once for all processes of the machine, and
puts that folder on ``sys.path``.
"""

# ruff: noqa: PTH105, PTH108, PTH110, PTH114, PTH100, PTH103, PTH104, PTH118, PTH120, PTH123 - paths are plain strings on the way to the first task

from __future__ import annotations

import contextlib
import importlib
import os
import stat
import sys
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from blake3 import blake3

from headrace._base.whereabouts import add_root
from headrace.model.code import CodePackage, decode_package
from headrace.model.errors import StoreError
from headrace.model.values import Blob
from headrace.stores.artifacts.protocol import ArtifactStore

#: How often another process may take a folder away while it is looked at.
_TRIES = 5
#: What the file is called beside a folder of a package, which has its manifest.
_MANIFEST = ".manifest"


def install_code(store: ArtifactStore, package: Blob, cache: str) -> str:
    """Make the modules of a code package importable in this process, ahead of all others, and return its folder.

    ``package`` is the blob of the manifest (``CodeRecord.package``), ``cache`` a folder for packages, which is made.

    Raises:
        BlobError: the package, or a file of it, is gone or damaged.
        StoreDamagedError: the blob is not the manifest of a code package.
        StoreError: the folder cannot be written.
    """
    manifest = decode_package(store.get(package))
    folder = code_folder(store, package, manifest, cache)
    enter_code(folder, manifest)
    return folder


def enter_code(folder: str, manifest: CodePackage) -> None:
    """Make the modules of a code package importable in this process, ahead of all others.

    ``folder`` has its files.
    """
    for below in reversed(manifest.folders):
        path = os.path.join(folder, below) if below else folder
        if path in sys.path:
            sys.path.remove(path)
        sys.path.insert(0, path)
    if manifest.modules:
        sys.meta_path.insert(0, _Finder({name: os.path.join(folder, path) for name, path in manifest.modules}))
    importlib.invalidate_caches()
    add_root(folder)


class Installed(NamedTuple):
    """A package that is on this machine: its folder, the blob of its manifest, and the manifest."""

    folder: str
    package: Blob
    manifest: CodePackage


def package_at(path: str) -> Installed | None:
    """The package that the file at ``path`` was installed from, by whichever process; None where it has none.

    A folder in which a file was changed since is not one any more.
    """
    parts = path.split("/")
    at = next((at for at, part in enumerate(parts) if len(part) == 64 and part.isalnum()), 0)
    if not at:
        return None
    folder = "/".join(parts[: at + 1])
    try:
        with open(folder + _MANIFEST, "rb") as file:
            data = file.read()
        package = Blob(blake3(data).digest(), len(data))
        manifest = decode_package(data) if package.hex == parts[at] else None
    except (OSError, StoreError):
        return None
    return Installed(folder, package, manifest) if manifest is not None and _is_whole(folder, manifest) else None


def code_folder(store: ArtifactStore, package: Blob, manifest: CodePackage, cache: str) -> str:
    """The folder in ``cache`` with the files of a package; it is written unless it is there and whole.

    Raises:
        BlobError: a file of the package is gone or damaged.
        StoreError: the folder cannot be written.
    """
    folder = os.path.join(os.path.abspath(cache), package.hex)
    try:
        os.makedirs(cache, 0o700, exist_ok=True)
        _write_manifest(folder + _MANIFEST, manifest)
        for _ in range(_TRIES):
            if _is_whole(folder, manifest):
                os.utime(folder)  # a folder that is used is not one to remove
                return folder
            _set_aside(folder)
            draft = f"{folder}.{os.getpid()}.{os.urandom(6).hex()}"
            try:
                os.mkdir(draft, 0o700)  # noqa: PTH102
                write_files(store, manifest, draft)
                with contextlib.suppress(OSError):  # another process was quicker: its folder is looked at
                    os.rename(draft, folder)
            finally:
                _remove(draft)
    except OSError as error:
        raise StoreError(f"the code package cannot be written to {folder}: {error.strerror or error}") from error
    raise StoreError(f"the folder {folder} of a code package is changed by another process again and again")


def _write_manifest(path: str, manifest: CodePackage) -> None:
    if not os.path.exists(path):  # it is checked when it is read
        draft = f"{path}.{os.getpid()}.{os.urandom(6).hex()}"
        with open(draft, "xb") as file:
            file.write(manifest.encode())
        os.replace(draft, path)


def write_files(store: ArtifactStore, manifest: CodePackage, folder: str, *, writable: bool = False) -> None:
    """Write the files of a package into ``folder``, which has none of them; for reading alone unless ``writable``.

    Raises:
        BlobError: a file's content is gone or damaged.
        OSError: it cannot be written.
    """
    for one in manifest.files:
        target = os.path.join(folder, one.path)
        os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
        # Exclusive: whatever stands there already, a link say, is not written through.
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, one.mode)
        with open(descriptor, "wb") as file:
            file.write(store.get(one.blob))
            if not writable:
                os.fchmod(file.fileno(), one.mode & 0o555)


def _is_whole(folder: str, manifest: CodePackage) -> bool:
    """Whether ``folder`` is this user's alone and has every file of the package as it was."""
    try:
        status = os.lstat(folder)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            return False
        for one in manifest.files:
            descriptor = os.open(os.path.join(folder, one.path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            with open(descriptor, "rb") as file:
                if os.fstat(descriptor).st_size != one.size or blake3(file.read()).digest() != one.digest:
                    return False
    except OSError:
        return False
    return True


def _set_aside(folder: str) -> None:
    """Take a damaged folder out of the way; a process that runs from it keeps what it has loaded."""
    aside = f"{folder}.{os.getpid()}.{os.urandom(6).hex()}"
    with contextlib.suppress(OSError):  # there is none
        os.rename(folder, aside)
        if os.path.islink(aside):
            os.unlink(aside)
        _remove(aside)


def remove_folders(cache: str, kept: Collection[str], before: float) -> int:
    """Remove folders of packages that are not in ``kept`` (hexadecimal digests) and were last used before a moment, and
    what a process left that died while it wrote one; returns their number."""
    removed = 0
    try:
        entries = list(os.scandir(cache))
    except OSError:  # there is none
        return 0
    for entry in entries:
        name, _, rest = entry.name.partition(".")
        if len(name) != 64 or (name in kept and rest in ("", "manifest")):
            continue
        with contextlib.suppress(OSError):  # another process removes it
            if entry.stat(follow_symlinks=False).st_mtime >= before:
                continue
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.path)
                removed += 1
            elif not os.path.exists(os.path.join(cache, name)):  # the manifest goes after its folder
                os.unlink(entry.path)
    return removed


def _remove(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


class _Finder:
    """Finds modules whose names no folder on ``sys.path`` leads to."""

    def __init__(self, files: dict[str, str]) -> None:
        self._files = files

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> Any:
        """See ``importlib.abc.MetaPathFinder``."""
        file = self._files.get(name)
        if file is None:
            return None
        from importlib.util import spec_from_file_location

        return spec_from_file_location(name, file)
