"""Parsers of configs, under the path that flows name."""

from headrace.frontends.metaflow.authoring.parsers import yaml_parser as yaml_parser
