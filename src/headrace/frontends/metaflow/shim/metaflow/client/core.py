"""The Client API under the name of the module that has it in the original."""

from headrace.frontends.metaflow.client.runs import *  # noqa: F403
from headrace.frontends.metaflow.exceptions import (
    MetaflowInvalidPathspec as MetaflowInvalidPathspec,
)
from headrace.frontends.metaflow.exceptions import (
    MetaflowNamespaceMismatch as MetaflowNamespaceMismatch,
)
from headrace.frontends.metaflow.exceptions import MetaflowNotFound as MetaflowNotFound
