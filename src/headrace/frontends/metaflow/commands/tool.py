"""The tool ``metaflow``, as ``python -m metaflow``: what runs there are, configuration files, the code of runs."""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from headrace.frontends.metaflow.client.providers import chosen_scope
from headrace.frontends.metaflow.client.runs import Metaflow, Run, namespace
from headrace.frontends.metaflow.exceptions import CommandException, MetaflowException
from headrace.frontends.metaflow.settings import config_file, read_config
from headrace.frontends.metaflow.version import VERSION
from headrace.model.errors import HeadraceError


def start() -> None:
    """Run the command line, and leave the process."""
    sys.exit(call(sys.argv[1:]))


def call(argv: list[str]) -> int:
    """Run the command line; the exit code."""
    try:
        tool.main(argv, prog_name="metaflow", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.Abort:
        click.echo("Aborted!", err=True)
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (MetaflowException, HeadraceError) as error:
        click.echo(f"Error: {error}", err=True)
        return 1
    return 0


@click.group("metaflow")
@click.version_option(VERSION)
def tool() -> None:
    """Runs of Metaflow flows that Headrace keeps, their code, and configuration."""


@tool.command("status")
def status() -> None:
    """Display the flows of the current folder."""
    namespace(None)
    click.echo(f"Runs are kept in {chosen_scope().settings.home}\n\nAvailable flows:")
    for flow in Metaflow():
        click.echo(f"* {flow}")


# --- configuration --------------------------------------------------------------------------------------------------


@tool.group("configure")
def configure() -> None:
    """Show and move configuration files. docs/metaflow.md lists the settings that mean something to Headrace."""


_profile = click.option("--profile", "-p", default=lambda: os.environ.get("METAFLOW_PROFILE", ""), help="A named one.")


def _read(profile: str, *, create: bool = False) -> tuple[Path, dict[str, Any]]:
    file = config_file(profile)
    if file.exists():
        return file, read_config(file)
    if profile and not create:
        raise CommandException(f"There is no configuration for profile {profile}: {file} does not exist")
    return file, {}


def _write(file: Path, values: dict[str, Any]) -> None:
    if file.exists():
        click.confirm(f"{file} exists. Replace it?", abort=True, err=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values, indent=4, sort_keys=True))
    click.echo(f"Configuration written to {file}")


@configure.command("show")
@_profile
def configure_show(profile: str) -> None:
    """Show the existing configuration."""
    file, values = _read(profile)
    click.echo(f"Configuration in {file}\n" if values else "Configuration is set to run locally.")
    for name, value in values.items():
        click.echo(f"{name}={value}")


@configure.command("export")
@_profile
@click.argument("output_filename")
def configure_export(profile: str, output_filename: str) -> None:
    """Write the configuration to a file."""
    _write(Path(output_filename).expanduser(), _read(profile)[1])


@configure.command("import")
@_profile
@click.argument("input_filename", type=click.Path(exists=True))
def configure_import(profile: str, input_filename: str) -> None:
    """Take the configuration from a file."""
    _write(_read(profile, create=True)[0], read_config(Path(input_filename)))


@configure.command("reset")
@_profile
def configure_reset(profile: str) -> None:
    """Remove the configuration."""
    file, _ = _read(profile)
    if file.exists():
        click.confirm(f"Remove {file}?", abort=True, err=True)
        file.unlink()
    click.echo("Configuration is set to run locally.")


# --- the code of runs -----------------------------------------------------------------------------------------------


@tool.group("code")
def code() -> None:
    """Access and compare the code that runs kept."""


def _code_of(pathspec: str) -> dict[str, bytes]:
    found = Run(pathspec, _namespace_check=False).code
    if found is None:
        raise CommandException(f"{pathspec} kept no code: it was not started from a file")
    return dict(sorted(found.files.items()))


@code.command("pull")
@click.argument("run_pathspec")
@click.option("--dir", "folder", default=None, help="Where to; default: {run_pathspec}_code.")
def code_pull(run_pathspec: str, folder: str | None) -> None:
    """Write the code of a run to a new folder."""
    target = Path(folder or _named(run_pathspec, "_code"))
    files = _code_of(run_pathspec)
    if target.exists():
        raise CommandException(f"{target} exists already: name another one with --dir")
    for name, content in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    click.echo(f"Code downloaded to {target}", err=True)


@code.command("diff")
@click.argument("run_pathspec")
def code_diff(run_pathspec: str) -> None:
    """What would make the current folder the code of a run, as git shows it."""
    for text in _differences(_here(), _code_of(run_pathspec), said=True):
        click.echo(text, nl=False)


@code.command("diff-runs")
@click.argument("source_run_pathspec")
@click.argument("target_run_pathspec")
def code_diff_runs(source_run_pathspec: str, target_run_pathspec: str) -> None:
    """What would make the code of the second run that of the first."""
    for text in _differences(_code_of(target_run_pathspec), _code_of(source_run_pathspec), said=True):
        click.echo(text, nl=False)


@code.command("patch")
@click.argument("run_pathspec")
@click.option("--file_path", default=None, help="Name of the patch; default: {run_pathspec}.patch.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
def code_patch(run_pathspec: str, file_path: str | None, overwrite: bool) -> None:
    """Write a patch that makes the current folder the code of a run."""
    target = Path(file_path or _named(run_pathspec, ".patch"))
    text = "".join(_differences(_here(), _code_of(run_pathspec)))
    if target.exists() and not overwrite:
        raise CommandException(f"{target} exists already: --overwrite replaces it")
    target.write_text(text)
    click.echo(f"Patch saved in {target}; apply it with\n    git apply --verbose {target}", err=True)


def _named(pathspec: str, ending: str) -> str:
    return pathspec.lower().replace("/", "_") + ending


class _Here(dict[str, bytes]):
    """The files of the current folder, read when they are asked for."""

    def get(self, name: str, default: Any = None) -> Any:
        path = Path(name)
        return path.read_bytes() if path.is_file() else default


def _here() -> dict[str, bytes]:
    return _Here()


def _differences(before: dict[str, bytes], after: dict[str, bytes], *, said: bool = False) -> Iterator[str]:
    """What differs in the files of ``after`` that ``before`` has too; ``said``: the others are named on stderr."""
    for name, new in after.items():
        old = before.get(name)
        if said and (old is None or old == new):
            click.echo(f"{name} is {'identical' if old == new else 'not there'}, skipping", err=True)
        if old is not None and old != new:
            for line in difflib.unified_diff(_lines(old), _lines(new), f"a/{name}", f"b/{name}"):
                yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(content: bytes) -> list[str]:
    return content.decode(errors="replace").splitlines(keepends=True)
