"""The code of a run as it was recorded: of new runs their package, of older ones the source files that they kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import msgspec

from headrace._base.usercode import is_user_module, module_file
from headrace.model.code import PLAIN, CodeFile, CodePackage, is_safe
from headrace.model.errors import FlowLoadError, UsageError
from headrace.model.records import CodeRecord, RunRecord
from headrace.model.values import Blob
from headrace.runtime.code_folder import install_code, write_files
from headrace.services.code.package import read_package
from headrace.services.describe import details_of
from headrace.stores.artifacts.protocol import ArtifactStore


class RecordedCode(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a run by path.

    ``digest`` is that of its package, and empty in older runs; ``entry`` is where the flow is among them.
    """

    files: dict[str, Blob]
    package: CodePackage
    digest: str
    entry: str


def code_of(run: RunRecord, store: ArtifactStore) -> RecordedCode:
    """The code of ``run``, which must have its details; without any files where it kept none.

    Raises:
        BlobError, StoreDamagedError: the package is gone or damaged.
    """
    details = details_of(run)
    if details.code is not None:
        package = read_package(store, details.code.package)
        digest, entry = details.code.package.hex, details.code.entry
    else:
        kept = sorted(details.sources.items())
        package = CodePackage(tuple(CodeFile(path, one.digest, one.size, PLAIN) for path, one in kept if is_safe(path)))
        digest, entry = "", ""
    return RecordedCode(
        files={one.path: one.blob for one in package.files}, package=package, digest=digest, entry=entry
    )


class Installed(NamedTuple):
    """The flow of a run in its installed code: its file, the name of its module if that is known, and its own name."""

    file: str
    module: str
    flow: str


def install_recorded(run: RunRecord, store: ArtifactStore, cache: str) -> Installed:
    """Put the code that ``run`` recorded where this process imports it from, in place of what lies elsewhere.

    Modules of the same names that were loaded from elsewhere are forgotten. ``cache`` is the folder for packages.

    Raises:
        FlowLoadError: the run kept no code, or not the file of its flow.
        BlobError, StoreDamagedError: it is gone or damaged; StoreError: it cannot be written.
    """
    record = details_of(run).code or _of_older(run, store)
    path, _, flow = record.entry.rpartition(":")
    if not path:
        raise FlowLoadError(
            f"run {run.name} has no recorded code to load its flow from: it was started in a notebook or at a prompt, "
            f"or the flow's file could not be kept (headrace show {run.name} says why)"
        )
    folder = install_code(store, record.package, cache)
    _forget_others(read_package(store, record.package), folder)
    return Installed(os.path.join(folder, path), record.module, flow)  # noqa: PTH118


def _forget_others(package: CodePackage, folder: str) -> None:
    """Take modules out of ``sys.modules`` that have a name of the package's and another file."""
    names = {name for name, _ in package.modules}
    for top in sorted(package.folders):
        below = f"{top}/" if top else ""
        names |= {
            one.path.removeprefix(below).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            for one in package.files
            if one.path.startswith(below) and one.path.endswith(".py")
        }
    for name in names:
        module = sys.modules.get(name)
        if isinstance(module, ModuleType) and is_user_module(name) and name != "__main__":
            file = module_file(module)
            if file and not file.startswith(os.path.join(folder, "")):  # noqa: PTH118
                del sys.modules[name]


def _of_older(run: RunRecord, store: ArtifactStore) -> CodeRecord:
    """A package of the source files of a run from before there were packages."""
    details = details_of(run)
    file, _, flow = run.entry.rpartition(":")
    script = os.path.relpath(file, details.root) if file and details.root else ""
    package = code_of(run, store).package
    home = os.path.dirname(script)  # noqa: PTH120
    tops = {one.path.partition("/")[0] for one in package.files}
    folders = tuple(dict.fromkeys([home, "", *(["src"] if "src" in tops else [])]))
    blob = store.put([msgspec.structs.replace(package, folders=folders).encode()])
    return CodeRecord(package=blob, entry=f"{script if package.file(script) else ''}:{flow}")


def extract_code(code: RecordedCode, store: ArtifactStore, folder: Path) -> None:
    """Write the files to ``folder``, which is made.

    Raises:
        UsageError: it has something in it, or cannot be written.
        BlobError: a file's content is gone or damaged.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; name a new folder for the files")
        write_files(store, code.package, str(folder), writable=True)
    except OSError as error:
        raise UsageError(f"the files cannot be written to {folder}: {error.strerror or error}") from None
