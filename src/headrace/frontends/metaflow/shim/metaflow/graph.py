"""The graph of a flow."""

from headrace.frontends.metaflow.authoring.graph import DAGNode, FlowGraph

__all__ = ["DAGNode", "FlowGraph"]
