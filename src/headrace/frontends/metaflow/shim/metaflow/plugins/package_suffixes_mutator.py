"""Files by their suffixes."""

from headrace.frontends.metaflow.authoring.packaging import package_suffixes

__all__ = ["package_suffixes"]
