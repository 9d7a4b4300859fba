"""The Client API under the name of the module that has it in the original."""

from headrace.frontends.metaflow.client.runs import *  # noqa: F403
