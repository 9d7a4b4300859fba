"""The program ``headrace``: finds the command, runs it, and turns errors into one line and an exit code.

Exit codes: 0 success, 1 the run failed or something did not work, 2 usage, 130 interrupted. Each command lives in a
module of its own under ``commands``, imported when it is called: ``headrace --help`` loads none of them.
"""

from __future__ import annotations

import os
import sys

import click

from headrace._base.collection import CollectionPausedForImports
from headrace._base.process import claim_standard_streams
from headrace._version import __version__
from headrace.cli.places import VERBOSE, WITHOUT, add_places, take_verbose

#: Command -> (module under ``commands``, its line in ``headrace --help``), in the order of the help.
COMMANDS = {
    "run": ("run", "Run a flow: headrace run FILE.py[:FLOW] [--parameter value]..."),
    "resume": ("resume", "Go on with a run that failed, was stopped or was killed."),
    "cancel": ("cancel", "Stop a run that is going on."),
    "runs": ("runs", "List runs, newest first."),
    "show": ("show", "Show a run, a step or a task."),
    "logs": ("logs", "Print what a run or task wrote, or follow it."),
    "follow": ("follow", "Show a run as it goes, wherever its driver is."),
    "code": ("code", "List the files of a run's code, or write them to a folder."),
    "artifacts": ("artifacts", "List the artifacts of a run, a step or a task."),
    "get": ("get", "Print an artifact, or save it to a file."),
    "diff": ("diff", "Compare two runs."),
    "explain": ("explain", "Say why a task ran or was reused."),
    "reproduce": ("reproduce", "Run a run again as it is recorded, and compare what both made."),
    "debug": ("debug", "Enter a failed task with its real inputs."),
    "answer": ("answer", "Answer a question that a run waits for."),
    "mark": ("mark", "Name, tag, pin or archive a run."),
    "env": ("env", "List, show, lock, build or remove environments of steps."),
    "image": ("image", "Build container images of environments."),
    "gc": ("gc", "Remove old runs and bytes that nothing needs."),
    "rm": ("rm", "Remove runs."),
    "export": ("transfer", "Write a run with all its artifacts to one file."),
    "import": ("transfer", "Bring an exported run, or runs of Metaflow, into this store."),
    "check": ("check", "Say what a Kubeflow pipeline does, and what cannot be honoured here."),
    "dialect": ("dialect", "Print the folder that lets files for Metaflow or kfp.local run here as they are."),
    "place": ("place", "List and check places where steps run; print what a cluster needs."),
    "worker": ("worker", "Lend this machine to a run elsewhere."),
    "drive": ("drive", "Drive a run in a pod; what --on PLACE starts in a cluster."),
    "ui": ("ui", "Open the page of a run in the browser."),
    "server": ("server", "Serve the runs of this folder to browsers and programs."),
    "login": ("login", "Log in to a server."),
    "whoami": ("login", "Say who you are for a server."),
    "logout": ("login", "Log out of a server."),
    "user": ("user", "Users of a server: add them, give roles and passwords."),
    "token": ("token", "Tokens of a server's users: make, list and revoke them."),
    "audit": ("audit", "Show what users of a server changed and were refused."),
    "doctor": ("doctor", "Check settings, stores and versions."),
    "completion": ("completion", "Print the shell's completion script."),
    "version": ("version", "Print versions."),
}


class Commands(click.Group):
    """Knows its commands by name, and loads one when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: D102 - click's
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: D102
        found = COMMANDS.get(cmd_name)
        if found is None:
            return None
        import importlib

        with CollectionPausedForImports():
            from headrace._base import lean_msgspec  # noqa: F401  # before any command has msgspec imported

            module = importlib.import_module(f"headrace.cli.commands.{found[0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        if cmd_name in WITHOUT:
            return command
        return add_places(command)

    def resolve_command(  # noqa: D102
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, [one for one in COMMANDS if one != "rm"], 1)  # never advise to delete
            hint = f"; did you mean `headrace {near[0]}`?" if near else "; `headrace --help` lists them"
            if os.path.exists(name.partition(":")[0]):  # noqa: PTH110
                hint = f"; to run it: headrace run {name}"
            ctx.fail(f"no such command: {name}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: D102
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="`headrace COMMAND --help` says more. Runs are named like train/42, tasks like train/42/fit/3. "
    "Commands that read or write runs take --project, --home, --database, --artifacts and --server.",
)
@click.option("--verbose", is_flag=True, expose_value=False, callback=take_verbose, help=VERBOSE)
@click.version_option(__version__, prog_name="headrace", message="%(prog)s %(version)s")
def headrace_command() -> None:
    """Run machine learning flows in plain Python, and look at what they made."""


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code; everything a user can do wrong ends in one message on stderr."""
    claim_standard_streams()
    surroundings = dict(os.environ)
    try:
        return _call(argv)
    finally:
        if os.environ != surroundings:  # a program that calls this one is left as it was
            os.environ.clear()
            os.environ.update(surroundings)


def _call(argv: list[str] | None) -> int:
    try:
        result = headrace_command.main(argv, prog_name="headrace", standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        _complain(error.format_message(), error)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of the output has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - so that closing it says nothing
        return 0
    except SystemExit as error:
        if type(sys.stdout).__name__.endswith("PacifyFlushWrapper"):  # click met the closed pipe first
            return 0
        raise error
    except Exception as error:
        return _on_error(error)
    return result if isinstance(result, int) else 0


def _on_error(error: Exception) -> int:
    from headrace.model.errors import HeadraceError, UsageError

    if type(error).__module__ == "msgspec":  # a row that no version of Headrace writes
        _complain(f"the store holds something that cannot be read: {error}; `headrace doctor` looks closer")
        return 1
    if not isinstance(error, HeadraceError):
        from headrace._base.process import output_failed

        problem = output_failed(error)
        if not problem:
            raise error
        _complain(problem)
        return 1
    _complain(str(error))
    return 2 if isinstance(error, UsageError) else 1


def _complain(message: str, error: click.ClickException | None = None) -> None:
    context = getattr(error, "ctx", None)
    if isinstance(error, click.UsageError) and context is not None:
        message += f"\nTry '{context.command_path} --help'."
    click.echo(f"headrace: {message}", err=True)
