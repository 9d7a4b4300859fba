"""The Client API."""

from headrace.frontends.metaflow.client.providers import default_metadata as default_metadata
from headrace.frontends.metaflow.client.providers import get_metadata as get_metadata
from headrace.frontends.metaflow.client.providers import inspect_spin as inspect_spin
from headrace.frontends.metaflow.client.providers import metadata as metadata
from headrace.frontends.metaflow.client.runs import *  # noqa: F403
