"""``NBDeployer``."""

from headrace.frontends.metaflow.programs.notebooks import NBDeployer, NBDeployerInitializationError

__all__ = ["NBDeployer", "NBDeployerInitializationError"]
