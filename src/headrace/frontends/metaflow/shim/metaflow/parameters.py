"""Parameters."""

from headrace.frontends.metaflow.authoring.parameters import JSONType, JSONTypeClass, Parameter, ParameterContext

__all__ = ["JSONType", "JSONTypeClass", "Parameter", "ParameterContext"]
