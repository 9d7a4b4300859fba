"""``FlowSpec``."""

from headrace.frontends.metaflow.flow import FlowSpec

__all__ = ["FlowSpec"]
