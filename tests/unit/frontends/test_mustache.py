"""Templates in Mustache: what the language's description says, which Metaflow's own renderer does as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.frontends.metaflow.cards.base import MetaflowCard
from headrace.frontends.metaflow.cards.mustache import render
from headrace.frontends.metaflow.exceptions import MetaflowException


class Shape:
    sides = 5


@pytest.mark.parametrize(
    ("template", "data", "expected"),
    [
        ("no tags", {}, "no tags"),
        ("{{name}} {{{name}}} {{&name}}", {"name": '<b>&"'}, '&lt;b&gt;&amp;&quot; <b>&" <b>&"'),
        ("{{#list}}{{.}},{{/list}}{{^none}}nothing{{/none}}", {"list": [1, 2]}, "1,2,nothing"),
        (
            "{{#items}}\n- {{name}} {{other}}\n{{/items}}\nend\n",
            {"items": [{"name": 1}, {"name": 2}], "other": "o"},
            "- 1 o\n- 2 o\nend\n",
        ),
        ("{{a.b.c}}|{{a.x}}|{{missing}}|{{l.1}}", {"a": {"b": {"c": 3}}, "l": ["xy"]}, "3|||"),
        ("{{l.0}} {{l.1}}", {"l": ["x", "y"]}, "x y"),
        ("a{{! comment }}x{{=<% %>=}}<% y %> {{y}}", {"y": 1}, "ax1 {{y}}"),
        ("  {{#t}}\n  in\n  {{/t}}\nout", {"t": True}, "  in\nout"),
        ("{{#z}}z{{/z}}{{^z}}none{{/z}} {{z}}", {"z": 0}, "none 0"),
        ("{{none}}|{{off}}|{{#off}}f{{/off}}", {"none": None, "off": False}, "|False|"),
        ("{{#shape}}{{sides}}{{/shape}}{{shape.sides}}", {"shape": Shape()}, "55"),
        ("{{#loud}}text {{n}}{{/loud}}", {"loud": lambda text, again: again(text).upper(), "n": "x"}, "TEXT X"),
        ("{{#a}}{{#b}}{{c}}{{/b}}{{/a}}", {"a": [{"b": [{"c": 1}, {"c": 2}]}, {"b": []}]}, "12"),
    ],
)
def test_a_template_is_filled(template: str, data: Any, expected: str) -> None:
    assert render(template, data) == expected


def test_partials_keep_the_indentation_of_their_line(tmp_path: Path) -> None:
    (tmp_path / "file.mustache").write_text("of a file {{v}}")
    partials = {"p": "P{{v}}", "q": "l1\nl2 {{v}}\n"}
    text = render("{{>p}} and\n  {{>q}}\n{{>file}}{{>none}}", {"v": 1}, str(tmp_path), partials_dict=partials)
    assert text == "P1 and\n  l1\n  l2 1\nof a file 1"


@pytest.mark.parametrize("template", ["{{#a}}x", "{{/a}}", "{{#a}}{{#b}}{{/a}}{{/b}}"])
def test_sections_that_do_not_match_are_refused(template: str) -> None:
    with pytest.raises(MetaflowException):
        render(template, {"a": 1})


def test_a_card_type_has_the_renderer() -> None:
    assert MetaflowCard()._get_mustache().render("{{x}}", {"x": 1}) == "1"
