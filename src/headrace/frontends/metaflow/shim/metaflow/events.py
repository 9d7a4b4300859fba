"""What started a run."""

from headrace.frontends.metaflow.events import MetaflowEvent, Trigger

__all__ = ["MetaflowEvent", "Trigger"]
