"""Measuring time."""

from headrace.frontends.metaflow.extras import profile

__all__ = ["profile"]
