"""``current``."""

from headrace.frontends.metaflow.live import Current, current

__all__ = ["Current", "current"]
