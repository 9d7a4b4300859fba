"""Paths within a project, as values of the user's code: the same wherever the project lies.

``HERE = Path(__file__).parent`` is another path on another machine, and means the same. Fingerprints of code, and the
comparison of a worker's names with the flow's, see such a path from the root of the project.
"""

from __future__ import annotations

#: The roots of projects whose code this process runs, as absolute paths.
_roots: list[str] = []


def add_root(folder: str) -> None:
    """Let paths below ``folder`` be seen from there."""
    if len(folder) > 1 and folder not in _roots:
        _roots.append(folder)
        _roots.sort(key=len, reverse=True)  # of a project in another one, its own root counts


def from_root(value: object) -> str | None:
    """The path that a text or a ``pathlib`` path is, seen from the root of its project; None for all else."""
    kind = type(value)
    if kind is not str and kind.__module__ != "pathlib":
        return None
    text = str(value)
    for root in _roots:
        if text.startswith(root) and (len(text) == len(root) or text[len(root)] == "/"):
            return text[len(root) :]
    return None
