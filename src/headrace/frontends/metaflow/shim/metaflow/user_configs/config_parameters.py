"""Configs."""

from headrace.frontends.metaflow.authoring.configs import Config, ConfigValue, config_expr

__all__ = ["Config", "ConfigValue", "config_expr"]
