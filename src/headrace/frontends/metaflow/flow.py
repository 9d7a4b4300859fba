"""``FlowSpec``: the class that flows derive from. Making one of it starts the command line of the file."""

from __future__ import annotations

import sys
from types import FrameType

from headrace.frontends.metaflow.authoring.flowspec import FlowBase, FlowSpecMeta


class FlowSpec(FlowBase):
    """A flow: methods marked with ``@step`` are its steps, attributes of ``self`` its artifacts."""

    def __init__(self, use_cli: bool = True) -> None:
        super().__init__()
        if use_cli and not _is_only_imported(sys._getframe(1)):
            from headrace.frontends.metaflow.commands.cli import main

            main(type(self))


def _is_only_imported(caller: FrameType) -> bool:
    """Whether a process that a step spawned by ``multiprocessing`` reads the file to know its functions."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is None:
        return False
    beginning = getattr(multiprocessing.current_process(), "_inheriting", False)
    if not beginning and multiprocessing.parent_process() is None:
        return False
    maker: FrameType | None = caller
    while maker is not None and maker.f_code is not FlowSpecMeta.__call__.__code__:  # past what an __init__ does
        maker = maker.f_back
    if maker is None or maker.f_back is None:
        return False
    caller = maker.f_back
    return caller.f_code.co_name == "<module>" and caller.f_globals.get("__name__") != "__main__"
