"""Parsers of files that list packages."""

from headrace.frontends.metaflow.authoring.parsers import (
    ParserValueError,
    conda_environment_yml_parser,
    pyproject_toml_parser,
    requirements_txt_parser,
)

__all__ = ["ParserValueError", "conda_environment_yml_parser", "pyproject_toml_parser", "requirements_txt_parser"]
