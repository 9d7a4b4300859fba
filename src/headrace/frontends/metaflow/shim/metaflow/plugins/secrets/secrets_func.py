"""Secrets outside of ``@secrets``."""

from headrace.frontends.metaflow.authoring.secrets import get_secret

__all__ = ["get_secret"]
