"""Tags."""

from headrace.frontends.metaflow.client.tags import MAX_USER_TAGS as MAX_USER_TAG_SET_SIZE

__all__ = ["MAX_USER_TAG_SET_SIZE"]
