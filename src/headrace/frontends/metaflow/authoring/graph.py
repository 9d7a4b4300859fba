"""The graph of a flow as its source says it: read from the last statement of every step, checked before anything runs.

The run itself follows what steps call (``self.next``); the graph is there to refuse what cannot work, to show, and to
know where a step goes on that failed before it said so (``@catch``).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from headrace.frontends.metaflow.authoring.decorators import Decorator
from headrace.frontends.metaflow.authoring.gangs import is_gang
from headrace.frontends.metaflow.authoring.graphforms import dot, node_text, step_info, structure
from headrace.frontends.metaflow.authoring.sources import source_of
from headrace.frontends.metaflow.exceptions import LintWarn, MetaflowException

_RESERVED_STEPS = frozenset({"name", "next", "input", "index", "cmd"})


class DAGNode:
    """One step. ``type``: start, linear, split, foreach, split-switch, join or end."""

    def __init__(self, name: str, function: Any) -> None:
        self.name = name
        self.function = function
        self.source = source_of(function)
        self.source_file: str = self.source.file
        self.func_lineno: int = self.source.line
        self.num_args: int = self.source.arguments
        self.doc = plain_doc(function.__doc__)
        self.is_start_step: bool = function.is_start
        self.is_end_step: bool = function.is_end
        self.node_info: dict[str, Any] = function.node_info
        self.parallel_step = is_gang(function)
        self.type = "linear"
        self.out_funcs: list[str] = []
        self.in_funcs: list[str] = []
        self.foreach_param: str | None = None
        self.num_parallel: Any = 0
        self.parallel_foreach = False
        self.condition: str | None = None
        self.switch_cases: dict[Any, str] = {}
        self.has_tail_next = False
        self.tail_problem = ""
        self.tail_next_lineno = 0
        self.matching_join: str | None = None
        self.split_parents: list[str] = []
        self.split_branches: list[str] = []
        self.is_inside_foreach = False

    @property
    def decorators(self) -> list[Decorator]:
        """Those that it has now."""
        return list(self.function.decorators)

    @property
    def wrappers(self) -> list[Any]:
        """What users put around it, the outermost last."""
        return list(self.function.wrappers)

    @property
    def config_decorators(self) -> list[Any]:
        """The mutators of the step."""
        return list(self.function.config_decorators)

    @property
    def invalid_tail_next(self) -> bool:
        """Whether its ``self.next`` is none that works; ``tail_problem`` says why."""
        return bool(self.tail_problem)

    @property
    def here(self) -> tuple[int, str]:
        """Line and file of the step."""
        return self.func_lineno, self.source_file

    @property
    def tail(self) -> tuple[int, str]:
        """Line and file of its ``self.next``."""
        return self.tail_next_lineno, self.source_file

    def __str__(self) -> str:
        return node_text(self)


class FlowGraph:
    """All steps of a flow by name. ``sorted_nodes``: names from the start on, splits before what they split into."""

    def __init__(self, cls: Any) -> None:
        self.name = cls.__name__
        self.doc = plain_doc(cls.__doc__)
        self.nodes: dict[str, DAGNode] = {}
        for name, function in sorted(cls._steps.items()):
            node = self.nodes[name] = DAGNode(name, function)
            _read_tail(node)
        self.start_step = self._endpoint("start", "is_start_step")
        self.end_step = self._endpoint("end", "is_end_step")
        self._set_types()
        self._connect()
        self._nest()
        self.sorted_nodes = self._sorted()

    def _endpoint(self, name: str, mark: str) -> str:
        marked = [node.name for node in self if getattr(node, mark)]
        return marked[0] if marked else name

    def _set_types(self) -> None:
        for node in self:
            if node.name == self.end_step:
                node.type = "end"
            elif node.foreach_param is not None or node.parallel_foreach:
                node.type = "foreach"
            elif node.condition is not None:
                node.type = "split-switch"
            elif len(node.out_funcs) > 1:
                node.type = "split"
            elif node.num_args > 1:
                node.type = "join"
            elif node.name == self.start_step:
                node.type = "start"

    def _connect(self) -> None:
        """Note which steps lead to each; one that repeats itself is not led to by itself."""
        for node in self:
            for target in node.out_funcs:
                if target in self and (target != node.name or target == self.start_step):
                    self[target].in_funcs.append(node.name)
        for node in self:
            node.in_funcs = sorted(set(node.in_funcs))

    def _nest(self) -> None:
        """Find the join of every split, walking each step once."""
        todo: list[tuple[str, list[str], list[str]]] = [(self.start_step, [], [])]
        seen: set[str] = set()
        while todo:
            name, splits, branches = todo.pop()
            node = self.nodes.get(name)
            if node is None or name in seen:
                continue
            seen.add(name)
            is_join = node.num_args > 1 and bool(splits)
            if is_join:
                self.nodes[splits[-1]].matching_join = name
                branches = branches[:-1]
            node.split_parents, node.split_branches = splits, branches
            if is_join:
                splits = splits[:-1]
            node.is_inside_foreach = any(self.nodes[one].type == "foreach" for one in splits)
            if node.type in ("split", "foreach"):
                todo += [(target, [*splits, name], [*branches, target]) for target in reversed(node.out_funcs)]
            else:
                todo += [(target, splits, branches) for target in reversed(node.out_funcs)]

    def __getitem__(self, name: str) -> DAGNode:
        return self.nodes[name]

    def __contains__(self, name: object) -> bool:
        return name in self.nodes

    def __iter__(self) -> Iterator[DAGNode]:
        return iter(self.nodes.values())

    def __str__(self) -> str:
        return "\n".join(str(self[name]) for name in self.sorted_nodes)

    def _sorted(self) -> list[str]:
        order: list[str] = []
        waiting = {node.name: sum(one != node.name for one in node.in_funcs) for node in self}
        todo = [self.start_step]
        reached: dict[str, None] = {}  # in a graph that is refused for a loop, steps wait for each other
        while todo or (todo := [name for name in reached if name not in order][:1]):
            name = todo.pop()
            if name in order or name not in self:
                continue
            order.append(name)
            for target in reversed(self[name].out_funcs):
                if target in waiting and target != name:
                    reached[target] = None
                    waiting[target] -= 1
                    if waiting[target] <= 0:
                        todo.append(target)
        return order

    def output_dot(self) -> str:
        """The graph in the language of Graphviz."""
        return dot(self)

    def output_steps(self) -> tuple[dict[str, Any], list[Any]]:
        """All steps as plain values, and their names in the order of the graph, branches in lists of their own."""
        return {name: step_info(self[name]) for name in self.sorted_nodes}, structure(self)


def plain_doc(text: str | None) -> str:
    """A docstring without the indentation of its lines."""
    filled = [line for line in (text or "").splitlines() if line][:2]
    indents = [line[: len(line) - len(line.lstrip(" \t"))] for line in filled]
    indent = next((one for one in indents if one), "")
    return (text or "").replace(f"\n{indent}", "\n").strip() if indent else text or ""


def graph_of(cls: Any) -> FlowGraph:
    """The graph of a flow; read once per class."""
    graph: FlowGraph | None = cls.__dict__.get("_headrace_graph")
    if graph is None:
        graph = FlowGraph(cls)
        cls._headrace_graph = graph
    return graph


# --- reading the source -------------------------------------------------------------------------------------------


def _read_tail(node: DAGNode) -> None:
    found = node.source.tree
    if found is None:
        return
    node.func_lineno = found.lineno
    last = found.body[-1]
    if not (isinstance(last, ast.Expr) and _is_next(last.value)):
        return
    call = last.value
    assert isinstance(call, ast.Call)
    node.has_tail_next = True
    node.tail_next_lineno = last.lineno
    keywords = {one.arg: one.value for one in call.keywords}
    node.tail_problem = _read_next(node, call.args, keywords)


def _is_next(value: ast.expr) -> bool:
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr == "next"
        and isinstance(value.func.value, ast.Name)
        and value.func.value.id == "self"
    )


def _read_next(node: DAGNode, args: list[ast.expr], keywords: dict[str | None, ast.expr]) -> str:
    """Fill in where the step goes on; what is wrong with it, if anything."""
    if len(args) == 1 and isinstance(args[0], ast.Dict):
        return _read_switch(node, args[0], keywords)
    for one in args:
        if not (isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == "self"):
            return "its targets must be steps, written as self.step_name"
        node.out_funcs.append(one.attr)
    if not args:
        return "it has no target"
    if "condition" in keywords:
        return "a condition needs a dictionary of cases: self.next({value: self.step, ...}, condition='name')"
    if "foreach" in keywords:
        value = keywords["foreach"]
        if not (isinstance(value, ast.Constant) and isinstance(value.value, str)):
            return "foreach takes the name of an artifact, as a string"
        node.foreach_param = value.value
    if "num_parallel" in keywords:
        node.parallel_foreach = True
        value = keywords["num_parallel"]
        node.num_parallel = value.value if isinstance(value, ast.Constant) else None
    unknown = [str(name) for name in keywords if name not in ("foreach", "num_parallel")]
    if unknown:
        return f"it has an unknown keyword argument {unknown[0]!r}"
    if node.foreach_param and node.parallel_foreach:
        return "foreach and num_parallel cannot be used together"
    if len(args) > 1 and (node.foreach_param or node.parallel_foreach):
        return "foreach and num_parallel take one target"
    return ""


def _read_switch(node: DAGNode, cases: ast.Dict, keywords: dict[str | None, ast.expr]) -> str:
    condition = keywords.get("condition")
    if not (isinstance(condition, ast.Constant) and isinstance(condition.value, str)):
        return "a switch needs condition='name of an artifact'"
    node.condition = condition.value
    for key, value in zip(cases.keys, cases.values, strict=True):
        if isinstance(key, ast.Constant):
            name: Any = key.value
        elif isinstance(key, ast.Attribute) and isinstance(key.value, ast.Attribute):  # self.config.key
            name = f"config:{ast.unparse(key).removeprefix('self.')}"
        else:
            return "the cases of a switch must be texts, numbers or self.config.name"
        if not (isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id == "self"):
            return "the cases of a switch must lead to steps, written as self.step_name"
        if name in node.switch_cases:
            return f"the case {name!r} of a switch stands there twice"
        node.switch_cases[name] = value.attr
        if value.attr not in node.out_funcs:
            node.out_funcs.append(value.attr)
    if len(cases.keys) < 2:
        return "a switch needs at least two cases"
    return ""


# --- checking -----------------------------------------------------------------------------------------------------


def lint(graph: FlowGraph) -> None:
    """Refuse a graph that cannot work, naming the step and the line.

    Raises:
        LintWarn: it cannot.
    """
    for check in (
        _check_names,
        _check_joins,
        _check_twice,
        _check_ends,
        _check_tails,
        _check_targets,
        _check_reachable,
        _check_nesting,
    ):
        check(graph)
    _check_cycles(graph)
    _check_decorators(graph)


def _check_names(graph: FlowGraph) -> None:
    for node in graph:
        if node.name in _RESERVED_STEPS or node.name.startswith("_"):
            raise LintWarn(f"Step name *{node.name}* is reserved. Choose another name.", *node.here)
        if not all(char.isdigit() or char == "_" or "a" <= char <= "z" for char in node.name):
            raise LintWarn(
                f"Step name *{node.name}* is not valid: use lower-case letters, digits and underscores.",
                *node.here,
            )
        if node.num_args not in (1, 2):
            raise LintWarn(
                f"Step *{node.name}* takes {node.num_args} arguments. A step takes *self*; a join takes *self* and "
                f"*inputs*.{_hint(node)}",
                *node.here,
            )


def _check_joins(graph: FlowGraph) -> None:
    for node in graph:
        if node.num_args > 1 and node.type in ("split", "foreach", "split-switch"):
            raise LintWarn(
                f"Step *{node.name}* is both a join step (it takes an extra argument) and a split step (it goes on to "
                "several). This is not allowed. Add a new step so that split and join become separate steps.",
                *node.here,
            )


def _check_twice(graph: FlowGraph) -> None:
    for node in graph:
        if not node.condition and len(set(node.out_funcs)) < len(node.out_funcs):
            raise LintWarn(f"Step *{node.name}* goes on to the same step twice.", *node.tail)


def _check_ends(graph: FlowGraph) -> None:
    for name, what, mark in ((graph.start_step, "start", "is_start_step"), (graph.end_step, "end", "is_end_step")):
        if name not in graph:
            raise LintWarn(
                f"There is no *{what}* step in {graph.name}. Add a step called *{what}*, or mark one with "
                f"@step({what}=True)."
            )
        marked = [node.name for node in graph if getattr(node, mark)]
        if len(marked) > 1:
            raise LintWarn(f"Several steps are marked as the {what} of the flow: {', '.join(marked)}.")
    if graph.end_step != graph.start_step and graph[graph.end_step].num_args > 1:
        raise LintWarn(
            "The end step cannot be a join: add a join before it.",
            *graph[graph.end_step].here,
        )
    if graph[graph.start_step].num_args > 1:
        raise LintWarn(
            "The start step cannot be a join: it takes *self* only.",
            *graph[graph.start_step].here,
        )


def _check_tails(graph: FlowGraph) -> None:
    for node in graph:
        if node.name == graph.end_step:
            if node.has_tail_next:
                raise LintWarn(f"The end step *{node.name}* cannot have a self.next().", *node.tail)
        elif not node.has_tail_next:
            raise LintWarn(
                f"Step *{node.name}* is missing a self.next() transition: it must be the last statement of the step."
                f"{_hint(node)}",
                *node.here,
            )
        elif node.tail_problem:
            raise LintWarn(
                f"Step *{node.name}* specifies an invalid self.next() transition: {node.tail_problem}.",
                *node.tail,
            )


def _hint(node: DAGNode) -> str:
    """What to do about a step that cannot be read for a decorator around it."""
    if node.source.name == node.name:
        return ""
    return f" A decorator hides its code behind a function {node.source.name!r}: let that have @functools.wraps."


def _check_targets(graph: FlowGraph) -> None:
    for node in graph:
        for target in node.out_funcs:
            if target not in graph:
                raise LintWarn(
                    f"Step *{node.name}* specifies a self.next() transition to an unknown step, *{target}*.",
                    *node.tail,
                )


def _check_reachable(graph: FlowGraph) -> None:
    seen: set[str] = set()
    todo = [graph.start_step]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += graph[name].out_funcs
    orphans = [node for node in graph if node.name not in seen]
    if orphans:
        names = ", ".join(node.name for node in orphans)
        raise LintWarn(
            f"Step *{names}* is unreachable from the start step. Add self.next({names}) in another step or remove it.",
            *orphans[0].here,
        )


def _check_cycles(graph: FlowGraph) -> None:
    state: dict[str, int] = {}  # 1: being walked, 2: done
    for root in graph:
        stack = [(root.name, iter(root.out_funcs))] if root.name not in state else []
        if stack:
            state[root.name] = 1
        while stack:
            name, targets = stack[-1]
            target = next(targets, None)
            if target is None:
                state[name] = 2
                stack.pop()
            elif target == name:
                if graph[name].type != "split-switch":
                    raise LintWarn(_loop(f"{name}->{name}"), *graph[name].here)
            elif state.get(target) == 1:
                path = [one for one, _ in stack]
                raise LintWarn(
                    _loop("->".join([*path[path.index(target) :], target])),
                    *graph[target].here,
                )
            elif target not in state:
                state[target] = 1
                stack.append((target, iter(graph[target].out_funcs)))


def _loop(path: str) -> str:
    return f"There is a loop in your flow: *{path}*. Only a switch may lead back, and only to its own step."


def _check_nesting(graph: FlowGraph) -> None:
    """Every split ends in one join, and joins do not cross."""
    within: dict[str, tuple[str, ...]] = {}
    joins: dict[str, str] = {}
    todo: list[tuple[str, tuple[str, ...]]] = [(graph.start_step, ())]
    while todo:
        name, splits = todo.pop()
        node = graph[name]
        known = within.get(name)
        if known is not None:
            if known != splits:
                raise LintWarn(_crossing(graph, node, known, splits), *node.here)
            continue
        within[name] = splits
        if node.num_args > 1 and splits and joins.setdefault(splits[-1], name) != name:
            raise LintWarn(
                f"The branches of the split *{splits[-1]}* end in several joins, *{joins[splits[-1]]}* and *{name}*. "
                "All of them must lead to one.",
                *node.here,
            )
        todo += _enter(graph, node, splits)


def _enter(graph: FlowGraph, node: DAGNode, splits: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    if node.num_args > 1:
        if not splits:
            raise LintWarn(
                f"Step *{node.name}* seems like a join step (it takes an extra input argument) but an incorrect number "
                "of steps lead to it: there is no split before it.",
                *node.here,
            )
        if splits[-1] in node.in_funcs:
            raise LintWarn(
                f"Step *{node.name}* joins directly after the split *{splits[-1]}*. Put a step between them.",
                *node.here,
            )
        if any(graph[one].type == "split-switch" for one in node.in_funcs):
            raise LintWarn(
                f"Step *{node.name}* is a join and the target of a switch. Put a step between them.",
                *node.here,
            )
        splits = splits[:-1]
    if node.name == graph.end_step and splits:
        raise LintWarn(
            f"Step *{node.name}* reached before a split started at step *{splits[-1]}* was joined. "
            + _missing_join(graph),
            *node.here,
        )
    if node.type in ("split", "foreach"):
        splits = (*splits, node.name)
    return [(target, splits) for target in node.out_funcs if not (target == node.name and node.condition)]


def _missing_join(graph: FlowGraph) -> str:
    """What to do about a split that nothing joins."""
    for node in graph:
        before = [graph[one] for one in node.in_funcs]
        chosen = any(one.type == "split-switch" for one in before)
        if len(before) > 1 and node.num_args == 1 and node.name != graph.end_step and not chosen:
            return (
                f"Step *{node.name}*, to which {' and '.join(node.in_funcs)} lead, does not join them: it needs "
                f"another argument, def {node.name}(self, inputs)."
            )
    return "Add a join step before it, one with another argument: def join(self, inputs)."


def _crossing(graph: FlowGraph, node: DAGNode, known: tuple[str, ...], splits: tuple[str, ...]) -> str:
    if node.num_args > 1:
        return (
            f"Step *{node.name}* joins steps from unrelated splits: {', '.join(known) or 'none'} and "
            f"{', '.join(splits) or 'none'}. Every split needs a join of its own, and joins cannot cross."
        )
    return (
        f"Step *{node.name}* is reached from several branches ({', '.join(node.in_funcs)}) but does not join them. "
        f"Add an extra *inputs* argument to it."
    )


def _check_decorators(graph: FlowGraph) -> None:
    for node in graph:
        names = {one.name for one in node.decorators}
        if "catch" in names and node.type in ("foreach", "split-switch"):
            raise MetaflowException(
                f"@catch is defined for the step *{node.name}* but @catch is not supported in foreach split or switch "
                "steps."
            )
        if node.parallel_step:
            parents = [graph[one] for one in node.in_funcs]
            if not any(parent.parallel_foreach for parent in parents):
                raise LintWarn(
                    f"Step *{node.name}* has @parallel, but no step leads to it with num_parallel.",
                    *node.here,
                )
        for target in node.out_funcs if node.parallel_foreach else ():
            if not graph[target].parallel_step:
                raise LintWarn(
                    f"Step *{target}* is reached with num_parallel: decorate it with @parallel.",
                    *graph[target].here,
                )
