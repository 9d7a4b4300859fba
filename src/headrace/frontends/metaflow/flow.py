"""``FlowSpec``: the class that flows derive from. Making one of it starts the command line of the file."""

from __future__ import annotations

from headrace.frontends.metaflow.authoring.flowspec import FlowBase
from headrace.frontends.metaflow.running import seeding  # noqa: F401 - before flows seed anything


class FlowSpec(FlowBase):
    """A flow: methods marked with ``@step`` are its steps, attributes of ``self`` its artifacts."""

    def __init__(self, use_cli: bool = True) -> None:
        if use_cli:
            from headrace.frontends.metaflow.commands.cli import main

            main(type(self))
