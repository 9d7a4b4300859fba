"""``Runner``."""

from headrace.frontends.metaflow.running import ExecutingProcess, ExecutingRun, ExecutingTask, Runner

__all__ = ["ExecutingProcess", "ExecutingRun", "ExecutingTask", "Runner"]
