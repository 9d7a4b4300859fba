"""Which version of the schema a database has, and making a fresh one."""

from __future__ import annotations

#: The version of ``schema.sql``; equals the newest file in ``migrations``.
SCHEMA_VERSION = 5


def check(found: str, name: str) -> bool:
    """Whether a database of version ``found`` must be migrated before it is used.

    Raises:
        StoreVersionError: a newer Headrace wrote it.
    """
    from headrace.model.errors import StoreVersionError

    try:
        version = int(found)
    except ValueError:
        version = SCHEMA_VERSION + 1
    if version > SCHEMA_VERSION:
        raise StoreVersionError(
            f"{name} was written by a newer Headrace (schema {found}; this one knows up to {SCHEMA_VERSION:04d}). "
            "Upgrade (pip install --upgrade headrace) and start again; what was recorded is kept"
        )
    return version < SCHEMA_VERSION
