"""``Runner``."""

from headrace.frontends.metaflow.programs.runner import ExecutingProcess, ExecutingRun, ExecutingTask, Runner

__all__ = ["ExecutingProcess", "ExecutingRun", "ExecutingTask", "Runner"]
