"""A graph in other forms: all that is known of its steps as text, the language of Graphviz, plain values.

``graph`` calls these with its nodes, which are any objects with the attributes of ``DAGNode``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace.frontends.metaflow.authoring.decorators import Decorator


def node_text(node: Any) -> str:
    """All that is known of a step."""
    facts: dict[str, Any] = {
        "in_funcs": _several(node.in_funcs),
        "out_funcs": _several(node.out_funcs),
        "split_parents": _several(node.split_parents),
        "split_branches": _several(node.split_branches),
        "matching_join": f"[{node.matching_join}]" if node.matching_join else None,
        "is_inside_foreach": node.is_inside_foreach,
        "decorators": " | ".join(_decorator(one) for one in node.decorators),
        "num_args": node.num_args,
        "has_tail_next": f"{node.has_tail_next} (line {node.tail_next_lineno})",
        "invalid_tail_next": node.invalid_tail_next,
        "foreach_param": node.foreach_param,
        "condition": node.condition,
        "parallel_step": node.parallel_step,
        "parallel_foreach": node.parallel_foreach,
    }
    lines = [f"*[{node.name} {node.type} ({node.source_file} line {node.func_lineno})]*"]
    lines += [f"    {name}={value}" for name, value in facts.items()]
    return "\n".join([*lines, f"    -> {_several(node.out_funcs)}"])


def _several(names: list[str]) -> str:
    return ", ".join(f"[{name}]" for name in names)


def _decorator(one: Decorator) -> str:
    how = "static" if one.statically_defined else "dynamic"
    return f"{one.name}<{' '.join([how, *(f'{key}={value}' for key, value in one.attributes.items())])}>"


# --- Graphviz -------------------------------------------------------------------------------------------------------


def dot(graph: Any) -> str:
    """The graph in the language of Graphviz; the ways of a switch have the names of its cases."""
    nodes = [_dot_node(node) for node in graph]
    return "\n".join([f"digraph {graph.name} {{", *nodes, *(edge for node in graph for edge in _dot_edges(node)), "}"])


def _dot_node(node: Any) -> str:
    font = 'fontname = "Helvetica"'
    if node.type == "split-switch":
        label = f'{node.name}</b><br/><font point-size="9">switch: {node.condition}</font>'
        return f'"{node.name}" [ label = <<b>{label}>   {font}   shape = "hexagon"   {_GREEN} ];'
    kind = "join" if node.num_args > 1 else node.type
    label = f'{node.name}</b> | <font point-size="10">{kind}</font>'
    return f'"{node.name}"[ label = <<b>{label}>   {font}   shape = "record" ];'


_GREEN = 'style = "filled" fillcolor = "lightgreen"'


def _dot_edges(node: Any) -> Iterator[str]:
    if node.type == "split-switch":
        for case, target in node.switch_cases.items():
            yield f'{node.name} -> {target} [label="{case}" color="blue" fontcolor="blue"];'
    else:
        yield from (f"{node.name} -> {target};" for target in node.out_funcs)


# --- plain values ---------------------------------------------------------------------------------------------------

_TYPES = {"split": "split-static", "foreach": "split-foreach"}
_PLAIN = (str, int, float, bool, type(None))


def decorator_info(one: Decorator) -> dict[str, Any]:
    """A decorator as plain values."""
    return {
        "name": one.name,
        "attributes": plain(one.attributes),
        "statically_defined": one.statically_defined,
        "inserted_by": one.inserted_by,
    }


def _user_decorator_info(one: Any) -> dict[str, Any]:
    return {
        "name": f"{type(one).__module__}.{type(one).__qualname__}",
        "attributes": plain({"_args": one._args, **one._kwargs}),
        "statically_defined": one.statically_defined,
        "inserted_by": one.inserted_by,
    }


def step_info(node: Any) -> dict[str, Any]:
    """A step as plain values."""
    kind = "split-parallel" if node.parallel_foreach else _TYPES.get(node.type, node.type)
    info: dict[str, Any] = {
        "name": node.name,
        "type": kind,
        "line": node.func_lineno,
        "source_file": node.source_file,
        "doc": node.doc,
        "decorators": [
            *(decorator_info(one) for one in node.decorators),
            *(_user_decorator_info(one) for one in (*node.wrappers, *node.function.config_decorators)),
        ],
        "next": list(node.out_funcs),
        "node_info": plain(node.node_info),
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


def structure(graph: Any) -> list[Any]:
    """The steps in order, those between a split and its join in a list of their own for each branch."""
    if graph.start_step == graph.end_step:
        return [graph.end_step]
    return [*_block(graph, graph.start_step, graph.end_step, frozenset()), graph.end_step]


def _block(graph: Any, name: str, stop: str, seen: frozenset[str]) -> list[Any]:
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
