"""Reading cards back."""

from headrace.frontends.metaflow.cards.view import Card, CardContainer, get_cards

__all__ = ["Card", "CardContainer", "get_cards"]
