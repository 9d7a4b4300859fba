"""``headrace run``."""

from __future__ import annotations

import click

from headrace.cli.flowargs import Options, print_parameters, split
from headrace.cli.options import open_here
from headrace.cli.places import PLACES

_OURS = frozenset(
    {
        *(
            "max-parallel",
            "no-cache",
            "keep-going",
            "tag",
            "seed",
            "on",
            "driver",
            "environment",
            "ignore",
            "containers",
        ),
        *("json", "quiet", "debug", "warm", "verbose", "help", *PLACES),
    }
)


@click.command(
    name="run",
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False},
    options_metavar="[OPTIONS]",
)
@click.option("--max-parallel", metavar="N", help="At most N tasks at once; default: as many as the machine holds.")
@click.option("--no-cache", is_flag=True, help="Take no results from the cache; what runs is still put there.")
@click.option("--keep-going", is_flag=True, help="When the flow fails, let tasks that run finish.")
@click.option("--tag", "tags", multiple=True, metavar="T", help="Tag the run: NAME or NAME=VALUE; may be repeated.")
@click.option("--seed", metavar="N", help="Seed of all random numbers; default: by chance, headrace show tells it.")
@click.option("--on", "place", metavar="PLACE", help="Where tasks run whose step names no place; default: local.")
@click.option("--driver", metavar="WHERE", help="Where the run itself is: here or cluster; default: as PLACE says.")
@click.option(
    "--environment", metavar="NAME", help="What steps run in that name no environment: one of pyproject.toml."
)
@click.option("--json", "json", is_flag=True, help="End with one JSON document on stdout; the flow prints to stderr.")
@click.option("--quiet", is_flag=True, help="Print nothing beside what the flow prints, except why the run failed.")
@click.option("--debug", is_flag=True, help="One task at a time, with the terminal: for breakpoint() in a step.")
@click.option("--warm", is_flag=True, help="Let tasks of a Metaflow file share processes, as those of native flows do.")
@click.option("--ignore", metavar="kubernetes", help="Run a pipeline without settings that only a cluster can honour.")
@click.option("--containers", metavar="HOW", help="Where containers of a pipeline run: auto, podman, docker or host.")
@click.option("--code-of", metavar="RUN", help="Run the flow of RUN, from the code that it kept, in place of FILE.")
@click.argument("target", metavar="FILE[:FLOW]", type=click.Path(), required=False)
@click.argument("arguments", metavar="[PARAMETERS]...", nargs=-1, type=click.UNPROCESSED)
def run_command(
    max_parallel: str | None,
    no_cache: bool,
    keep_going: bool,
    tags: tuple[str, ...],
    seed: str | None,
    place: str | None,
    driver: str | None,
    environment: str | None,
    json: bool,
    quiet: bool,
    debug: bool,
    warm: bool,
    ignore: str | None,
    containers: str | None,
    code_of: str | None,
    target: str | None,
    arguments: tuple[str, ...],
) -> int:
    """Run the flow in FILE, and wait for its end.

    FILE is a Python file or a dotted module; name the FLOW when it holds several. Parameters of the flow follow as
    --name value, --name=value or name=value; --name @FILE reads a value from a file, --params-file FILE many at once
    from JSON or TOML. `headrace run FILE --help` lists them.

    FILE may be a compiled Kubeflow pipeline (YAML or JSON) or a Python file with @dsl.pipeline.

    FILE may be written for Metaflow; it takes options of `python FILE run` and of the flow, such as --production.

    With --code-of RUN there is no FILE; parameters follow a `--`, and those that are left out have the values of RUN.

    Options stand before FILE; behind it they are recognised too, unless the flow has a parameter of that name.

    With --json: one object with the keys run, state, duration, executed, reused, failed, cancelled, seed, result,
    artifacts_size, failure.

    Exit codes: 0 succeeded, 1 failed, 2 wrong usage, 130 interrupted.
    """
    options = Options()
    values = {"seed": seed, "on": place, "driver": driver, "environment": environment, "ignore": ignore}
    values["containers"] = containers
    for name, value in (("max-parallel", max_parallel), *(("tag", tag) for tag in tags), *values.items()):
        if value is not None:
            options.take(name, value)
    given = {"no-cache": no_cache, "keep-going": keep_going, "json": json, "quiet": quiet, "debug": debug, "warm": warm}
    options.flags |= {name for name, on in given.items() if on}
    if code_of is not None:
        from headrace.cli.recorded import run_recorded

        return run_recorded(code_of, (target, *arguments) if target else arguments, options, _OURS)
    if target is None:
        raise click.UsageError("which FILE is to be run?")
    return _run(target, arguments, options)


def _run(target: str, arguments: tuple[str, ...], options: Options) -> int:
    from headrace.cli.dialects import make_loadable, target_of
    from headrace.frontends.native.load import load_flow
    from headrace.frontends.native.parameters import parameter_specs, parse_arguments, usage

    found = target_of(target)
    if found.dialect == "metaflow":
        return _run_metaflow(found.name, arguments, options)
    if found.dialect == "kfp":
        from headrace.cli.kfpfile import run_file

        return run_file(found.name, arguments, options, _OURS)
    make_loadable(target)
    flow = load_flow(target).flow
    specs = parameter_specs(flow.__wrapped__)
    rest = split(arguments, _OURS, [spec.name for spec in specs], options)
    if "help" in options.flags:
        print_parameters(f"headrace run {target}", flow, usage(specs))
        return 0
    values = parse_arguments(specs, rest)
    from headrace.cli.summary import drive
    from headrace.frontends.native.launch import run_flow

    how = options.launch(open_here())
    return drive(lambda: run_flow(flow, values, how, reraise=False), options)


def _run_metaflow(target: str, arguments: tuple[str, ...], options: Options) -> int:
    """``python target run arguments``, with our options as that command line has them."""
    from headrace.cli.metaflowfile import parameters_of_ours, run_file

    ours = _OURS - {"tag", "seed", "help", "environment", *PLACES}
    rest = split(arguments, ours, parameters_of_ours(target), options)
    return run_file(target, ["run"], options, rest)
