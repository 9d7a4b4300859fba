"""The code of a run as it was recorded: of new runs their package, of older ones the source files that they kept."""

from __future__ import annotations

from pathlib import Path

import msgspec

from headrace.model.code import PLAIN, CodeFile, CodePackage, is_safe
from headrace.model.errors import UsageError
from headrace.model.records import RunRecord
from headrace.model.values import Blob
from headrace.runtime.code_folder import write_files
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
