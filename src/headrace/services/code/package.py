"""Storing the code package of a run, and reading it again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from headrace._base.whereabouts import add_root
from headrace.model.code import EXECUTABLE, PLAIN, CodeFile, CodePackage, decode_package
from headrace.model.environments import DESCRIBED
from headrace.model.errors import CodePackageError
from headrace.model.records import CodeRecord, RunDetails
from headrace.model.values import Blob
from headrace.services.code import files
from headrace.services.code.collect import CodeRules, Collected, Found, collect, module_of
from headrace.stores.artifacts.protocol import ArtifactStore

if TYPE_CHECKING:
    from headrace.runtime.code_folder import Installed

#: Files that are put at once into a store that is not on this machine.
_AT_ONCE = 16


class CodeOfRun:
    """The code package of a run that is about to begin: found by ``__init__``, stored by ``store``.

    ``entry`` is ``FILE:FLOW``. Of a flow that was loaded from an installed package, that package is the run's.

    Raises:
        CodePackageError: a file that was asked for by name cannot be in a package, or all are too large together.
    """

    def __init__(self, entry: str, rules: CodeRules, added: Iterable[tuple[str, str]] = ()) -> None:
        file, _, self._flow = entry.rpartition(":")
        self._file = file
        self._rules = rules
        self._installed = _installed_package(file)
        if DESCRIBED:
            from headrace.services.environments.carried_files import carried_files

            added = [*added, *carried_files(entry)]
        self._collected = None if self._installed else collect(file, rules, added)
        add_root(self._installed.folder if self._installed else self._collected.root if self._collected else "")

    @property
    def installed(self) -> bool:
        """Whether the flow was loaded from a package."""
        return self._installed is not None

    @property
    def left_out(self) -> dict[str, str]:
        """Files that are not in the package although the flow can reach them, and why."""
        return self._collected.left_out if self._collected is not None else {}

    def store(self, store: ArtifactStore) -> CodeRecord:
        """Put all into ``store`` that it has not; raises as ``store_package``."""
        if self._installed is None:
            assert self._collected is not None
            package, blob = store_package(self._collected, store, self._rules.file_limit)
            script, module = self._collected.script, self._collected.module
        else:
            folder, blob, package = self._installed
            script, module = os.path.relpath(self._file, folder), module_of(self._file)
        return CodeRecord(
            package=blob,
            entry=f"{script if package.file(script) else ''}:{self._flow}",
            module=module,
            files=len(package.files),
            size=sum(one.size for one in package.files),
        )


def _installed_package(file: str) -> Installed | None:
    if not any(len(part) == 64 for part in file.split("/")):  # as folders of packages are called
        return None
    from headrace.runtime.code_folder import package_at

    return package_at(file)


def store_package(collected: Collected, store: ArtifactStore, file_limit: int) -> tuple[CodePackage, Blob]:
    """Put a package's files and then its manifest into ``store``.

    Files that were read before are not read again where the store has them.

    Raises:
        CodePackageError: a file changed, or vanished, while it was read.
        StoreError: the store cannot take it.
    """
    known = [Blob(one.digest, one.size) for one in collected.files.values() if one.digest]
    missing = {blob.digest for blob in store.renew(known)}
    new = [one for one in collected.files.values() if not one.digest or one.digest in missing]
    if "://" in store.url and len(new) > 1:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda one: _put(one, store, file_limit), new))
    else:
        for one in new:
            _put(one, store, file_limit)
    for one in new:
        if one.path and one.stamp is not None:
            collected.known.learn(one.path, one.stamp, one.digest, one.imports)
    package = CodePackage(
        tuple(
            CodeFile(place, one.digest, one.size, EXECUTABLE if one.executable else PLAIN)
            for place, one in sorted(collected.files.items())
        ),
        tuple(collected.folders),
        tuple(sorted(collected.modules.items())),
    )
    blob = store.put([package.encode()])
    collected.known.save()
    return package, blob


def _put(one: Found, store: ArtifactStore, file_limit: int) -> None:
    if one.content is None:
        try:
            one.content, one.stamp = files.read(one.path, file_limit)
        except files.Refused as reason:
            raise CodePackageError(f"{one.path} was to be in the code package, and now it {reason}") from None
    blob = store.put([one.content])
    one.digest, one.size, one.content = blob.digest, blob.size, None


def read_package(store: ArtifactStore, blob: Blob) -> CodePackage:
    """The package whose manifest is ``blob``.

    Raises:
        BlobError: it is gone or damaged.
        StoreDamagedError: it is not the manifest of a package.
    """
    return decode_package(store.get(blob))


def sources_of(details: RunDetails, store: ArtifactStore) -> dict[str, Blob]:
    """The files that a run kept, by path: those of its package; of runs before there were packages, its source files.

    Raises:
        BlobError, StoreDamagedError: the package cannot be read.
    """
    if details.code is None:
        return details.sources
    return {one.path: one.blob for one in read_package(store, details.code.package).files}


def blobs_of_packages(store: ArtifactStore, packages: Iterable[Blob]) -> Iterator[Blob]:
    """The blobs of the files of ``packages``; of a package that is gone or damaged, none."""
    from headrace.model.errors import BlobError, StoreDamagedError

    for blob in dict.fromkeys(packages):
        try:
            package = read_package(store, blob)
        except (BlobError, StoreDamagedError):
            continue
        for one in package.files:
            yield one.blob
