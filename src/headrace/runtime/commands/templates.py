"""Placeholders in command lines: ``{name}`` stands for an input or output, ``{{name}}`` for ``{name}`` itself.

In an argument the value replaces the placeholder, and the argument stays one argument whatever the value holds. In a
shell script the placeholder becomes the expansion of a shell variable, quoted so that it stays one word: the shell
never parses a value as script text. ``${name}`` is the shell's own syntax and left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from headrace.model.errors import DefinitionError

_PLACEHOLDER = re.compile(r"\{\{([A-Za-z_]\w*)\}\}|(?<!\$)\{([A-Za-z_]\w*)\}")
#: Shell variables that hold values; the prefix keeps them apart from those that scripts use.
_VARIABLE = "HEADRACE_VALUE_"


def names_in(template: str) -> list[str]:
    """The names of the placeholders of ``template``, in their order."""
    return [found[2] for found in _PLACEHOLDER.finditer(template) if found[2]]


def fill(template: str, values: Mapping[str, str]) -> str:
    """``template`` with values in place of placeholders; values are not looked at again."""
    return _PLACEHOLDER.sub(lambda found: values[found[2]] if found[2] else "{" + found[1] + "}", template)


def shell_script(template: str) -> str:
    """``template`` as a script for ``sh`` in which placeholders are variables, to run with ``shell_variables``.

    Raises:
        DefinitionError: a placeholder stands in single quotes.
    """
    pieces: list[str] = []
    quoting = _Quoting()
    at = 0
    for found in _PLACEHOLDER.finditer(template):
        text = template[at : found.start()]
        quoting.read(text)
        pieces.append(text)
        if found[2]:
            pieces.append(quoting.expansion(_VARIABLE + found[2]))
        else:
            pieces.append("{" + found[1] + "}")
        at = found.end()
    pieces.append(template[at:])
    return "".join(pieces)


def shell_variables(template: str, values: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that the script of ``shell_script`` expands."""
    return {_VARIABLE + name: values[name] for name in names_in(template)}


class _Quoting:
    """Where in a shell script a reader is: outside of quotes, in single or double ones, in a command substitution.

    Where the reader is wrong about an unusual script (in a here-document, say), the expansion is quoted too much or too
    little: the value may keep quotes around it or split into words, and is still not executed.
    """

    def __init__(self) -> None:
        self._inside: list[str] = []  # of ', " and (, the innermost last
        self._escaped = False
        self._dollar = False
        self._comment = False
        self._word_begins = True

    def read(self, text: str) -> None:
        """Go on over ``text``."""
        for char in text:
            self._step(char)

    def _step(self, char: str) -> None:
        inside = self._inside[-1] if self._inside else ""
        dollar, self._dollar = self._dollar, False
        begins, self._word_begins = self._word_begins, char.isspace() or char in ";&|("
        if self._comment:
            self._comment = char != "\n"
        elif inside == "'":
            if char == "'":
                self._inside.pop()
        elif self._escaped:
            self._escaped = False
        elif char == "\\":
            self._escaped = True
        elif char == '"':
            if inside == '"':
                self._inside.pop()
            else:
                self._inside.append('"')
        elif char == "$":
            self._dollar = True
        elif char == "(" and (dollar or inside != '"'):
            self._inside.append("(")
        elif char == ")" and inside == "(":
            self._inside.pop()
        elif char == "'" and inside != '"':
            self._inside.append("'")
        elif char == "#" and begins and inside != '"':
            self._comment = True

    def expansion(self, variable: str) -> str:
        """The variable's value as one word, or part of one, at this point of the script."""
        self._escaped = self._word_begins = False
        inside = self._inside[-1] if self._inside else ""
        if inside == '"':
            return "${" + variable + "}"
        if inside == "'":
            raise DefinitionError(
                f"placeholder {{{variable.removeprefix(_VARIABLE)}}} stands in single quotes, where the shell expands "
                "nothing and a value would become part of a program: move it out of the quotes, as a word of its own"
            )
        return '"${' + variable + '}"'
