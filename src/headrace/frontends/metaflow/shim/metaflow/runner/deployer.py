"""``Deployer``."""

from headrace.frontends.metaflow.programs.deployer import DeployedFlow, Deployer, TriggeredRun

__all__ = ["DeployedFlow", "Deployer", "TriggeredRun"]
