"""``NBDeployer``."""

from headrace.frontends.metaflow.notebooks import NBDeployer, NBDeployerInitializationError

__all__ = ["NBDeployer", "NBDeployerInitializationError"]
