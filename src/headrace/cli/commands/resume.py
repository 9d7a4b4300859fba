"""``headrace resume``."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import click

from headrace._base.collection import CollectionPausedForImports
from headrace.cli.flowargs import Options, print_parameters, split
from headrace.cli.options import RunName, open_existing
from headrace.model.errors import UsageError

if TYPE_CHECKING:
    from headrace.model.records import RunRecord
    from headrace.wiring import Scope

_OURS = frozenset(
    {
        *(
            "from",
            "reuse-changed",
            "code",
            "max-parallel",
            "no-cache",
            "keep-going",
            "tag",
            "on",
            "driver",
            "environment",
        ),
        *("ignore", "containers"),
        *("json", "quiet", "debug", "warm", "verbose", "help"),
    }
)


@click.command(
    name="resume",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": ["-h"]},
    options_metavar="",
    add_help_option=False,
)
@click.argument("arguments", metavar="[RUN] [OPTIONS] [PARAMETERS]...", nargs=-1, type=RunName())
@click.pass_context
def resume_command(context: click.Context, arguments: tuple[str, ...]) -> int:
    """Go on with RUN: train/42, or train for its newest; default: the newest run that did not succeed.

    What finished is not run again, except tasks of steps whose own code changed, and what depends on them. Parameters
    may be changed as in `headrace run`; what they do not touch is reused.

    \b
    Options:
      --from STEP       Run the tasks of this step again, and all that depends on them; may be repeated.
      --reuse-changed   Reuse results of steps whose code changed, too.
      --code recorded   Load the flow from the code that the run kept, wherever its file is. Default: --code file.
      --max-parallel N, --no-cache, --keep-going, --tag T, --on PLACE, --driver WHERE, --environment NAME,
      --ignore kubernetes, --containers HOW, --json, --quiet, --debug, --warm: as in `headrace run`.

    Before RUN, which is looked for there:

    Exit codes: 0 succeeded, 1 failed, 2 wrong usage, 130 interrupted.
    """
    if arguments and arguments[0] in ("--help", "-h"):
        click.echo(context.get_help())
        return 0
    name, rest = "", list(arguments)
    if rest and not rest[0].startswith("-") and "=" not in rest[0]:
        name = rest.pop(0)
    with CollectionPausedForImports():  # these import nearly all that the run needs
        from headrace.services.names import find_run
        from headrace.services.resumable import newest_resumable

        scope = open_existing()
        metadata = scope.opened_stores().metadata
    run = find_run(metadata, scope.project, name) if name else newest_resumable(metadata, scope.project)
    return _resume(scope, run, rest)


def _resume(scope: Scope, run: RunRecord, arguments: list[str]) -> int:
    if run.dialect == "metaflow":
        return _resume_metaflow(scope, run, arguments)
    if run.dialect == "kfp":
        from headrace.cli.kfpfile import resume_file

        return resume_file(scope, run, arguments, _OURS)
    with CollectionPausedForImports():
        from headrace.cli.dialects import make_loadable
        from headrace.cli.summary import drive
        from headrace.frontends.native.parameters import parameter_specs, parse_arguments, usage
        from headrace.frontends.native.resume import flow_of, recorded_flow_of, resume_run

    options = Options()
    if _wants_recorded(arguments):
        flow = recorded_flow_of(run, scope)
    else:
        make_loadable(run.entry)
        flow = flow_of(run)
    specs = parameter_specs(flow.__wrapped__)
    rest = split(arguments, _OURS, [spec.name for spec in specs], options)
    if "help" in options.flags:
        print_parameters(f"headrace resume {run.name}", flow, usage(specs))
        return 0
    changes = parse_arguments(specs, rest, complete=False)
    if "verbose" in options.flags:  # the scope was opened before that was seen
        from headrace.settings import read_settings
        from headrace.wiring import configure_logs

        configure_logs(read_settings())
    how = options.launch(scope)
    return drive(
        lambda: resume_run(
            run,
            how,
            changes,
            again=tuple(options.again),
            reuse_changed="reuse-changed" in options.flags,
            reraise=False,
        ),
        options,
    )


def _wants_recorded(arguments: list[str]) -> bool:
    """Whether the flow is to be loaded from recorded code: this must be known before its parameters are."""
    ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--code=recorded" in ours or ("--code", "recorded") in itertools.pairwise(ours)


def _resume_metaflow(scope: Scope, run: RunRecord, arguments: list[str]) -> int:
    """``python flow.py resume`` for that very run, with our options as that command line has them."""
    from headrace.cli.metaflowfile import parameters_of_ours, recorded_file, run_file
    from headrace.services.session import recorded_details

    options = Options()
    file = run.entry.rpartition(":")[0]
    rest = split(arguments, _OURS - {"help"}, parameters_of_ours(file), options)
    place = recorded_details(run).place
    if not options.on and any(one.name == place for one in scope.settings.places):
        options.on = place
    command = ["resume", "--same-run", f"--origin-run-id={run.number}"]
    if options.recorded:
        file = recorded_file(scope, run)
    elif not os.path.exists(file):  # noqa: PTH110
        raise UsageError(
            f"{file}, the file of run {run.name}, is not here; go on with the code that the run kept: "
            f"headrace resume {run.name} --code recorded"
        )
    return run_file(file, command, options, [*options.again[:1], *rest])
