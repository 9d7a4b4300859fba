"""``FlowSpec``."""

from headrace.frontends.metaflow.exceptions import InvalidNextException
from headrace.frontends.metaflow.flow import FlowSpec

__all__ = ["FlowSpec", "InvalidNextException"]
