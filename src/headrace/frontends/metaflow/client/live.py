"""``current`` as users import it: with ``current.run`` and ``current.task`` as objects of the Client API."""

from __future__ import annotations

from typing import Any

from headrace.frontends.metaflow.current import Current, current, makers


def _run(pathspec: str) -> Any:
    from headrace.frontends.metaflow.client.base import of_this_run
    from headrace.frontends.metaflow.client.runs import Run

    return of_this_run(Run, "/".join(pathspec.split("/")[:2]))


def _task(pathspec: str) -> Any:
    from headrace.frontends.metaflow.client.base import of_this_run
    from headrace.frontends.metaflow.client.runs import Task

    return of_this_run(Task, pathspec)


makers["run"], makers["task"] = _run, _task

__all__ = ["Current", "current"]
