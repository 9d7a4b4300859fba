"""``NBRunner``."""

from headrace.frontends.metaflow.notebooks import NBRunner, NBRunnerInitializationError

__all__ = ["NBRunner", "NBRunnerInitializationError"]
