"""Cards."""

from headrace.frontends.metaflow import cards as _cards
from headrace.frontends.metaflow.cards import *  # noqa: F403
from headrace.frontends.metaflow.cardview import Card, get_cards

__all__ = [*[name for name in dir(_cards) if name[0].isupper()], "Card", "get_cards"]  # noqa: PLE0604
