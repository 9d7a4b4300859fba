"""Arguments of ``run`` and ``resume`` behind the file or run: the flow's parameters, and options of Headrace among
them.

An option of Headrace is recognised unless the flow has a parameter of that name: then it is the flow's. Everything
after a ``--`` is the flow's too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.places import PLACES, log_to_stderr, use
from headrace.model.errors import UsageError

if TYPE_CHECKING:
    from headrace.wiring import Scope

#: Our options that take a value, and our flags.
_VALUED = frozenset(
    {"max-parallel", "tag", "from", "seed", "code", "on", "driver", "environment", "ignore", "containers", *PLACES}
)
#: Where containers of pipelines run; ``auto``: by podman or docker, where one of them is installed.
CONTAINERS = ("auto", "podman", "docker", "host")
_FLAGS = frozenset({"no-cache", "keep-going", "json", "quiet", "reuse-changed", "debug", "warm", "verbose", "help"})


class Options:
    """Options of Headrace, from before or after the name of the file."""

    def __init__(self) -> None:
        self.max_parallel = 0
        self.tags: list[tuple[str, str]] = []
        self.again: list[str] = []
        self.seed: int | None = None
        self.on = ""
        self.driver = ""  # here or cluster; empty: as the place says
        self.environment = ""
        self.ignore: set[str] = set()
        self.containers = ""
        self.places: dict[str, str] = {}
        self.recorded = False
        self.summary = True  # of the run at its end, also as the JSON document
        self.flags: set[str] = set()

    def take(self, name: str, value: str) -> None:
        """Set one that has a value.

        Raises:
            UsageError: the value does not fit.
        """
        if name == "max-parallel":
            if not value.isdigit() or int(value[:9]) < 1:
                raise UsageError(f"--max-parallel wants a number of tasks from 1, not {value!r}")
            self.max_parallel = int(value[:9])
        elif name in PLACES:
            self.places[name] = value
            use(self.places)
        elif name == "seed":
            if not (value.isascii() and value.isdigit()) or int(value[:20]) != int(value) or int(value) >= 2**64:
                raise UsageError(f"--seed wants a whole number from 0 to 2**64 - 1, not {value!r}")
            self.seed = int(value)
        elif name == "code":
            if value not in ("file", "recorded"):
                raise UsageError(f"--code wants file or recorded, not {value!r}")
            self.recorded = value == "recorded"
        elif name == "on":
            self.on = value
        elif name == "driver":
            if value not in ("here", "cluster"):
                raise UsageError(f"--driver wants here or cluster, not {value!r}")
            self.driver = value
        elif name == "environment":
            self.environment = value
        elif name == "ignore":
            if value != "kubernetes":
                raise UsageError(f"--ignore wants kubernetes, not {value!r}")
            self.ignore.add(value)
        elif name == "containers":
            if value not in CONTAINERS:
                raise UsageError(f"--containers wants {', '.join(CONTAINERS[:-1])} or {CONTAINERS[-1]}, not {value!r}")
            self.containers = value
        elif name == "tag":
            tag, _, text = value.partition("=")
            if not tag:
                raise UsageError(f"--tag wants NAME or NAME=VALUE, not {value!r}")
            self.tags.append((tag, text))
        else:
            self.again += [step for step in value.split(",") if step]

    def launch(self, scope: Scope) -> Any:
        """As the frontend wants it."""
        from headrace.frontends.native.launch import Launch

        return Launch(
            scope=scope,
            max_parallel=self.max_parallel,
            use_cache="no-cache" not in self.flags,
            keep_going="keep-going" in self.flags,
            tags=tuple(self.tags),
            seed=self.seed,
            recorded=self.recorded,
            place=self.on,
            driver=self.driver,
            environment=self.environment,
            debug="debug" in self.flags,
        )

    @property
    def kept(self) -> str:
        """What another ``headrace resume`` of the run needs again, to be written behind its name."""
        return (" --code recorded" if self.recorded else "") + (f" --driver {self.driver}" if self.driver else "")

    @property
    def quiet(self) -> bool:
        """Whether to show nothing but what went wrong."""
        return bool(self.flags & {"quiet", "json", "debug"})

    @property
    def json(self) -> bool:
        """Whether to end with one JSON document on stdout, and nothing else there."""
        return "json" in self.flags


def split(argv: Sequence[str], ours: Collection[str], parameters: Collection[str], into: Options) -> list[str]:
    """Take options named in ``ours`` out of ``argv``, except where a parameter has the name; the rest is the flow's.

    Raises:
        UsageError: an option lacks its value, or has one that does not fit.
    """
    rest: list[str] = []
    place = 0
    while place < len(argv):
        argument = argv[place]
        place += 1
        if argument == "--":
            return rest + list(argv[place:])
        name, equals, value = argument.removeprefix("--").partition("=")
        if argument == "-h" and "h" not in parameters:
            name = "help"
        elif not argument.startswith("--"):
            rest.append(argument)
            continue
        if name not in ours or name.replace("-", "_") in parameters or name in parameters:
            rest.append(argument)
        elif name in _FLAGS:
            if equals:
                raise UsageError(f"--{name} takes no value")
            into.flags.add(name)
            if name == "verbose":
                log_to_stderr()
        else:
            if not equals:
                if place >= len(argv) or argv[place].startswith("--"):
                    raise UsageError(f"--{name} wants a value")
                value = argv[place]
                place += 1
            into.take(name, value)
    return rest


def print_parameters(title: str, flow: Any, usage: Sequence[Any]) -> None:
    """The help of a flow: what it is for, and its parameters."""
    from headrace.cli.output import Column, clean_lines, print_table

    click.echo(f"Usage: {title} [PARAMETERS]\n")
    text = (flow.__doc__ or "").strip().partition("\n\n")[0]
    if text:
        click.echo("\n".join(f"  {line.strip()}" for line in clean_lines(text).splitlines()) + "\n")
    if not usage:
        click.echo("The flow takes no parameters.")
    else:
        click.echo("Parameters (--name value, --name=value or name=value; @FILE reads the value from a file):")
        columns = (Column(""), Column(""), Column(""), Column("", flex=True))
        rows = [
            (one.option, one.type, one.default if one.default == "required" else f"[{one.default}]", one.help)
            for one in usage
        ]
        print_table(columns, rows, "  ")
    click.echo("\nOptions of headrace: headrace run --help")
