"""The graph of a flow."""

from headrace.frontends.metaflow.graph import FlowGraph

__all__ = ["FlowGraph"]
