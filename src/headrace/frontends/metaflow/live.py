"""``current`` as users import it: with ``current.run`` and ``current.task`` as objects of the Client API."""

from __future__ import annotations

from headrace.frontends.metaflow.client import Run, Task
from headrace.frontends.metaflow.current import Current, current, makers
from headrace.frontends.metaflow.objects import not_looked_for

makers["run"] = lambda pathspec: not_looked_for(Run, "/".join(pathspec.split("/")[:2]))
makers["task"] = lambda pathspec: not_looked_for(Task, pathspec)

__all__ = ["Current", "current"]
