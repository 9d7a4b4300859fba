"""Ids of runs and tasks as Metaflow writes them, and as numbers.

``2_node_1``, a task of a gang, is the number 1000000002.
"""

from __future__ import annotations

_NODE = "_node_"
_NODES = 10**9


def run_number(text: str) -> int | None:
    """The number of the run with this id; None when it can be none."""
    return int(text) if _is_number(text, 18) else None


def task_number(text: str) -> int | None:
    """The number of the task with this id; None when it can be none."""
    task, node, index = str(text).partition(_NODE)
    if not _is_number(task) or (node and not _is_number(index)):
        return None
    return int(task) + (int(index) * _NODES if node else 0)


def task_text(number: int) -> str:
    """The id of the task with this number."""
    return f"{number % _NODES}{_NODE}{number // _NODES}" if number >= _NODES else str(number)


def shown(path: str) -> str:
    """An address that ends with the number of a task, with its id instead."""
    front, slash, number = path.rpartition("/")
    return f"{front}{slash}{task_text(int(number))}" if number.isdigit() else path


def _is_number(text: str, longest: int = 9) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= longest
