"""``current``."""

from headrace.frontends.metaflow.current import Current, current

__all__ = ["Current", "current"]
