"""Tags."""

from headrace.frontends.metaflow.client.tags import MAX_TAG as MAX_TAG_SIZE
from headrace.frontends.metaflow.client.tags import MAX_USER_TAGS as MAX_USER_TAG_SET_SIZE
from headrace.frontends.metaflow.client.tags import validate_tag, validate_tags
from headrace.frontends.metaflow.exceptions import MetaflowTaggingError

__all__ = ["MAX_TAG_SIZE", "MAX_USER_TAG_SET_SIZE", "MetaflowTaggingError", "validate_tag", "validate_tags"]
