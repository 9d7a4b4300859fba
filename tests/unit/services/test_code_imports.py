"""Imports found in the text of a file, beside those that Python's own parser finds."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import headrace
from headrace.services.code.imports import imported_names


def parsed(text: str) -> set[str]:
    """The modules that the text may import, by its syntax tree."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            joint = "" if source.endswith(".") else "."
            found |= {source, *(f"{source}{joint}{one.name}" for one in node.names)}
    return found


@pytest.mark.parametrize(
    "text",
    [
        "import a.b, c as d, e",
        "from . import x\nfrom .. import y\nfrom ...z import w\nfrom.v import(u)",
        "from a import (b, # ) not the end\n    c as d,\n    e,\n)",
        "from a.b \\\n  import c, \\\n  d",
        "if x: import a\nelse: from b import c",
        "import a; import b; from c import d",
        "try:\n\timport a\nexcept ImportError: import b as c",
        "x = {1: 2}; import a",
        "from a import *",
        "import ä.ö\r\nfrom ü import ß\r\n",
        "important = 1\nreimport = 2\nimport a",
    ],
)
def test_every_form_of_an_import_is_found(text: str) -> None:
    assert parsed(text) <= set(imported_names(text))


def test_calls_that_import_a_name_are_found() -> None:
    text = "import importlib\nimportlib.import_module('a.b')\n__import__(\"c\")\nimport_module(name)"
    assert {"a.b", "c"} <= set(imported_names(text))


NAME = st.sampled_from(["a", "b1", "_c", "imports", "from_d", "ünder"])
DOTTED = st.lists(NAME, min_size=1, max_size=3).map(".".join)
GAP = st.sampled_from([" ", "  ", "\t", " \\\n "])
AS = st.sampled_from(["", " as x"])
ITEMS = st.lists(st.tuples(DOTTED, AS).map("".join), min_size=1, max_size=3)
PLAIN = st.tuples(GAP, ITEMS).map(lambda one: f"import{one[0]}{', '.join(one[1])}")
FROM = st.tuples(
    GAP, st.sampled_from(["", ".", "..", "... "]), DOTTED, GAP, st.lists(NAME, min_size=1, max_size=3), st.booleans()
).map(lambda one: f"from{one[0]}{one[1]}{one[2]}{one[3]}import " + _listed(one[4], bracketed=one[5]))
OTHER = st.sampled_from(["x = 1", "pass", "y: int = 2", "print('import q')", "z = [1][0:1]"])
LINE = st.lists(st.one_of(PLAIN, FROM, OTHER), min_size=1, max_size=3).map("; ".join)


def _listed(names: list[str], *, bracketed: bool) -> str:
    return "(" + ",  # one )\n    ".join(names) + ",\n)" if bracketed else ", ".join(names)


@given(st.lists(st.tuples(st.sampled_from(["", "if 1: ", "def f(): ", "class C: "]), LINE).map("".join), max_size=5))
def test_no_import_is_missed(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert parsed(text) <= set(imported_names(text))


def test_no_import_of_this_package_is_missed() -> None:
    for file in Path(headrace.__file__).parent.rglob("*.py"):
        text = file.read_text()
        assert parsed(text) <= set(imported_names(text)), file
