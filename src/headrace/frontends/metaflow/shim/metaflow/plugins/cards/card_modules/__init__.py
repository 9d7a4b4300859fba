"""What card types are made of."""

from headrace.frontends.metaflow.cards.base import MetaflowCard, MetaflowCardComponent

__all__ = ["MetaflowCard", "MetaflowCardComponent"]
