"""Tags."""

from headrace.frontends.metaflow.tagging import MAX_USER_TAGS as MAX_USER_TAG_SET_SIZE

__all__ = ["MAX_USER_TAG_SET_SIZE"]
