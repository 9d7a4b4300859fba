"""The errors of flows."""

from headrace.frontends.metaflow.exceptions import *  # noqa: F403
