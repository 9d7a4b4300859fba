"""What started a run."""

from headrace.frontends.metaflow.client.events import MetaflowEvent
from headrace.frontends.metaflow.client.runs import Trigger

__all__ = ["MetaflowEvent", "Trigger"]
