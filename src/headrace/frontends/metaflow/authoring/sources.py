"""Where the code of steps is, whatever decorators are around them."""

from __future__ import annotations

import ast
import linecache
from typing import Any, NamedTuple

from headrace.frontends.metaflow.exceptions import MetaflowException


class Source(NamedTuple):
    """The name of a step's function, where its code is, how many arguments it takes, and its text if there is one."""

    name: str
    file: str
    line: int
    arguments: int
    tree: ast.FunctionDef | None


def source_of(function: Any) -> Source:
    """The step itself, inside of plain decorators that say with ``functools.wraps`` what they wrap.

    Raises:
        MetaflowException: it is not a function.
    """
    inner = function
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    code = getattr(inner, "__code__", None)
    if code is None:
        raise MetaflowException(f"Step *{function.name}* is a {type(inner).__name__}, not a function.")
    tree = _functions(code.co_filename).get((code.co_name, code.co_firstlineno))
    return Source(code.co_name, code.co_filename, code.co_firstlineno, code.co_argcount, tree)


_trees: dict[str, tuple[int, dict[tuple[str, int], ast.FunctionDef]]] = {}


def _functions(file: str) -> dict[tuple[str, int], ast.FunctionDef]:
    lines = linecache.getlines(file)
    text = "".join(lines)
    known = _trees.get(file)
    if known is not None and known[0] == hash(text):
        return known[1]
    found: dict[tuple[str, int], ast.FunctionDef] = {}
    if text:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                found[(node.name, first)] = node
    _trees[file] = (hash(text), found)
    return found
