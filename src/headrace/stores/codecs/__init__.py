"""Objects to manifests and blobs, and back."""

from headrace.stores.codecs.context import reduce_hole
from headrace.stores.codecs.core import pack, pack_template, unpack, unpack_template
from headrace.stores.codecs.previews import preview

__all__ = ["pack", "pack_template", "preview", "reduce_hole", "unpack", "unpack_template"]
