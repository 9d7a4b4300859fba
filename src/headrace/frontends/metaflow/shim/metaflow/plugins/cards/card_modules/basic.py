"""The built-in card types, and the parts they are made of."""

from headrace.frontends.metaflow.cards.parts import *  # noqa: F403
from headrace.frontends.metaflow.cards.types import (
    BlankCard,
    DefaultCard,
    DefaultCardJSON,
    ErrorCard,
    TaskSpecCard,
)

__all__ = ["BlankCard", "DefaultCard", "DefaultCardJSON", "ErrorCard", "TaskSpecCard"]
