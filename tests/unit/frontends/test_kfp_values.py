"""Values, placeholders, conditions and quantities of pipelines."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.frontends.kfp.conditions import holds, select
from headrace.frontends.kfp.errors import TaskInputError
from headrace.frontends.kfp.placeholders import replace, replace_deep
from headrace.frontends.kfp.resources import quantity
from headrace.frontends.kfp.values import WrongTypeError, coerced, compact, whole

X = "inputs.parameter_values['x']"
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**52), 2**52)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(VALUES)
def test_whole_numbers_are_integers_at_any_depth_and_nothing_else_changes(value: Any) -> None:
    def floats(one: Any) -> list[float]:
        if isinstance(one, float):
            return [one]
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else []
        return [number for each in inner for number in floats(each)]

    made = whole(value)
    assert made == value
    assert not [one for one in floats(made) if one.is_integer() and abs(one) < 2**53]


@given(VALUES)
def test_a_text_parameter_takes_any_value_as_json_and_its_type_reads_it_back(value: Any) -> None:
    text = coerced(value, "STRING")
    assert isinstance(text, str)
    if isinstance(value, list):
        assert coerced(text, "LIST") == whole(value)
    if isinstance(value, dict):
        assert coerced(text, "STRUCT") == whole(value)


@pytest.mark.parametrize(
    ("value", "kind", "made"),
    [
        (3.0, "NUMBER_INTEGER", 3),
        ("3", "NUMBER_INTEGER", 3),
        (3, "NUMBER_DOUBLE", 3.0),
        ("TRUE", "BOOLEAN", True),
        ("false", "BOOLEAN", False),
        ({"a": 1}, "STRING", '{"a":1}'),
        (" x ", "STRING", " x "),
    ],
)
def test_a_value_becomes_what_its_parameter_declares(value: Any, kind: str, made: Any) -> None:
    found = coerced(value, kind)
    assert (found, type(found)) == (made, type(made))


@pytest.mark.parametrize(
    ("value", "kind"),
    [(True, "NUMBER_INTEGER"), (0.5, "NUMBER_INTEGER"), ("x", "LIST"), ([1], "STRUCT"), (1, "BOOLEAN")],
)
def test_a_value_of_another_type_is_refused(value: Any, kind: str) -> None:
    with pytest.raises(WrongTypeError):
        coerced(value, kind)


@given(st.text(), st.text())
def test_what_a_value_brings_in_is_not_replaced_again(before: str, value: str) -> None:
    text = "{{$.inputs.parameters['a']}}"
    assert replace(f"[{text}]", lambda path: text) == f"[{text}]"
    if "{{$" not in before:
        assert replace(before + text, lambda path: value) == before + value


def test_placeholders_are_replaced_in_nested_values_and_similar_texts_stay() -> None:
    told = {"k": ["{{$.inputs.parameters[''n'']}} {x} {{other}}", 3], "{{$.pipeline_job_name}}": None}
    assert replace_deep(told, lambda path: "/".join(path)) == {
        "k": ["inputs/parameters/n {x} {{other}}", 3],
        "pipeline_job_name": None,
    }


@pytest.mark.parametrize(
    ("condition", "value", "true"),
    [
        (f"{X} == 'a'", "a", True),
        (f"int({X}) > 5", 6, True),
        (f"!(int({X}) > 5) && int({X}) > 2", 3, True),
        (f"double({X}) > 0.5", 1, True),
        (f"{X} == true", True, True),
        (f"{X} == 'a'", "' == '' or True or '", False),
        (f"{X} == 'a'", "a' == 'a", False),
        (f"{X} != 'a'", None, True),
        ("'int(x)' == '3'", 3, False),
    ],
)
def test_a_condition_is_evaluated_over_values(condition: str, value: Any, true: bool) -> None:
    assert holds(condition, {"x": value}) is true


@given(st.text())
def test_no_value_changes_what_a_condition_asks(value: str) -> None:
    assert holds(f"{X} == 'a'", {"x": value}) is (value == "a")


@pytest.mark.parametrize(
    "condition", ["1 +", f"{X}", f"{X} / 0 == 1", "inputs.parameter_values['y'] == 1", "nothing == 1"]
)
def test_a_condition_that_cannot_be_evaluated_fails_its_task(condition: str) -> None:
    with pytest.raises(TaskInputError, match="condition"):
        holds(condition, {"x": 3})


def test_a_selector_takes_a_part_of_a_value_or_of_its_text() -> None:
    for value in ({"a": {"b": 2.0}}, compact({"a": {"b": 2}})):
        assert select('parseJson(string_value)["a"]', value) == {"b": 2}
        assert select('parseJson(string_value)["a"]["b"]', value) == 2
    with pytest.raises(TaskInputError, match="no part 'c'"):
        select('parseJson(string_value)["c"]', {"a": 1})


@pytest.mark.parametrize(
    ("text", "number"), [("500m", 0.5), ("2", 2), ("4G", 4e9), ("512Mi", 512 * 2**20), ("1e3", 1e3)]
)
def test_quantities_of_kubernetes_are_numbers(text: str, number: float) -> None:
    assert quantity(text) == number


@pytest.mark.parametrize("text", ["", "x", "4 G", "1Q", "-1"])
def test_other_texts_are_no_quantities(text: str) -> None:
    with pytest.raises(ValueError, match="quantity"):
        quantity(text)
