"""Parallel maps."""

from headrace.frontends.metaflow.extras import MulticoreException, parallel_imap_unordered, parallel_map

__all__ = ["MulticoreException", "parallel_imap_unordered", "parallel_map"]
