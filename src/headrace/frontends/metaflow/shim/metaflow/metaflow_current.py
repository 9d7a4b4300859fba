"""``current``."""

from headrace.frontends.metaflow.authoring.gangs import Parallel
from headrace.frontends.metaflow.client.live import Current, current

__all__ = ["Current", "Parallel", "current"]
