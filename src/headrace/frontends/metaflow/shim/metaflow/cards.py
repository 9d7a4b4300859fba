"""Cards."""

from headrace.frontends.metaflow.cards import *  # noqa: F403
from headrace.frontends.metaflow.cards import __all__ as __all__
