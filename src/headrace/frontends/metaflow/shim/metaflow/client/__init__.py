"""The Client API."""

from headrace.frontends.metaflow.client import *  # noqa: F403
from headrace.frontends.metaflow.providers import default_metadata as default_metadata
from headrace.frontends.metaflow.providers import get_metadata as get_metadata
from headrace.frontends.metaflow.providers import inspect_spin as inspect_spin
from headrace.frontends.metaflow.providers import metadata as metadata
