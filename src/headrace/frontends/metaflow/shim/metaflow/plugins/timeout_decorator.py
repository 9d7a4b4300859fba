"""``@timeout``."""

from headrace.frontends.metaflow.exceptions import TimeoutException

__all__ = ["TimeoutException"]
