"""Words behind ``headrace run FILE`` in the order in which the command line of a flow file wants them.

There, options of the flow stand before the command: ``python flow.py --production run --alpha 2``. ``headrace run``
takes them in any place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

#: The first word of lines that a program put together: its options may stand in any order.
ANY_ORDER = "--any-order"
#: Options of the flow that are taken out of the line before there is a command line to ask.
CONFIGS = {"--config": 2, "--config-value": 2}


def in_order(argv: list[str], wide: Mapping[str, int], command: Mapping[str, int]) -> list[str]:
    """``argv`` with options of the flow before everything else, except those that the command has too.

    ``wide`` and ``command`` say of the options of the flow and of the command how many words follow each.
    """
    front: list[str] = []
    rest: list[str] = []
    at = 0
    while at < len(argv):
        if argv[at] == "--":
            return [*front, *rest, *argv[at:]]
        option, joined, _ = argv[at].partition("=")
        own = option in command
        width = max(0, (command[option] if own else wide.get(option, 0)) - len(joined))
        (rest if own or option not in wide else front).extend(argv[at : at + 1 + width])
        at += 1 + width
    return [*front, *rest]


def words_of(command: click.Command) -> dict[str, int]:
    """Of each option of a command, how many words follow it."""
    found = {}
    for one in command.params:
        if isinstance(one, click.Option):
            found.update(dict.fromkeys([*one.opts, *one.secondary_opts], 0 if one.is_flag or one.count else one.nargs))
    return found


def options_of_flow(cls: Any, group: click.Group, command: click.Command) -> str:
    """What ``headrace run FILE --help`` says of options that the command does not list."""
    there = words_of(group).keys() - words_of(command).keys()
    configs = ["--config NAME FILE", "--config-value NAME JSON"] if cls._configs() else []
    wanted = ("--branch NAME", "--production", "--trigger RUN")
    return ", ".join([*configs, *(one for one in wanted if one.split(" ")[0] in there)])
