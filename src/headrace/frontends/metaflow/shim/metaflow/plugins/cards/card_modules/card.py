"""The bases of card types and components."""

from headrace.frontends.metaflow.cards.base import MetaflowCard, MetaflowCardComponent

__all__ = ["MetaflowCard", "MetaflowCardComponent"]
