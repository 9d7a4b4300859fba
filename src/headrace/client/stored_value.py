"""What can be said of any stored value: the part of ``Artifact`` that needs no other records."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.client.object_loader import load
from headrace.client.source import RunReader, moment
from headrace.model.records import ArtifactRecord
from headrace.model.values import Preview
from headrace.stores import codecs
from headrace.stores.codecs.files import blob_uri


class StoredValue:
    """A stored value with its record."""

    _reader: RunReader
    _record: ArtifactRecord

    @property
    def path(self) -> str:
        """Its name in full."""
        raise NotImplementedError

    @property
    def value(self) -> Any:
        """The object, loaded anew each time; large arrays are mapped, and writable without changing what is stored."""
        return load(self._record.value, self._reader)

    @property
    def preview(self) -> Preview:
        """What was noted of it when it was stored: type, text, facts, the head of a table, a small picture."""
        return self._record.preview

    @property
    def type(self) -> str:
        """The name of its type."""
        return self._record.preview.type

    @property
    def size(self) -> int:
        """How many bytes it takes in the store."""
        return self._record.value.size

    @property
    def digest(self) -> str:
        """What identifies its content: equal for equal content."""
        return self._record.value.digest.hex()

    @property
    def metadata(self) -> dict[str, Any]:
        """What is noted of a ``File`` or ``Folder``; empty for other values."""
        return codecs.metadata_of(self._record.value, self._reader.artifacts)

    @property
    def uri(self) -> str:
        """Where the content is: the URL in the artifact store of what is one blob, such as a file; else ``headrace:``
        and its name in full.
        """
        packed, store = self._record.value, self._reader.artifacts
        blobs = packed.blobs if packed.inline or packed.codec not in ("file", "folder") else packed.blobs[1:]
        if len(blobs) == 1 and packed.codec != "folder":
            return blob_uri(store.url, blobs[0])
        return f"headrace:{self.path}"

    @property
    def kind(self) -> str:
        """``output``, or ``logged`` by ``log_artifact`` and its like."""
        return self._record.kind

    @property
    def created(self) -> datetime | None:
        """When it was recorded, in local time."""
        return moment(self._record.created)
