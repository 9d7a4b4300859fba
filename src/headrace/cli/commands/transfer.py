"""``headrace export`` and ``headrace import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.options import RunName, as_json, open_existing
from headrace.cli.output import print_json

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_FILE = "file"


@click.command(name="export")
@click.argument("name", type=RunName(), metavar="RUN")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE when it exists.")
@click.option("--image", default="", metavar="IMAGE", help="Of `export kfp`: the container image of the step.")
@click.option("-o", "--output", default="pipeline.yaml", metavar="YAML", help="Of `export kfp`: what is written.")
@as_json
def export_command(name: str, file: Path, force: bool, image: str, output: str, json: bool) -> None:
    """Write RUN with all its artifacts to FILE, to be brought into another store by `headrace import`.

    `headrace export kfp train.py[:FLOW]` writes a native flow as a compiled Kubeflow pipeline of one step, to
    pipeline.yaml or where -o says. The step drives the flow in its container, of the image that --image says; where
    that has no Headrace, it is installed first.

    With --json: an object with the keys run, file, blobs, bytes; of `export kfp`, with flow, file, bytes.
    """
    if name == "kfp":
        from headrace.cli.kfpexport import export_flow

        export_flow(str(file), Path(output), image, force=force, json=json)
        return
    from headrace._base.sizes import format_size
    from headrace.services.archive import export_run
    from headrace.services.names import find_run

    scope = open_existing()
    run = find_run(scope.metadata, scope.project, name)
    done = export_run(scope.metadata, scope.artifacts, run, file, overwrite=force)
    if json:
        print_json(done)
    else:
        click.echo(f"{done.run} is in {done.file}: {done.blobs} blobs, {format_size(done.bytes)}.")


class _Sources(click.Group):
    """What can be imported: a store of another system by its name, else a file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = [word for word in args if not word.startswith("-")]
        named = bool(words) and words[0] in self.commands and words[0] != _FILE
        alone = words[:1] == words and bool(words) and Path(words[0]).is_file()
        if args and args[0] not in ctx.help_option_names and (alone or not named):
            args = [_FILE, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [*super().shell_complete(ctx, incomplete), CompletionItem(incomplete, type="file")]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options of ``import FILE``, which has no help of its own."""
        with formatter.section("Options"):
            shown = [option.get_help_record(ctx) for option in self.commands[_FILE].get_params(ctx)]
            formatter.write_dl([record for record in shown if record is not None])
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Stores of other systems"):
            rows = [(name, one.get_short_help_str(100)) for name, one in self.commands.items() if not one.hidden]
            formatter.write_dl(rows)


@click.group(name="import", cls=_Sources, subcommand_metavar="FILE | metaflow PATH")
@click.pass_context
def import_command(ctx: click.Context) -> None:
    """Bring the run in FILE into this store, under its own number or the next free one.

    FILE was written by `headrace export`. Everything is checked first; a damaged file changes nothing. With --json:
    an object with the keys run, file, blobs, bytes.

    `headrace import metaflow PATH` brings runs of Metaflow; see `headrace import metaflow --help`. A FILE of that name
    is ./metaflow.
    """


@import_command.command(name=_FILE, hidden=True)
@click.argument("file", type=click.Path(path_type=Path))
@as_json
def file_command(file: Path, json: bool) -> None:
    """Bring the run in FILE into this store."""
    from headrace import wiring
    from headrace._base.sizes import format_size
    from headrace.model.errors import UsageError
    from headrace.services.archive import Archived, import_run

    if file.is_dir():
        raise UsageError(f"{file} is a folder; if it is a store of Metaflow: headrace import metaflow {file}")
    if not file.is_file():
        raise UsageError(f"no such file: {file}")
    scope = wiring.scope_here()
    run, blobs = import_run(scope.metadata, scope.artifacts, file, scope.project)
    done = Archived(run=run.name, file=str(file), blobs=blobs, bytes=file.stat().st_size)
    if json:
        print_json(done)
    else:
        click.echo(f"{done.run} came in with {blobs} blobs, {format_size(done.bytes)}: headrace show {done.run}")


@import_command.command(name="metaflow")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--flow", metavar="NAME", help="Only runs of this flow.")
@click.option("--dry-run", is_flag=True, help="Only say what would come in.")
@click.option(
    "--no-unpickle", is_flag=True, help="Run no code of the store: keep what is not plain as the pickle it is."
)
@as_json
def metaflow_command(path: Path, flow: str | None, dry_run: bool, no_unpickle: bool, json: bool) -> None:
    """Bring the runs of a local Metaflow store into this one: PATH is a folder .metaflow, or one that holds it.

    Runs keep their ids. What is here already stays as it is, so the same store may be imported again to get what is
    new; runs that had not ended come again when they have gone on.

    Artifacts are unpickled, to be stored as Headrace does it, and that runs code that they name: import only stores of
    people you trust, or use --no-unpickle. One whose class cannot be imported here stays the pickle it is, and can be
    loaded where the class is.

    What is damaged is left out and told; the exit code is 1 then. With --json: an object with the keys store, dry_run,
    new, renewed, here, left_out, tasks, artifacts, kept, seconds, problems.
    """
    from headrace import wiring
    from headrace.cli.progress_bar import progress_bar
    from headrace.frontends.metaflow.store_import.runs import Options, import_store
    from headrace.services.stores import Stores

    scope = wiring.scope_here()
    stores = Stores(scope.metadata, scope.artifacts, scope.project)
    options = Options(flow=flow, trusted=not no_unpickle, dry_run=dry_run)
    with progress_bar(f"Importing {path}") as progress:
        done = import_store(path, stores, options, progress)
    if json:
        print_json(done)
    else:
        _tell(done)
    if done.problems:
        raise SystemExit(1)


def _tell(done: Any) -> None:
    """An ``ImportReport`` in words."""
    would = "would come in" if done.dry_run else "came in"
    extra = f", {len(done.renewed)} of them again, because they went on" if done.renewed else ""
    runs = len(done.new) + len(done.renewed)
    what = (
        f"{runs} run{'s' * (runs != 1)} {would}{extra}; {done.here} {'was' if done.here == 1 else 'were'} here already."
    )
    if done.tasks:
        rate = f", {done.artifacts / done.seconds:,.0f} artifacts per second" if done.seconds > 1 else ""
        what += f" {done.tasks:,} tasks, {done.artifacts:,} artifacts in {done.seconds:.1f} s{rate}."
    if runs and not done.dry_run:
        what += " Look at them: headrace runs"
    click.echo(what)
    if done.kept:
        click.echo(f"{done.kept:,} artifacts stayed pickles, because they could not be loaded here.")
    for problem in done.problems[:20]:
        click.echo(f"headrace: left out: {problem}", err=True)
    if len(done.problems) > 20:
        click.echo(f"headrace: and {len(done.problems) - 20:,} more; --json lists all", err=True)
