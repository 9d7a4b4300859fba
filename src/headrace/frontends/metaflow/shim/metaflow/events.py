"""What started a run."""

from headrace.frontends.metaflow.client import Trigger
from headrace.frontends.metaflow.events import MetaflowEvent

__all__ = ["MetaflowEvent", "Trigger"]
