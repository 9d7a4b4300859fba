"""Configs."""

from headrace.frontends.metaflow.authoring.configs import Config as Config
from headrace.frontends.metaflow.authoring.configs import ConfigValue as ConfigValue
