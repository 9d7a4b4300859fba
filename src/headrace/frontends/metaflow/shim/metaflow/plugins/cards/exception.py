"""Errors of cards."""

from headrace.frontends.metaflow.cards.errors import *  # noqa: F403
