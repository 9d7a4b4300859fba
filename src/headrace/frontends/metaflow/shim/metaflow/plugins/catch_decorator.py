"""``@catch``."""

from headrace.frontends.metaflow.exceptions import FailureHandledByCatch

__all__ = ["FailureHandledByCatch"]
