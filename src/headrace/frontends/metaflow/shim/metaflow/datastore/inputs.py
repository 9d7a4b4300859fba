"""The branches of a join."""

from headrace.frontends.metaflow.flowspec import Inputs

__all__ = ["Inputs"]
