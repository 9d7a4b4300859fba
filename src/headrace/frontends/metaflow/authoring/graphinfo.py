"""The graph of a flow as plain values: what ``current.graph`` is, and what a run keeps of its flow."""

from __future__ import annotations

import os
import sys
from typing import Any

from headrace.frontends.metaflow.authoring.decorators import flow_decorators
from headrace.frontends.metaflow.authoring.graph import DAGNode, FlowGraph, graph_of

_TYPES = {"split": "split-static", "foreach": "split-foreach"}
_PLAIN = (str, int, float, bool, type(None))


def graph_info(cls: Any) -> dict[str, Any]:
    """Steps, what follows what, parameters, constants and decorators of a flow; as they were when it was asked first.

    In a worker, parameters and constants are no longer what the class says: ask before it is made ready for tasks.
    """
    found: dict[str, Any] | None = cls.__dict__.get("_headrace_graph_info")
    if found is None:
        found = cls._headrace_graph_info = _read_info(cls)
    return found


def _read_info(cls: Any) -> dict[str, Any]:
    graph = graph_of(cls)
    return {
        "file": os.path.basename(_file(cls)),  # noqa: PTH119
        "start_step": graph.start_step,
        "end_step": graph.end_step,
        "parameters": [{"name": name, "type": type(one).__name__} for name, one in _declared(cls).items()],
        "constants": [{"name": name, "type": type(value).__name__} for name, value in cls._constants().items()],
        "steps": {node.name: _step_info(node) for node in graph},
        "graph_structure": _structure(graph),
        "doc": graph.doc,
        "decorators": [_decorator_info(one) for one in flow_decorators(cls)],
        "extensions": {"installed": {}},
    }


def _file(cls: Any) -> str:
    return getattr(sys.modules.get(cls.__module__), "__file__", None) or sys.argv[0]


def _declared(cls: Any) -> dict[str, Any]:
    return {**cls._parameters(), **cls._configs()}


def _decorator_info(one: Any) -> dict[str, Any]:
    return {
        "name": one.name,
        "attributes": plain(one.attributes),
        "statically_defined": one.statically_defined,
        "inserted_by": None,
    }


def _step_info(node: DAGNode) -> dict[str, Any]:
    kind = "split-parallel" if node.parallel_foreach else _TYPES.get(node.type, node.type)
    info: dict[str, Any] = {
        "name": node.name,
        "type": kind,
        "line": node.func_lineno,
        "source_file": node.source_file,
        "doc": node.doc,
        "decorators": [_decorator_info(one) for one in node.decorators],
        "next": list(node.out_funcs),
        "node_info": plain(node.function.node_info),
    }
    if kind == "split-foreach":
        info["foreach_artifact"] = node.foreach_param
    elif kind == "split-parallel":
        info["num_parallel"] = node.num_parallel
    elif kind == "split-switch":
        info["condition"], info["switch_cases"] = node.condition, dict(node.switch_cases)
    if node.matching_join:
        info["matching_join"] = node.matching_join
    return info


def _structure(graph: FlowGraph) -> list[Any]:
    """The steps in order, those between a split and its join in a list of their own for each branch."""
    if graph.start_step == graph.end_step:
        return [graph.end_step]
    return [*_block(graph, graph.start_step, graph.end_step, frozenset()), graph.end_step]


def _block(graph: FlowGraph, name: str, stop: str, seen: frozenset[str]) -> list[Any]:
    found: list[Any] = []
    while name != stop and name in graph and name not in seen:
        seen |= {name}
        node = graph[name]
        found.append(name)
        if node.type == "split-switch":
            found.append([_block(graph, one, stop, seen) for one in node.out_funcs if one != name])
            break
        if node.type in ("split", "foreach") and node.matching_join and not node.parallel_foreach:
            found.append([_block(graph, one, node.matching_join, seen) for one in node.out_funcs])
            name = node.matching_join
        elif node.out_funcs:
            name = node.out_funcs[0]
        else:
            break
    return found


def plain(value: Any) -> Any:
    """A value of plain types alone: what is of another type is shown as text."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in value]
    return str(value)
