"""``Run.code`` and ``Task.code``: the flow file and the files of the user's that it uses, as the run kept them."""

from __future__ import annotations

import io
import json
import os
from typing import TYPE_CHECKING, Any

from headrace._base.lazy import lazy
from headrace.client.source import RunReader
from headrace.frontends.metaflow.version import VERSION
from headrace.model.code import is_safe
from headrace.model.errors import StoreError

if TYPE_CHECKING:
    from tarfile import TarFile
    from tempfile import TemporaryDirectory

_INFO = "INFO"


class MetaflowCode:
    """The code of a run. Files stand under their path from the folder of the flow file."""

    def __init__(self, run: RunReader) -> None:
        self._run = run

    @lazy
    def files(self) -> dict[str, bytes]:
        """All files by their path."""
        home = os.path.dirname(self._script())  # noqa: PTH120
        found = {}
        for path, blob in self._run.sources().items():
            name = os.path.relpath(path, home or ".")
            if is_safe(path):
                found[path if name.startswith("..") else name] = self._run.bytes_of(blob)
        return found

    def _file(self) -> str:
        return self._run.record(complete=True).entry.rpartition(":")[0]

    def _script(self) -> str:
        """The flow file among the files that the run kept."""
        details = self._run.details()
        if details.code is not None:
            return details.code.entry.rpartition(":")[0]
        return os.path.relpath(self._file(), details.root or "/")

    @property
    def script_name(self) -> str:
        """The name of the flow file."""
        return os.path.basename(self._file())  # noqa: PTH119

    @property
    def path(self) -> str:
        """Where the flow file is kept: the digest of its content in the artifact store."""
        blob = self._run.sources().get(self._script())
        return blob.hex if blob is not None else ""

    @property
    def flowspec(self) -> str:
        """The text of the flow file.

        Raises:
            StoreError: the run did not keep it: it is larger than ``code_file_limit``, or was not readable.
        """
        content = self.files.get(self.script_name)
        if content is None:
            raise StoreError(f"{self._run.name} did not keep its flow file {self.script_name}")
        return content.decode(errors="replace")

    @property
    def info(self) -> dict[str, Any]:
        """Who ran it, with which Python and platform, from which commit."""
        record, details = self._run.record(complete=True), self._run.details()
        found = {
            "platform": details.platform.partition("-")[0],
            "username": record.user,
            "runtime": "dev",
            "environment_type": "local",
            "use_r": False,
            "python_version": details.python,
            "python_version_code": details.python,
            "metaflow_version": VERSION,
            "script": self.script_name,
        }
        if record.git_commit:
            found |= {"commit_sha": record.git_commit, "has_uncommitted_changes": record.git_dirty}
        return found

    @lazy
    def _archive(self) -> bytes:
        return make_archive({**self.files, _INFO: json.dumps(self.info).encode()})

    @property
    def tarball(self) -> TarFile:
        """The files as an archive."""
        import tarfile

        return tarfile.open(fileobj=io.BytesIO(self._archive), mode="r:gz")

    def extract(self) -> TemporaryDirectory[str]:
        """The files in a new folder, which is gone when the object that is returned is."""
        from tempfile import TemporaryDirectory

        folder = TemporaryDirectory()
        for name, content in self.files.items():
            target = os.path.join(folder.name, name)  # noqa: PTH118
            os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
            with open(target, "wb") as file:  # noqa: PTH123
                file.write(content)
        return folder

    def __str__(self) -> str:
        return f"<MetaflowCode: {self.script_name}>"


def make_archive(files: dict[str, bytes]) -> bytes:
    """Files as a compressed archive; equal files make equal bytes."""
    import gzip
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            archive.addfile(entry, io.BytesIO(files[name]))
    return gzip.compress(out.getvalue(), 3, mtime=0)


def code_of(run: RunReader) -> MetaflowCode | None:
    """The code of a run; None when it kept none, as runs made at a prompt."""
    return MetaflowCode(run) if run.sources() else None


def environment_of(run: RunReader) -> dict[str, Any] | None:
    """The interpreter, platform and packages of a run; None: they are not known."""
    details = run.details()
    if not details.python:
        return None
    return {
        "type": "local",
        "python": details.python,
        "platform": details.platform,
        "packages": dict(details.packages),
    }
