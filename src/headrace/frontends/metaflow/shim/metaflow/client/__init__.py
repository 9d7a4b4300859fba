"""The Client API."""

from headrace.frontends.metaflow.client import *  # noqa: F403
