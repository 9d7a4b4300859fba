"""What a Python file imports, read from its text. Nothing is run, nor parsed, which would take several times longer.

The answer errs on the side of too much: a line of a docstring that reads like an import counts as one. That costs a
look at a folder, for a name only counts where a file of the project answers to it.
"""

from __future__ import annotations

import re

_WORD = "import"
# Texts, not compiled patterns: most files need none of them, and compiling takes longer than reading such a file.
_IN_BRACKETS = r"[ \t\f]*(\((?:[^)#]|#[^\n]*)*\))"
_CALL = r"(?:import_module|__import__)\(\s*[\"']([.\w]+)[\"']"
_COMMENT = r"#[^\n]*"


def imported_names(text: str) -> tuple[str, ...]:
    """Modules that ``text`` may import, wherever in it; dots in front mean the same as in an import.

    ``from a import b`` gives ``a`` and ``a.b``, for ``b`` may be a module; ``from a import *`` gives ``a.*``.
    """
    if "import" not in text:
        return ()
    if "\\" in text:
        text = text.replace("\\\r\n", " ").replace("\\\n", " ")
    if "\r" in text:
        text = text.replace("\r", "\n")
    found: dict[str, None] = {}
    at = text.find(_WORD)
    while at >= 0:
        start, end = at, at + len(_WORD)
        at = text.find(_WORD, end)
        if text[end : end + 1].isidentifier() or text[end : end + 1].isdigit():
            continue
        before = text[text.rfind("\n", 0, start) + 1 : start]
        if ";" in before or ":" in before:  # behind another statement, or behind ``if x:``
            before = before[max(before.rfind(";"), before.rfind(":")) + 1 :]
        before = before.strip()  # ``from a.b``, or nothing; of a longer word, its beginning, which is neither
        if before and not before.startswith("from"):
            continue
        given = [_first_word(one) for one in _behind(text, end).strip("() \t\n").split(",")]
        if before:
            source = "".join(before[4:].split())
            joint = "" if source.endswith(".") else "."
            given = [source, *[f"{source}{joint}{name}" for name in given if name]]
        found.update(dict.fromkeys(given))
    if "import_module" in text or "__import__" in text:
        found.update(dict.fromkeys(match[1] for match in re.finditer(_CALL, text)))
    found.pop("", None)
    return tuple(found)


def _behind(text: str, at: int) -> str:
    """The names behind the word ``import``, which may be in brackets over several lines; without comments."""
    end = text.find("\n", at)
    line = text[at:] if end < 0 else text[at:end]
    if line.lstrip(" \t\f").startswith("("):
        found = re.compile(_IN_BRACKETS).match(text, at)
        if found is not None:
            return re.sub(_COMMENT, "", found[1])
    return line.partition(";")[0].partition("#")[0]


def _first_word(text: str) -> str:
    """The name in front of ``as``."""
    words = text.split()
    return words[0] if words else ""
