"""The command line of a flow file: ``python flow.py run``. Each command does its work in a module of its own."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from textwrap import indent
from typing import Any

import click

from headrace._base.process import claim_standard_streams, output_failed
from headrace.client.default import default_scope
from headrace.frontends.metaflow.authoring.decorators import flow_decorators
from headrace.frontends.metaflow.authoring.graph import graph_of, lint
from headrace.frontends.metaflow.authoring.packages import attach_packages
from headrace.frontends.metaflow.authoring.parameters import IncludeFile, Parameter
from headrace.frontends.metaflow.authoring.prepare import begin, finish, split_configs
from headrace.frontends.metaflow.authoring.projects import naming_of, project_facts
from headrace.frontends.metaflow.authoring.userdecorators import added_names, full_name
from headrace.frontends.metaflow.client.providers import keep_runs_at
from headrace.frontends.metaflow.commands.parameteroptions import ParameterOption, variable, words_of_parameters
from headrace.frontends.metaflow.commands.word_order import ANY_ORDER, CONFIGS, in_order, options_of_flow, words_of
from headrace.frontends.metaflow.exceptions import (
    STARRED,
    CommandException,
    CommandUsageException,
    Interrupted,
    MetaflowException,
    StepFailed,
    without_stars,
)
from headrace.frontends.metaflow.identity import user_name
from headrace.frontends.metaflow.running.console import has_colours
from headrace.frontends.metaflow.running.launch import RunOptions, default_value, launch
from headrace.frontends.metaflow.settings import from_conf
from headrace.frontends.metaflow.version import VERSION
from headrace.model.errors import HeadraceError, UsageError


def main(cls: Any, argv: list[str] | None = None) -> None:
    """Run the command line for a flow, and leave the process."""
    if not sys.warnoptions:  # as in Metaflow, steps show no warnings; here -W and PYTHONWARNINGS may say otherwise
        warnings.simplefilter("ignore")
    sys.exit(call(cls, sys.argv[1:] if argv is None else argv))


def call(cls: Any, argv: list[str]) -> int:
    """Run the command line for a flow; the exit code."""
    claim_standard_streams()
    name = os.path.basename(sys.argv[0])  # noqa: PTH119
    ours, home = argv[:1] == [ANY_ORDER], ""
    try:
        if ours:
            argv = in_order(argv[1:], CONFIGS, words_of_parameters(cls))
        home = keep_runs_at(_given_to("--datastore-root", argv) or os.environ.get("METAFLOW_DATASTORE_ROOT", ""))
        argv, files, texts = split_configs(argv)
        resumed = "resume" in argv
        if resumed and (files or texts):
            raise CommandUsageException("Cannot specify configurations when resuming: they are those of the origin run")
        try:
            known = _configs_of_origin(cls, argv) if resumed else None
            _head(cls, argv)
            begin(cls, files, texts, user_name(), known, naming_of(argv))
        except MetaflowException:
            if argv[:1] != ["--help"]:  # help is there for those who do something wrong, too
                raise
        group = make_group(cls)
        if ours:
            argv = _arranged(cls, group, argv)
            sys.argv[1:] = argv  # what the run is recorded to have been called with
        result = group.main(argv, prog_name=name, standalone_mode=False, auto_envvar_prefix="METAFLOW")
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt) as error:
        click.echo("\nAborted!", err=True)
        _say_next(error.__cause__ or error, ours, home)  # click makes an Abort of an interrupt
        return 130 if ours else 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MetaflowException as error:
        complain(error.headline, str(error))
        _say_next(error, ours, home)
        return 2 if isinstance(error, CommandUsageException) else 1
    except HeadraceError as error:
        complain("Usage error" if isinstance(error, UsageError) else "Headrace error", str(error))
        return 2 if isinstance(error, UsageError) else 1
    except OSError as error:
        problem = output_failed(error)
        if not problem:
            raise
        complain("Output error", problem)
        return 1
    return result if isinstance(result, int) else 0


def _arranged(cls: Any, group: click.Group, argv: list[str]) -> list[str]:
    """The words of ``headrace run``, with the options of the flow before the command."""
    named = next((one for one in argv if one in ("run", "resume")), "run")
    command = group.commands[named]
    more = options_of_flow(cls, group, command)
    command.epilog = f"Options of the flow, too: {more}." if more else None
    return in_order(argv, words_of(group), words_of(command))


def _say_next(error: BaseException, ours: bool, home: str) -> None:
    """Which commands go on from a run that failed or was stopped, where they are looked for.

    ``home`` is where its runs are, if a setting or option of Metaflow's chose that.
    """
    if any(one.startswith("--reproduce-recorded") for one in sys.argv):  # who asked for it says what follows
        return
    if isinstance(error, (StepFailed, Interrupted)) and error.run and (ours or sys.stderr.isatty()):
        debug = [f"headrace debug {error.run}/{error.task}"] if isinstance(error, StepFailed) and error.task else []
        for label, line in zip(("next", "    "), [*debug, f"headrace resume {error.run}"], strict=False):
            click.echo(f"  {label}  {f'HEADRACE_HOME={home} ' if home else ''}{line}", err=True)


def _configs_of_origin(cls: Any, argv: list[str]) -> dict[str, Any]:
    from headrace.frontends.metaflow.running.resume_origin import configs_of, origin_of

    if not cls._configs():
        return {}
    scope = default_scope()
    return configs_of(cls, origin_of(cls, _given_to("--origin-run-id", argv) or None, scope), scope.artifacts)


def _given_to(option: str, argv: list[str]) -> str:
    """What an option is given, before the words are read as a whole."""
    named = [argv[at + 1] for at, one in enumerate(argv[:-1]) if one == option]
    named += [one.partition("=")[2] for one in argv if one.startswith(f"{option}=")]
    return named[0] if named else ""


def complain(headline: str, text: str) -> None:
    """An error, as the command line shows it: without the stars around names, which are in colour on a terminal."""
    sys.stdout.flush()
    if has_colours(sys.stderr):
        headline, text = (
            click.style(headline, bold=True),
            STARRED.sub(click.style(r"\1", fg="red", bold=True), text),
        )
    lines = "\n".join(f"    {line}" for line in without_stars(text).splitlines())
    click.echo(f"    {headline}:\n{lines}\n", err=True)


#: What the options choose among there. Here there is one of each, so that the choice makes no difference.
_METADATA = click.Choice(["local", "service", "spin"])
_ENVIRONMENT = click.Choice(["local", "conda", "pypi", "uv"])
_DATASTORE = click.Choice(["local", "s3", "azure", "gs", "spin"])
_LOGGER = click.Choice(["nullSidecarLogger", "debugLogger"])
_MONITOR = click.Choice(["nullSidecarMonitor", "debugMonitor"])
_MODE = click.Choice(["spin"])


def _default_environment() -> str:
    return str(from_conf("DEFAULT_ENVIRONMENT", "local"))


_WITH_HELP = "Add a decorator to all steps. May be repeated."
#: Modules with commands that most runs of a flow file do not need.
_MORE_COMMANDS = ("artifact_commands", "logs", "tags", "package", "cards", "other_systems")


class _Commands(click.Group):
    """Commands of which some are imported when they are asked for: ``run`` is not to wait for the others."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        found = super().get_command(ctx, cmd_name)
        return found or (super().get_command(ctx, cmd_name) if self._load() else None)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        self._load()
        return super().list_commands(ctx)

    def _load(self) -> bool:
        import importlib

        for name in _MORE_COMMANDS:
            for command in importlib.import_module(f"headrace.frontends.metaflow.commands.{name}").COMMANDS:
                self.add_command(command)
        return True


def make_group(cls: Any) -> click.Group:
    """The commands of a flow file."""

    @click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["--help"]})
    @click.option("--quiet/--not-quiet", default=False, help="Suppress unnecessary messages.")
    @click.option("--metadata", type=_METADATA, default="local", help="Accepted; Headrace has its own store.")
    @click.option(
        "--environment",
        type=_ENVIRONMENT,
        default=_default_environment,
        help="conda or pypi: steps get the packages of their @conda or @pypi, from PyPI.",
    )
    @click.option("--datastore", type=_DATASTORE, default="local", help="Accepted; Headrace has its own store.")
    @click.option("--datastore-root", default=None, help="Folder whose .headrace keeps the runs.")
    @click.option("--package-suffixes", default="", help="More suffixes of files to package, beside .py, .R and .RDS.")
    @click.option("--with", "decospecs", multiple=True, help=_WITH_HELP)
    @click.option("--pylint/--no-pylint", default=True, help="Accepted and not used.")
    @click.option("--event-logger", type=_LOGGER, default="nullSidecarLogger", help="Accepted and not used.")
    @click.option("--monitor", type=_MONITOR, default="nullSidecarMonitor", help="Accepted and not used.")
    @click.option("--mode", type=_MODE, default=None, help="Accepted and not used.")
    @_decorator_options(cls)
    @click.pass_context
    def cli(context: click.Context, /, **options: Any) -> int:
        context.obj = {"cls": cls, **options}
        if context.invoked_subcommand not in ("run", "resume", None):  # those check the flow first
            finish(cls, options["decospecs"] if context.invoked_subcommand != "spin" else ())
        _check_flow_decorators(cls, options)
        if context.invoked_subcommand not in ("run", "resume"):  # which put other decorators on steps first
            attach_packages(cls, options["environment"])
        if context.invoked_subcommand is None:
            context.invoke(_check_command)
        return 0

    for command in (_run_command(cls), _resume_command(cls), _spin_command):
        cli.add_command(command)
    for command in (_check_command, _show_command, _help_command):
        cli.add_command(command)
    cli.add_command(_version_command)
    return cli


def _decorator_options(cls: Any) -> Callable[[Any], Any]:
    """Options that are there because of a decorator of the flow."""
    options: list[Callable[[Any], Any]] = []
    if flow_decorators(cls, "project"):
        options = [
            click.option("--branch", default=None, help="Use the given branch name under @project."),
            click.option("--production", is_flag=True, help="Use the @project's production branch."),
        ]
    if flow_decorators(cls, "trigger_on_finish"):
        text = "Specify run pathspec for testing @trigger_on_finish locally."
        options.append(click.option("--trigger", "triggers", multiple=True, help=text))
    options += _config_options([one.name for one in cls._configs().values()])

    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _config_options(names: list[str]) -> list[Callable[[Any], Any]]:
    """What help says of configs; ``split_configs`` has taken their words out of the command line."""
    if not names:
        return []
    how: dict[str, Any] = {"nargs": 2, "multiple": True, "expose_value": False, "allow_from_autoenv": False}
    return [
        click.option(option, metavar=f"NAME {value}", help=f"{text} Configs: {', '.join(names)}.", **how)
        for option, value, text in (
            ("--config", "FILE", "The file of a config."),
            ("--config-value", "TEXT", "The value of a config, as a file would have it."),
        )
    ]


def _head(cls: Any, argv: list[str]) -> None:
    """Say what runs, before mutators of the flow may print something."""
    quiet = os.environ.get("METAFLOW_QUIET", "").lower() in ("1", "true", "t", "yes", "y", "on")
    for word in argv:
        quiet = word == "--quiet" if word in ("--quiet", "--not-quiet") else quiet
    if not quiet and argv[:1] != ["--help"]:
        click.echo(f"Metaflow {VERSION} executing {cls.__name__} for user:{user_name()}", err=True)


def _check_flow_decorators(cls: Any, options: dict[str, Any]) -> None:
    """Refuse flow decorators that were given something wrong, and say what project the flow belongs to.

    Raises:
        MetaflowException: one was.
    """
    from headrace.frontends.metaflow.authoring.triggers import check_flow_decorators
    from headrace.frontends.metaflow.running.plan import check_environment

    check_flow_decorators(cls)
    added = added_names(options["decospecs"])
    check_environment(cls, options["environment"], added)
    facts = project_facts(cls, options.get("branch"), options.get("production", False), user_name())
    if facts and not options["quiet"]:
        click.echo(f"Project: {facts['project_name']}, Branch: {facts['branch_name']}", err=True)


def _check(cls: Any, quiet: bool) -> None:
    """Refuse a graph that cannot work.

    Raises:
        MetaflowException: it cannot.
    """
    if not quiet:
        click.echo("Validating your flow...", err=True)
    lint(graph_of(cls))
    if not quiet:
        click.echo("    The graph looks good!", err=True)


def _hint() -> None:
    name = os.path.abspath(sys.argv[0])  # noqa: PTH100
    click.echo(f"\n'{name} show' shows a description of this flow.", err=True)
    click.echo(f"'{name} run' runs the flow locally.", err=True)
    click.echo(f"'{name} help' shows all available commands and options.\n", err=True)


# --- run and resume -----------------------------------------------------------------------------------------------


SEED = click.IntRange(0, 2**64 - 1)

_RUN_OPTIONS: list[Callable[[Any], Any]] = [
    click.option("--tag", "tags", multiple=True, help="Annotate this run with the given tag. May be repeated."),
    click.option("--max-workers", default=16, show_default=True, help="Maximum number of parallel tasks."),
    click.option("--max-num-splits", default=100, show_default=True, help="Maximum number of splits of a foreach."),
    click.option("--max-log-size", default=10, show_default=True, help="Megabytes kept of each of stdout and stderr."),
    click.option("--with", "more_decospecs", multiple=True, envvar="METAFLOW_RUN_DECOSPECS", help=_WITH_HELP),
    click.option("--run-id-file", default="", help="Write the ID of this run to the file specified."),
    click.option("--runner-attribute-file", default="", help="Write facts on this run to the file specified."),
    click.option("--cache/--no-cache", default=False, help="Take what steps made of the same inputs before."),
    click.option("--seed", "own_seed", type=SEED, help="Seed of the random numbers of tasks; default: by chance."),
    click.option("--run-seed", type=SEED, hidden=True),  # the same, where the flow has a parameter called seed
    click.option("--on", "own_place", metavar="PLACE", default="", help="Where tasks run; default: this machine."),
    click.option("--run-on", default="", hidden=True),  # the same, where the flow has a parameter called on
    click.option("--debug/--no-debug", default=False, help="One task at a time, with the terminal: for breakpoint()."),
    click.option("--warm/--no-warm", default=False, help="Let tasks share processes, with what others left."),
]


#: Options that Metaflow does not have, or not beside those of parameters: flows may have parameters of these names.
_GIVE_WAY = frozenset(
    {
        "--cache",
        "--debug",
        "--warm",
        "--seed",
        "--on",
        "--same-run",
        "--clone-only",
        "--reentrant",
        "--resume-identifier",
    }
)


def _run_command(cls: Any) -> click.Command:
    @click.command("run", help="Run the workflow locally.")
    @click.option("--namespace", default=None, help="Change namespace from the default to the specified tag.")
    @click.pass_obj
    def run(obj: dict[str, Any], /, **given: Any) -> int:
        from headrace.frontends.metaflow.running.plan import check_environment

        options = _options(cls, obj, given)
        _check(cls, obj["quiet"])
        finish(cls, options.decorators)
        check_environment(cls, obj["environment"])  # mutators may have asked for packages
        for parameter in cls._parameters().values():
            if isinstance(parameter, IncludeFile) and parameter.note and not obj["quiet"]:
                click.echo(parameter.note, err=True)
        launch(cls, _given(cls, given), options, default_scope())
        return 0

    _add_options(cls, run, partial(default_value, cls))
    return run


def _add_options(cls: Any, command: Any, default_of: Callable[[Parameter], Any] | None) -> None:
    """Parameters of the flow and options of the command; a parameter named like an option of Headrace wins."""
    for option in _RUN_OPTIONS:
        option(command)
    parameters = [ParameterOption(one, default_of) for one in cls._parameters().values()]
    taken = {name for one in parameters for name in one.opts}
    command.params = [*parameters, *(one for one in command.params if not (taken & set(one.opts) & _GIVE_WAY))]


def _given(cls: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The values of parameters by attribute."""
    return {attribute: options.get(variable(one)) for attribute, one in cls._parameters().items()}


def _options(cls: Any, obj: dict[str, Any], given: dict[str, Any], **more: Any) -> RunOptions:
    from headrace.frontends.metaflow.running.plan import check_environment

    added = _added(given)
    check_environment(cls, obj["environment"], added_names(added))
    return RunOptions(
        max_workers=given["max_workers"],
        max_num_splits=given["max_num_splits"],
        max_log_size=given["max_log_size"],
        tags=given["tags"],
        decorators=(*obj["decospecs"], *added),
        run_id_file=given["run_id_file"],
        attribute_file=given["runner_attribute_file"],
        cache=bool(given.get("cache")),
        debug=bool(given.get("debug")),
        warm=bool(given.get("warm")),
        seed=given["run_seed"] if given.get("run_seed") is not None else given.get("own_seed"),
        place=given["run_on"] or given.get("own_place") or "",
        namespace=given.get("namespace"),
        quiet=obj["quiet"],
        suffixes=obj["package_suffixes"],
        project=project_facts(cls, obj.get("branch"), bool(obj.get("production")), user_name()),
        environment=obj["environment"],
        words=_lasting_words(obj, given, added),
        triggers=_triggers(obj.get("triggers") or ()),
        **more,
    )


def _added(given: dict[str, Any]) -> tuple[str, ...]:
    """The decorators that ``--with`` behind the command and the settings put on all steps."""
    defaults = () if given.get("reproduce_recorded") else from_conf("DEFAULT_DECOSPECS", "").split()
    return (*given["more_decospecs"], *defaults)


def _lasting_words(obj: dict[str, Any], given: dict[str, Any], added: tuple[str, ...]) -> tuple[str, ...]:
    """The options that bear on what tasks make, as words of a command line."""
    options = {
        "branch": (obj.get("branch"),),
        "environment": (obj["environment"],),
        "package-suffixes": (obj["package_suffixes"],),
        "with": (*obj["decospecs"], *added),
        "trigger": obj.get("triggers") or (),
        "namespace": (given.get("namespace"),),
        "tag": given["tags"],
        "max-workers": (given["max_workers"],),
        "max-num-splits": (given["max_num_splits"],),
    }
    words = [f"--{name}={value}" for name, values in options.items() for value in values if value not in (None, "")]
    return (*words, *(["--production"] if obj.get("production") else []))


def _triggers(pathspecs: tuple[str, ...]) -> list[dict[str, Any]]:
    if not pathspecs:
        return []
    from headrace.frontends.metaflow.commands.trigger_option import events_of_runs

    return events_of_runs(pathspecs)


def _resume_command(cls: Any) -> click.Command:
    @click.command("resume", help="Resume execution of a previous run of this flow.")
    @click.option("--origin-run-id", default=None, help="ID of the run that should be resumed; default: the last.")
    @click.option("--run-id", default=None, hidden=True, help="Refused: runs are numbered.")
    @click.option("--clone-only/--no-clone-only", default=False, hidden=True, help="Run nothing, only take over.")
    @click.option("--reentrant/--no-reentrant", default=False, hidden=True, help="Accepted with --resume-identifier.")
    @click.option("--resume-identifier", default=None, hidden=True, help="Accepted: every call makes a run.")
    @click.option("--same-run", is_flag=True, hidden=True, help="Go on with that run itself.")
    @click.option("--reproduce-recorded", default=None, hidden=True, help="Run it again: all, STEP or STEP/TASK.")
    @click.argument("step-to-rerun", required=False)
    @click.pass_obj
    def resume(
        obj: dict[str, Any], /, origin_run_id: str | None, same_run: bool, step_to_rerun: str | None, **given: Any
    ) -> int:
        from headrace.frontends.metaflow.running.resume_origin import check_resume, origin_of, reproduced, values_of

        _check(cls, obj["quiet"])
        finish(cls, (*obj["decospecs"], *_added(given)))
        if step_to_rerun is not None and step_to_rerun not in graph_of(cls):
            raise CommandException(
                f"invalid step name {step_to_rerun} specified as step-to-rerun, must be one of: {', '.join(cls._steps)}"
            )
        scope = default_scope()
        origin = origin_of(cls, origin_run_id, scope)
        check_resume(given["run_id"], bool(given.get("reentrant")), given.get("resume_identifier"))
        if not (obj["quiet"] or given["reproduce_recorded"]):
            click.echo(f"Gathering required information to resume run {origin.number} (this may take a bit of time)...")
        changed = {name: value for name, value in _given(cls, given).items() if value not in (None, ())}
        values = {**values_of(cls, origin, scope.artifacts), **changed}
        only = bool(given.get("clone_only"))
        how = {"origin": origin, "again": step_to_rerun or "", "same_run": same_run, "clone_only": only}
        if given["reproduce_recorded"]:
            how = {"reproduces": reproduced(origin, given["reproduce_recorded"], scope)}
        launch(cls, values, _options(cls, obj, given, **how), scope)
        return 0

    _add_options(cls, resume, None)  # it takes the values of its origin
    return resume


@click.command("spin", help="Run one step again, with the inputs of an earlier task, apart from all runs.")
@click.option(
    "--skip-decorators/--no-skip-decorators", default=False, help="Leave out all decorators of step and flow."
)
@click.option("--artifacts-module", default=None, help="A Python file whose ARTIFACTS replace inputs, by name.")
@click.option(
    "--persist/--no-persist", default=lambda: from_conf("SPIN_PERSIST", False), help="Keep the artifacts of the step."
)
@click.option("--max-log-size", default=10, show_default=True, help="Accepted: 10 MiB per stream and attempt.")
@click.option("--run-id-file", default="", help="Write the ID of this run to the file specified.")
@click.option("--runner-attribute-file", default="", help="Write facts on the task to the file specified.")
@click.argument("pathspec")
@click.pass_obj
def _spin_command(obj: dict[str, Any], /, pathspec: str, **given: Any) -> int:
    from headrace.frontends.metaflow.running import spin

    cls = obj["cls"]
    step, address = spin.parse_pathspec(pathspec, cls.__name__)
    _check(cls, obj["quiet"])
    if not obj["quiet"]:
        click.echo(f"Spinning up step {step} locally for flow {cls.__name__}", err=True)
    if step not in cls._steps:
        raise CommandException(
            f"Step '{step}' not found in flow '{cls.__name__}'. It has {', '.join(cls._steps)}; give one of them."
        )
    origin = spin.find_task(cls.__name__, step, address)
    options = spin.SpinOptions(
        skip_decorators=given["skip_decorators"],
        artifacts_module=given["artifacts_module"],
        persist=given["persist"],
        run_id_file=given["run_id_file"],
        attribute_file=given["runner_attribute_file"],
        quiet=obj["quiet"],
        project=project_facts(cls, obj.get("branch"), obj.get("production", False), user_name()),
    )
    for note in spin.ignored(cls, step, options):
        click.echo(note)
    spin.spin(cls, step, origin, options, default_scope())
    return 0


# --- check, show, help, version -------------------------------------------------------------------------------------


@click.command("check", help="Check that the flow is valid (default).")
@click.option("--warnings/--no-warnings", default=False, help="Accepted and not used.")
@click.pass_obj
def _check_command(obj: dict[str, Any], /, warnings: bool) -> int:
    _check(obj["cls"], obj["quiet"])
    if not obj["quiet"]:
        _hint()
    return 0


@click.command("show", help="Show structure of the flow.")
@click.pass_obj
def _show_command(obj: dict[str, Any], /) -> int:
    graph = graph_of(obj["cls"])
    if graph.doc:
        click.echo(f"\n{graph.doc}\n", err=True)
    for node in map(graph.__getitem__, graph.sorted_nodes):
        for name in (*(one.name for one in node.decorators), *(full_name(type(one)) for one in node.wrappers)):
            click.echo(f"@{name}")
        click.echo(f"Step {node.name}")
        click.echo(indent(node.doc or "?", "    "))
        if node.name != graph.end_step:
            click.echo(f"    => {', '.join(node.out_funcs)}")
    return 0


@click.command("help", help="Show all available commands.")
@click.pass_context
def _help_command(context: click.Context, /) -> int:
    assert context.parent is not None
    click.echo(context.parent.get_help())
    return 0


@click.command("version", help="Display flow version.")
def _version_command() -> int:
    click.echo(VERSION, err=True)
    return 0
