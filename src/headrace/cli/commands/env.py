"""``headrace env``."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from headrace.cli.options import as_json, open_here
from headrace.cli.output import Column, moment, print_facts, print_json, print_table
from headrace.model.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from headrace.model.environments import Environment, EnvironmentLock
    from headrace.services.environment_changes import Contents
    from headrace.services.environments.kept import Kept
    from headrace.wiring import Scope

_DIGEST = 12


@click.group(name="env")
def env_command() -> None:
    """Environments of steps: the interpreters and packages that they run in.

    NAME is one of [tool.headrace.environments.NAME] in pyproject.toml, or the digest that `headrace env list` shows.
    """


@env_command.command(name="list")
@as_json
def list_command(json: bool) -> None:
    """List environments that are built here, and those of pyproject.toml.

    With --json: an array of objects with the keys name, digest, python, packages, size, used, folder; the last three
    are null for one that is not built.
    """
    from headrace._base.sizes import format_size

    rows = _rows(open_here())
    if json:
        print_json(rows)
        return
    columns = (
        *(Column("NAME", flex=True), Column("DIGEST"), Column("PYTHON"), Column("PACKAGES", right=True)),
        *(Column("SIZE", right=True), Column("USED")),
    )
    shown = [
        (
            *(str(row["name"]), str(row["digest"] or "")[:_DIGEST], str(row["python"] or "")),
            "" if row["packages"] is None else str(row["packages"]),
            "not built" if row["size"] is None else format_size(int(str(row["size"]))),
            moment(float(str(row["used"]))) if row["used"] is not None else "",
        )
        for row in rows
    ]
    if not shown:
        click.echo("No environments are built here, and pyproject.toml describes none.")
        return
    print_table(columns, shown)


def _rows(scope: Scope) -> list[dict[str, object]]:
    from headrace.services.environments.kept import kept_environments

    environments = scope.workspace.environments
    rows: list[dict[str, object]] = []
    built = {one.lock.digest: one for one in kept_environments(environments.cache)}
    for name, environment in environments.named.items():
        lock = environments.known(environment, os.getcwd())  # noqa: PTH109
        one = None if lock is None else built.pop(lock.digest, None)
        rows.append(_row(name, lock, one))
    rows += [_row(one.lock.label, one.lock, one) for one in built.values()]
    return rows


def _row(name: str, lock: EnvironmentLock | None, kept: Kept | None) -> dict[str, object]:
    return {
        "name": name,
        "digest": None if lock is None else lock.digest.hex(),
        "python": None if lock is None else lock.python,
        "packages": None if lock is None else len(lock.packages),
        "size": None if kept is None else kept.size,
        "used": None if kept is None else kept.used,
        "folder": None if kept is None else kept.folder,
    }


@env_command.command(name="show")
@click.argument("name", metavar="NAME")
@as_json
def show_command(name: str, json: bool) -> None:
    """Show what is locked for NAME: its interpreter and packages, and where it is built.

    With --json: an object with the keys name, digest, python, platform, packages, variables, requirements, folder.
    """
    scope = open_here()
    lock = _lock_of(scope, name)
    from headrace.services.environments.building import find_built

    built = find_built(lock, scope.workspace.environments.cache)
    if json:
        facts = {"name": lock.label, "digest": lock.digest.hex(), "python": lock.python, "platform": lock.platform}
        more = {"packages": dict(lock.packages), "variables": dict(lock.variables)}
        folder = None if built is None else built.folder
        print_json({**facts, **more, "requirements": lock.requirements, "folder": folder})
        return
    print_facts(
        [
            ("environment", lock.label),
            ("digest", lock.digest.hex()),
            ("python", f"{lock.python} on {lock.platform}"),
            ("folder", built.folder if built is not None else "not built"),
            *[("variable", f"{key}={value}") for key, value in lock.variables],
        ]
    )
    print_table((Column("PACKAGE"), Column("VERSION", flex=True)), lock.packages)


@env_command.command(name="diff")
@click.argument("left", metavar="LEFT")
@click.argument("right", metavar="RIGHT")
@as_json
def diff_command(left: str, right: str, json: bool) -> None:
    """Say which packages differ between two environments, each a NAME or a step of a run, such as train/42/fit.

    With --json: an array of texts.
    """
    from headrace.services.environment_changes import differences

    scope = open_here()
    lines = differences(_contents(scope, left), _contents(scope, right))
    if json:
        print_json(lines)
    else:
        click.echo("\n".join(lines) if lines else "No difference.")


def _contents(scope: Scope, name: str) -> Contents:
    from headrace.services.environment_changes import contents_of_lock, contents_of_tasks

    if "/" not in name:
        return contents_of_lock(_lock_of(scope, name))
    from headrace.services.names import find_run, find_step, parse_name

    step = parse_name(name).step
    run = find_run(scope.metadata, scope.project, name)
    run = scope.metadata.run_by_id(run.id) or run
    if not step:
        raise UsageError(f"{name} is a run; name a step of it, such as {run.name}/STEP, or compare runs: headrace diff")
    task = find_step(scope.metadata, run, step, limit=1)[0]
    return contents_of_tasks(scope.metadata, scope.artifacts, run, step, task.environment)


@env_command.command(name="lock")
@click.argument("name", metavar="NAME|FILE.py")
@click.option("--upgrade", is_flag=True, help="Take the newest versions that fit, instead of those locked before.")
def lock_command(name: str, upgrade: bool) -> None:
    """Resolve NAME, or all environments that the steps in FILE.py name, to locks, and keep these for later runs."""
    scope = open_here()
    environments = scope.workspace.environments
    for environment, folder in _asked(scope, name):
        before = environments.known(environment, folder)
        lock = environments.resolve(environment, folder, upgrade=upgrade)
        click.echo(f"{lock.label}: {_counted(lock)}, Python {lock.python}, lock {lock.digest.hex()[:_DIGEST]}")
        for line in _changes(before, lock):
            click.echo(f"  {line}")


@env_command.command(name="build")
@click.argument("name", metavar="NAME|FILE.py")
def build_command(name: str) -> None:
    """Build NAME, or all environments that the steps in FILE.py name, so that the first run need not."""
    scope = open_here()
    environments = scope.workspace.environments
    for environment, folder in _asked(scope, name):
        lock = environments.lock(environment, name, folder)
        built = environments.build(lock, name)
        click.echo(f"{lock.label}: {built.folder}")


@env_command.command(name="rm")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--unused", metavar="AGE", help="Those that no run has used for so long: 30d.")
def rm_command(names: tuple[str, ...], unused: str | None) -> None:
    """Remove built environments from this disk. Their locks stay: who needs one builds it again."""
    from headrace._base.sizes import format_size, parse_duration
    from headrace.services.environments.kept import kept_environments, remove_environment
    from headrace.services.environments.kept import unused as unused_for

    if not names and unused is None:
        raise UsageError("say which: headrace env rm NAME, or --unused 30d")
    scope = open_here()
    cache = scope.workspace.environments.cache
    going: list[Kept] = []
    for name in names:
        digest = _lock_of(scope, name).digest
        found = [one for one in kept_environments(cache) if one.lock.digest == digest]
        if not found:
            raise NotFoundError(f"environment {name} is not built here")
        going += found
    if unused is not None:
        try:
            going += unused_for(cache, time.time(), parse_duration(unused))
        except ValueError as error:
            raise UsageError(f"--unused: {error}") from None
    for one in going:
        if not remove_environment(one):
            raise UsageError(f"environment {one.lock.label} is used by a running flow; it stays")
        click.echo(f"Removed {one.lock.label}, {format_size(one.size)}.")


def _asked(scope: Scope, name: str) -> list[tuple[Environment, str]]:
    """The environments that a name or a file stands for, each with the folder where its paths start."""
    from headrace.cli.dialects import make_loadable
    from headrace.frontends.native.environments import environments_in

    named = scope.workspace.environments.named
    if name in named:
        return [(named[name], os.getcwd())]  # noqa: PTH109
    if not name.endswith(".py"):
        raise NotFoundError(
            f"there is no environment {name!r}; there are: {', '.join(named) or 'none'}. Describe it in "
            f"[tool.headrace.environments.{name}] of pyproject.toml, or name the .py file of a flow"
        )
    make_loadable(name)
    found = environments_in(name)
    if not found:
        raise NotFoundError(f"no step in {name} names an environment")
    folder = os.path.dirname(os.path.abspath(name))  # noqa: PTH100, PTH120
    return [(scope.workspace.environments.named_as(one), folder) for one in found]


def _lock_of(scope: Scope, name: str) -> EnvironmentLock:
    """The lock that is known by a name, or by the beginning of its digest."""
    from headrace.services.environments.kept import kept_environments

    environments = scope.workspace.environments
    if name in environments.named:
        lock = environments.known(environments.named[name], os.getcwd())  # noqa: PTH109
        if lock is None:
            raise NotFoundError(f"environment {name} was not locked yet: headrace env lock {name}")
        return lock
    kept = kept_environments(environments.cache)
    found = [one.lock for one in kept if one.lock.digest.hex().startswith(name) or one.lock.label == name]
    if len({one.digest for one in found}) != 1:
        what = "no environment" if not found else "more than one environment"
        raise NotFoundError(f"there is {what} {name!r} here; `headrace env list` shows them")
    return found[0]


def _counted(lock: EnvironmentLock) -> str:
    return f"{len(lock.packages)} package{'s' * (len(lock.packages) != 1)}"


def _changes(before: EnvironmentLock | None, after: EnvironmentLock) -> list[str]:
    from headrace.services.environment_changes import contents_of_lock, differences

    return [] if before is None else differences(contents_of_lock(before), contents_of_lock(after))
