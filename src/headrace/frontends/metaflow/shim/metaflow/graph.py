"""The graph of a flow."""

from headrace.frontends.metaflow.authoring.graph import FlowGraph

__all__ = ["FlowGraph"]
