"""The branches of a join."""

from headrace.frontends.metaflow.authoring.flowspec import Inputs

__all__ = ["Inputs"]
