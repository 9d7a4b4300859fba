"""``current``."""

from headrace.frontends.metaflow.client.live import Current, current

__all__ = ["Current", "current"]
