"""The version."""

from headrace.frontends.metaflow.version import VERSION


def get_version(public: bool = False) -> str:
    """Which Metaflow is stood in for."""
    return VERSION


__all__ = ["get_version"]
