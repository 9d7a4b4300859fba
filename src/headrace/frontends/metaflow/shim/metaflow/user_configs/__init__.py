"""Configs."""

from headrace.frontends.metaflow.configs import Config as Config
from headrace.frontends.metaflow.configs import ConfigValue as ConfigValue
