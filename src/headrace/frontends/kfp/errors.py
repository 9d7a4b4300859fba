"""What can be wrong with a pipeline."""

from __future__ import annotations

from headrace.model.errors import UsageError


class PipelineError(UsageError):
    """A pipeline, or an argument of one, that cannot be run. The message names the part and what to do."""


class TaskInputError(Exception):
    """An input or condition of a task that cannot be had; the task has failed. The text does not name the task."""
