"""Placeholders: whatever a value holds, it stays one argument of a command and one word of a shell script."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace import DefinitionError
from headrace.runtime.commands.templates import fill, names_in, shell_script, shell_variables

VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["$(touch hacked)", "`touch hacked`", "; touch hacked", "' ; touch hacked '", '" ; touch hacked "', "{b}", "*", ""]
)
#: Scripts that print the values of ``a`` and ``b`` with a NUL after each.
SCRIPTS = [
    r"printf '%s\0' {a} {b}",
    r'printf "%s\0" {a} {b}',
    r"""printf '%s\0' "{a}" "{b}" """,
    r"""printf '%s\0' "$(printf '%s' {a}; echo .)" {b} | sed 's/\.\(\x00\)/\1/'""",
    "# it's a comment with {a}\nprintf '%s\\0' {a} {b}",
    r"""x={a}; printf '%s\0' "$x" {b}""",
    r"for one in {a} {b}; do printf '%s\0' \"$one\"; done".replace('\\"', '"'),
    "f() { printf '%s\\0' \"$1\"; }; f {a}; f {b} # {a",
]


def test_names_are_those_of_single_braces() -> None:
    assert names_in("cp {a} {b}/x {{c}} ${d} {e f} {}") == ["a", "b"]


@given(VALUES, VALUES)
def test_value_is_not_read_as_a_template(a: str, b: str) -> None:
    assert fill("{a}{{a}}{b}", {"a": a, "b": b}) == a + "{a}" + b


@pytest.mark.parametrize("script", SCRIPTS)
@given(a=VALUES, b=VALUES)
@settings(max_examples=12)
def test_value_is_one_word_of_a_script(script: str, a: str, b: str) -> None:
    environment = {**os.environ, **shell_variables(script, {"a": a, "b": b})}
    if "$(" in script:
        a = a.rstrip("\n")  # as command substitution has it, but for the dot
        environment |= shell_variables(script, {"a": a, "b": b})
        script = script.replace("; echo .", "").replace(r" | sed 's/\.\(\x00\)/\1/'", "")
    ran = subprocess.run(["sh", "-ec", shell_script(script)], env=environment, stdout=subprocess.PIPE, check=True)
    assert ran.stdout == f"{a}\0{b}\0".encode()


@pytest.mark.parametrize("script", ["awk '{a}'", "sh -c 'cat {a}'", "echo \"x\" 'y {a}'"])
def test_placeholder_in_single_quotes_is_refused(script: str) -> None:
    with pytest.raises(DefinitionError, match="in single quotes"):
        shell_script(script)


def test_shell_syntax_is_left_alone() -> None:
    script = "x=${HOME:-y}; awk '{print $1}' < f; echo ${x}"
    assert shell_script(script) == script
