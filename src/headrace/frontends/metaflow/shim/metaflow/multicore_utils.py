"""Parallel maps."""

from headrace.frontends.metaflow.extras import parallel_imap_unordered, parallel_map

__all__ = ["parallel_imap_unordered", "parallel_map"]
