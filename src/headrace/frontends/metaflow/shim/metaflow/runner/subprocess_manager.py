"""Processes that ``Runner`` starts."""

from headrace.frontends.metaflow.processes import CommandManager, LogReadTimeoutError, SubprocessManager

__all__ = ["CommandManager", "LogReadTimeoutError", "SubprocessManager"]
