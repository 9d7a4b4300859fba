"""Run by the Python that has the real kfp: its command line. ``python client_commands.py URL PACKAGE``.

All commands run in one process, through the function that the program ``kfp`` calls. Prints one line of JSON for each:
its words, its exit code, and what is to be compared of what it printed.
"""

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

from click.testing import CliRunner

warnings.simplefilter("ignore")
from kfp.cli import cli  # noqa: E402

_RUNNER = CliRunner()


class Commands:
    """Calls of ``kfp --endpoint URL``."""

    def __init__(self, url: str) -> None:
        self._around = ["--endpoint", url, "--output", "json"]

    def call(self, *words: str, said: Callable[[Any], Any] = lambda _: None, given: str = "") -> Any:
        """One command; what it printed, as JSON where it is."""
        arguments = [*self._around, *words]
        done = _RUNNER.invoke(cli.cli, arguments, obj={}, auto_envvar_prefix="KFP", input=given)
        text = done.output
        lines = text.splitlines()
        begin = next((at for at, line in enumerate(lines) if line[:1] in ("[", "{")), len(lines))
        try:
            value, _ = json.JSONDecoder().raw_decode("\n".join(lines[begin:]))
        except ValueError:
            value = text
        error = "" if done.exception is None else f"{type(done.exception).__name__} {done.exception}"
        try:
            shown = said(value)
        except Exception as wrong:
            shown = f"{wrong!r} of {text!r} {error}"
        print(json.dumps([" ".join(words[:2]), done.exit_code, shown]), flush=True)
        return value


def main(url: str, package: str) -> None:
    """Call each command once."""
    call = Commands(url).call
    name = lambda row: row["display_name"]  # noqa: E731
    names = lambda rows: sorted(map(name, rows))  # noqa: E731
    experiment = call("experiment", "create", "cli", "-d", "by command", said=name)["experiment_id"]
    call("experiment", "list", said=names)
    call("experiment", "get", experiment, said=name)
    pipeline = call("pipeline", "create", package, "-p", "counted", said=name)["pipeline_id"]
    version = call("pipeline", "create-version", package, "-v", "two", "-p", pipeline, said=name)["pipeline_version_id"]
    call("pipeline", "list", said=names)
    call("pipeline", "get", pipeline, said=name)
    call("pipeline", "list-versions", pipeline, said=names)
    call("pipeline", "get-version", pipeline, version, said=name)
    made = call("run", "create", "-e", "cli", "-r", "by file", "-f", package, "-w", "n=3", said=name)
    call("run", "create", "-e", "cli", "-r", "by version", "-v", version, "-p", pipeline, said=name)
    call("run", "create", "-e", "cli", "-r", "wrong", "-f", package, "m=3")
    call("run", "list", "-e", experiment, said=names)
    run = made["run_id"]
    call("run", "get", run, said=lambda row: [row["display_name"], row["state"]])
    call("run", "archive", run)
    call("run", "unarchive", run)
    call("run", "delete", run, given="y\n")
    call("run", "get", run)
    call("recurring-run", "list", said=names)
    trigger = ("--interval-second", "60")
    call(
        "recurring-run", "create", "--experiment-id", experiment, "--job-name", "j", "--pipeline-id", pipeline, *trigger
    )
    call("pipeline", "delete-version", pipeline, version, given="y\n")
    call("experiment", "archive", "--experiment-name", "cli")
    call("experiment", "unarchive", "--experiment-id", experiment)
    call("experiment", "delete", experiment, given="y\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
