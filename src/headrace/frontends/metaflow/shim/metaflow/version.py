"""The version."""

from headrace.frontends.metaflow.version import VERSION

metaflow_version = VERSION

__all__ = ["metaflow_version"]
