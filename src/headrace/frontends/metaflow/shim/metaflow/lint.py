"""Checks of a graph: ``linter.run_checks(graph)``."""

from typing import Any

from headrace.frontends.metaflow.authoring.graph import FlowGraph, lint
from headrace.frontends.metaflow.exceptions import LintWarn


class FlowLinter:
    """All checks."""

    def run_checks(self, graph: FlowGraph, **kwargs: Any) -> None:
        """Refuse a graph that cannot work.

        Raises:
            LintWarn: it cannot.
        """
        lint(graph)


linter = FlowLinter()

__all__ = ["FlowLinter", "LintWarn", "linter"]
