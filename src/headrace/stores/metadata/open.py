"""Open a metadata store by its URL."""

from __future__ import annotations

import errno
from pathlib import Path

from headrace.model.errors import StoreError, StoreReadOnlyError, UsageError
from headrace.stores.metadata.store import SqlMetadata


def open_metadata(url: str, *, durability: str = "process") -> SqlMetadata:
    """Open the store at ``url``: a path, ``sqlite:///path`` or ``postgresql://...``. Makes it when it is not there.

    ``durability``: with ``process`` the death of a process loses nothing, with ``fsync`` nor does a power loss (what
    a PostgreSQL server does is set there).

    Raises:
        UsageError: no such kind of store.
        StoreError: it cannot be opened; ``StoreVersionError`` when it is of a newer version, ``StoreDamagedError``
            when it is not a database of Headrace.
    """
    if durability not in ("process", "fsync"):
        raise UsageError(f"durability is {durability!r}, it must be 'process' or 'fsync'")
    scheme, mark, rest = url.partition("://")
    if mark and scheme == "sqlite":
        path = Path(rest.removeprefix("/"))
    elif mark and scheme in ("postgresql", "postgres"):
        from headrace.stores.metadata._postgres import PostgresDatabase

        return SqlMetadata(PostgresDatabase(url))
    elif mark:
        raise UsageError(
            f"{scheme}:// is not a metadata store that Headrace knows; use sqlite:///path or postgresql://"
        )
    else:
        path = Path(url)
    from headrace.stores.metadata._sqlite import SqliteDatabase

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        unwritable = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        raise (StoreReadOnlyError if unwritable else StoreError)(
            f"the folder of {path} cannot be made: {error}. Choose another place, or make it writable."
        ) from error
    return SqlMetadata(SqliteDatabase(path.absolute(), "FULL" if durability == "fsync" else "OFF"))
