"""``current`` as users import it: with ``current.run`` and ``current.task`` as objects of the Client API."""

from __future__ import annotations

from headrace.frontends.metaflow.client import Run, Task
from headrace.frontends.metaflow.current import Current, current, makers
from headrace.frontends.metaflow.objects import of_this_run

makers["run"] = lambda pathspec: of_this_run(Run, "/".join(pathspec.split("/")[:2]))
makers["task"] = lambda pathspec: of_this_run(Task, pathspec)

__all__ = ["Current", "current"]
