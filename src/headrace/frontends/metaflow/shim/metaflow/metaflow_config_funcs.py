"""Settings."""

from headrace.frontends.metaflow.settings import from_conf

__all__ = ["from_conf"]
