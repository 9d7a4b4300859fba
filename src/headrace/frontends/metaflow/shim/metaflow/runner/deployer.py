"""``Deployer``."""

from headrace.frontends.metaflow.deployer import DeployedFlow, Deployer, TriggeredRun

__all__ = ["DeployedFlow", "Deployer", "TriggeredRun"]
