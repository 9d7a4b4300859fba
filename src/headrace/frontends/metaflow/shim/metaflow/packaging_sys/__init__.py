"""What files of a package are."""

from headrace.frontends.metaflow.authoring.packaging import ContentType

__all__ = ["ContentType"]
