"""``current`` as users import it: with ``current.run`` and ``current.task`` as objects of the Client API."""

from __future__ import annotations

from headrace.frontends.metaflow.client import Run, Task
from headrace.frontends.metaflow.current import Current, current, makers

makers["run"] = lambda pathspec: Run("/".join(pathspec.split("/")[:2]), _checked=True)
makers["task"] = lambda pathspec: Task(pathspec, _checked=True)

__all__ = ["Current", "current"]
