"""Processes that ``Runner`` starts."""

from headrace.frontends.metaflow.programs.processes import CommandManager, LogReadTimeoutError, SubprocessManager

__all__ = ["CommandManager", "LogReadTimeoutError", "SubprocessManager"]
