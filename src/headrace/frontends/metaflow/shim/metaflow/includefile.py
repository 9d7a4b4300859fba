"""``IncludeFile``."""

from headrace.frontends.metaflow.parameters import IncludedFile, IncludeFile

__all__ = ["IncludeFile", "IncludedFile"]
