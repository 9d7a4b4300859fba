"""Objects to manifests and blobs, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.stores.codecs.context import is_hole, reduce_hole
from headrace.stores.codecs.core import (
    exact_digest,
    metadata_of,
    pack,
    pack_stream,
    pack_template,
    pack_whole,
    unpack,
    unpack_template,
)
from headrace.stores.codecs.previews import preview

if TYPE_CHECKING:
    from headrace.stores.codecs.files import File, Folder


def prepare() -> None:
    """Load and compile ahead what values of all kinds need, for processes that are forked from this one."""
    from headrace.stores.codecs import exceptions, objects

    assert exceptions and objects
    preview([object()])


def __getattr__(name: str) -> Any:
    if name in ("File", "Folder"):
        from headrace.stores.codecs import files

        return getattr(files, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "File",
    "Folder",
    "exact_digest",
    "is_hole",
    "metadata_of",
    "pack",
    "pack_stream",
    "pack_template",
    "pack_whole",
    "prepare",
    "preview",
    "reduce_hole",
    "unpack",
    "unpack_template",
]
