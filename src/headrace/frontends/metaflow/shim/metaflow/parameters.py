"""Parameters."""

from headrace.frontends.metaflow.authoring.parameters import JSONType, Parameter

__all__ = ["JSONType", "Parameter"]
