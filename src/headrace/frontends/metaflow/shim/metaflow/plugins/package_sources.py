"""Files from elsewhere."""

from headrace.frontends.metaflow.authoring.packaging import package_sources

__all__ = ["package_sources"]
