"""Parameters."""

from headrace.frontends.metaflow.parameters import JSONType, Parameter

__all__ = ["JSONType", "Parameter"]
