"""What ``S3`` takes and gives: objects and their facts, ranges, errors."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from headrace.frontends.metaflow.exceptions import MetaflowException
from headrace.frontends.metaflow.names import stored


class MetaflowS3InvalidObject(MetaflowException):
    """What is to be stored is neither text nor bytes nor a file that can be read again."""

    headline = "Not a string-like object"


class MetaflowS3URLException(MetaflowException):
    """An address that cannot be used so."""

    headline = "Invalid address"


class MetaflowS3Exception(MetaflowException):
    """The server cannot be reached, or refuses for another reason than those that have classes of their own."""

    headline = "S3 access failed"


class MetaflowS3NotFound(MetaflowException):
    """There is no such object, bucket or local file."""

    headline = "S3 object not found"


class MetaflowS3AccessDenied(MetaflowException):
    """These credentials may not do that."""

    headline = "S3 access denied"


class MetaflowS3InvalidRange(MetaflowException):
    """The object has no bytes in that range."""

    headline = "S3 invalid range"


class MetaflowS3InsufficientDiskSpace(MetaflowException):
    """There is no room for what is downloaded."""

    headline = "Insufficient disk space"


class S3GetObject(NamedTuple):
    """Which bytes of an object to get; a negative ``length`` counts from the end."""

    key: str
    offset: int | None = None
    length: int | None = None


class S3PutObject(NamedTuple):
    """What to store: ``value`` for ``put_many``, ``path`` for ``put_files``."""

    key: str
    value: Any = None
    path: str | None = None
    content_type: str | None = None
    encryption: str | None = None
    metadata: dict[str, Any] | None = None


@stored
class RangeInfo(NamedTuple):
    """Which bytes of an object were got."""

    total_size: int
    request_offset: int = 0
    request_length: int = -1


@stored
class S3Info(NamedTuple):
    """What the server said of an object."""

    size: int | None = None
    content_type: str | None = None
    metadata: dict[str, Any] | None = None
    range_info: RangeInfo | None = None
    last_modified: int | None = None
    encryption: str | None = None


@stored
class S3Object:
    """A place in S3, perhaps with a local copy of what is there."""

    def __init__(self, prefix: str | None, url: str, path: str | None = None, info: S3Info | None = None) -> None:
        self._url = url
        self._path = path
        self._info = info or S3Info()
        self._size = os.stat(path).st_size if path else self._info.size  # noqa: PTH116
        self._prefix = None if prefix == url else prefix
        self._key = url if self._prefix is None else url[len(self._prefix.rstrip("/")) + 1 :].rstrip("/")

    @property
    def exists(self) -> bool:
        """Whether there is an object."""
        return self._size is not None

    @property
    def downloaded(self) -> bool:
        """Whether there is a local copy."""
        return bool(self._path)

    @property
    def url(self) -> str:
        """Its full address."""
        return self._url

    @property
    def prefix(self) -> str | None:
        """The prefix that was asked for."""
        return self._prefix

    @property
    def key(self) -> str:
        """Its address behind the prefix, else the full one."""
        return self._key

    @property
    def path(self) -> str | None:
        """The local copy, which goes when the ``S3`` is closed."""
        return self._path

    @property
    def blob(self) -> bytes | None:
        """Its bytes; None when it was not downloaded."""
        if not self._path:
            return None
        with open(self._path, "rb") as file:  # noqa: PTH123
            return file.read()

    @property
    def text(self) -> str | None:
        """Its bytes as UTF-8; None when it was not downloaded."""
        blob = self.blob
        return None if blob is None else blob.decode("utf-8", errors="replace")

    @property
    def size(self) -> int | None:
        """Its size in bytes."""
        return self._size

    @property
    def has_info(self) -> bool:
        """Whether more is known of it than its size."""
        info = self._info
        return any(one is not None for one in (info.content_type, info.metadata, info.range_info, info.encryption))

    @property
    def metadata(self) -> dict[str, Any] | None:
        """What the user stored with it."""
        return self._info.metadata

    @property
    def content_type(self) -> str | None:
        """Its MIME type."""
        return self._info.content_type

    @property
    def encryption(self) -> str | None:
        """How the server encrypts it."""
        return self._info.encryption

    @property
    def range_info(self) -> RangeInfo | None:
        """Which of its bytes the local copy has."""
        return self._info.range_info

    @property
    def last_modified(self) -> int | None:
        """When it was stored, in seconds since the epoch."""
        return self._info.last_modified

    def __str__(self) -> str:
        if not self.exists:
            return f"<S3Object {self._url} (object does not exist)>"
        return f"<S3Object {self._url} ({self._size} bytes, {'local' if self._path else 'in S3'})>"

    def __repr__(self) -> str:
        return str(self)


__all__ = [
    "MetaflowS3AccessDenied",
    "MetaflowS3Exception",
    "MetaflowS3InsufficientDiskSpace",
    "MetaflowS3InvalidObject",
    "MetaflowS3InvalidRange",
    "MetaflowS3NotFound",
    "MetaflowS3URLException",
    "RangeInfo",
    "S3GetObject",
    "S3Object",
    "S3PutObject",
]
