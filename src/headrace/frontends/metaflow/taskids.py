"""Ids of runs and tasks as Metaflow writes them, and as numbers; see ``model.records.task_text`` for those of tasks."""

from __future__ import annotations

from headrace.model.records import task_number, task_text


def run_number(text: str) -> int | None:
    """The number of the run with this id; None when it can be none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def shown(path: str) -> str:
    """The address of a task as it was written down once, with the number of a node: with its id instead."""
    front, slash, number = path.rpartition("/")
    return f"{front}{slash}{task_text(int(number))}" if number.isdigit() else path


__all__ = ["run_number", "shown", "task_number", "task_text"]
