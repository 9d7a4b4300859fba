"""Events: published to Argo only, which Headrace does not drive."""

from headrace.frontends.metaflow.client.events import ArgoEvent
from headrace.frontends.metaflow.exceptions import ArgoEventException

__all__ = ["ArgoEvent", "ArgoEventException"]
