"""Configs."""

from headrace.frontends.metaflow.configs import Config, ConfigValue, config_expr

__all__ = ["Config", "ConfigValue", "config_expr"]
