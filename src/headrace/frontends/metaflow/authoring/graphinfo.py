"""The graph of a flow as plain values: what ``current.graph`` is, and what a run keeps of its flow."""

from __future__ import annotations

import os
import sys
from typing import Any

from headrace.frontends.metaflow.authoring.decorators import flow_decorators
from headrace.frontends.metaflow.authoring.graph import graph_of
from headrace.frontends.metaflow.authoring.graphforms import decorator_info


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
    steps, structure = graph.output_steps()
    return {
        "file": os.path.basename(_file(cls)),  # noqa: PTH119
        "start_step": graph.start_step,
        "end_step": graph.end_step,
        "parameters": [{"name": name, "type": type(one).__name__} for name, one in _declared(cls).items()],
        "constants": [{"name": name, "type": type(value).__name__} for name, value in cls._constants().items()],
        "steps": steps,
        "graph_structure": structure,
        "doc": graph.doc,
        "decorators": [decorator_info(one) for one in flow_decorators(cls)],
        "extensions": {"installed": {}},
    }


def _file(cls: Any) -> str:
    return getattr(sys.modules.get(cls.__module__), "__file__", None) or sys.argv[0]


def _declared(cls: Any) -> dict[str, Any]:
    return {**cls._parameters(), **cls._configs()}
