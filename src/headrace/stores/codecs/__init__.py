"""Objects to manifests and blobs, and back."""

from headrace.stores.codecs.context import reduce_hole
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
from headrace.stores.codecs.files import File, Folder
from headrace.stores.codecs.previews import preview

__all__ = [
    "File",
    "Folder",
    "exact_digest",
    "metadata_of",
    "pack",
    "pack_stream",
    "pack_template",
    "pack_whole",
    "preview",
    "reduce_hole",
    "unpack",
    "unpack_template",
]
