"""Events: published to Argo only, which Headrace does not drive."""

from headrace.frontends.metaflow.client.events import ArgoEvent

__all__ = ["ArgoEvent"]
