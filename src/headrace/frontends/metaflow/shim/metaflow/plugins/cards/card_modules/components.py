"""Components for steps."""

from headrace.frontends.metaflow.cards.base import StubComponent, UserComponent
from headrace.frontends.metaflow.cards.charts import *  # noqa: F403
from headrace.frontends.metaflow.cards.components import *  # noqa: F403

__all__ = ["StubComponent", "UserComponent"]
