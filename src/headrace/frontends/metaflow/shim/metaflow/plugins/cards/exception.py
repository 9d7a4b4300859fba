"""Errors of cards."""

from headrace.frontends.metaflow.exceptions import CardNotPresentException

__all__ = ["CardNotPresentException"]
