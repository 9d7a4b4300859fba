"""``IncludeFile``."""

from headrace.frontends.metaflow.authoring.parameters import IncludedFile, IncludeFile

__all__ = ["IncludeFile", "IncludedFile"]
