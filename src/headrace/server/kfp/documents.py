"""What the API of Kubeflow Pipelines keeps beside runs, as JSON files in the folder ``kfp/api`` of a home, by project.

A document is written whole, to another name first. Pipelines that are run are kept here too: drivers read them.
"""

from __future__ import annotations

import datetime
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

_ID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


class Documents:
    """The documents of a project. Kinds: ``experiments``, ``pipelines``, ``versions``, ``runs``, ``recurring``."""

    def __init__(self, home: str, project: str) -> None:
        self._folder = Path(home, "kfp", "api", project)

    def put(self, kind: str, name: str, document: dict[str, Any]) -> None:
        """Write a document, in place of the one with its id."""
        path = self._path(kind, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}-{uuid.uuid4().hex}.part")
        part.write_bytes(msgspec.json.encode(document))
        part.replace(path)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """A document; None if there is none."""
        if not _ID.fullmatch(name):
            return None
        try:
            found: dict[str, Any] = msgspec.json.decode(self._path(kind, name).read_bytes())
        except FileNotFoundError:
            return None
        return found

    def all(self, kind: str) -> Iterator[dict[str, Any]]:
        """All documents of a kind."""
        for path in sorted((self._folder / kind).glob("*.json")):
            found = self.get(kind, path.stem)
            if found is not None:
                yield found

    def delete(self, kind: str, name: str) -> None:
        """Remove a document, if it is there."""
        if _ID.fullmatch(name):
            self._path(kind, name).unlink(missing_ok=True)

    def put_file(self, name: str, data: bytes) -> Path:
        """Keep the file of a pipeline, for a driver."""
        path = self._folder / "files" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def _path(self, kind: str, name: str) -> Path:
        return self._folder / kind / f"{name}.json"


def project_of(home: str, names: Iterable[str]) -> str:
    """The project of the first of these ids of which there is a document; empty if there is none."""
    for name in names:
        if _ID.fullmatch(name):
            for path in Path(home, "kfp", "api").glob(f"*/*/{name}.json"):
                return path.parent.parent.name
    return ""


def new_id() -> str:
    """An id that no other document has."""
    return str(uuid.uuid4())


def moment(seconds: float) -> str:
    """A time as RFC 3339 in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
