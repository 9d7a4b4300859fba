"""``NBRunner``."""

from headrace.frontends.metaflow.programs.notebooks import NBRunner, NBRunnerInitializationError

__all__ = ["NBRunner", "NBRunnerInitializationError"]
