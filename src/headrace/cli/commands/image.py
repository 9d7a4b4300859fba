"""``headrace image``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli.options import open_here
from headrace.model.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from headrace.model.environments import Environment, EnvironmentLock
    from headrace.services.environments.baking import Recipe
    from headrace.wiring import Scope


@click.group(name="image")
def image_command() -> None:
    """Container images of environments, for steps in pods."""


@image_command.command(name="build")
@click.argument("file", metavar="FILE.py", type=click.Path(exists=True, dir_okay=False))
@click.option("--step", "steps", metavar="NAME", multiple=True, help="Only the environment of this step.")
@click.option("--tag", metavar="NAME", help="Name of the image, or of the repository if it has no tag of its own.")
@click.option("--base", metavar="IMAGE", help="Image to build on, with the Python of the environment and pip.")
@click.option("--wheels", metavar="FOLDER", type=click.Path(exists=True, file_okay=False), help="Ask no package index.")
@click.option("--builder", type=click.Choice(["buildah", "podman", "docker"]), help="What builds; else what is there.")
@click.option("--push", is_flag=True, help="Push it to its registry.")
@click.option("--dockerfile", metavar="FOLDER", help="Write Dockerfile and requirements there; build nothing.")
def build_command(
    file: str,
    steps: tuple[str, ...],
    tag: str | None,
    base: str | None,
    wheels: str | None,
    builder: str | None,
    push: bool,
    dockerfile: str | None,
) -> None:
    """Build an image of each environment that the steps in FILE.py name.

    Runs of this folder in a place of kind "kubernetes" use the image from then on for steps whose environment has the
    same digest; their pods build nothing. For runs that start elsewhere, the lines that are printed belong into
    [tool.headrace.places.NAME.baked] of pyproject.toml.
    """
    from headrace.services.environments.baking import Recipe, bake, find_builder, note, tag_of

    scope = open_here()
    locks = _locks(scope, file, steps)
    if tag and ":" in tag.rpartition("/")[2] and len(locks) > 1:
        raise UsageError(
            f"--tag {tag}: {len(locks)} environments need images of their own; leave the tag out, or --step"
        )
    program = "" if dockerfile else find_builder(builder or "")
    for lock in locks:
        name = tag if tag and ":" in tag.rpartition("/")[2] else tag_of(lock, tag or f"headrace/{_plain(file)}")
        recipe = Recipe(lock=lock, name=name, base=base or "", wheels=wheels or "")
        if dockerfile:
            _write(recipe, Path(dockerfile), alone=len(locks) == 1)
            continue
        bake(recipe, program, push=push)
        note(scope.workspace.environments.cache, lock, name)
        click.echo(f'"{lock.digest.hex()[:16]}" = "{name}"  # {lock.label}')


def _write(recipe: Recipe, folder: Path, *, alone: bool) -> None:
    place = folder if alone else folder / recipe.name.rpartition(":")[2]
    recipe.write(place)
    click.echo(f"{place}: podman build --tag {recipe.name} {place}")


def _plain(file: str) -> str:
    """The name of a flow's file as part of an image's name."""
    return "".join(one if one.isalnum() else "-" for one in Path(file).stem.lower()).strip("-") or "flow"


def _locks(scope: Scope, file: str, steps: tuple[str, ...]) -> list[EnvironmentLock]:
    from headrace.cli.dialects import make_loadable
    from headrace.frontends.native.environments import environments_by_step, environments_in

    make_loadable(file)
    found: list[Environment] = environments_in(file)
    if steps:
        by_step = environments_by_step(file)
        for one in steps:
            if one not in by_step:
                raise NotFoundError(
                    f"step {one!r} of {file} names no environment; those that do: {', '.join(by_step) or 'none'}"
                )
        found = list(dict.fromkeys(by_step[one] for one in steps))
    if not found:
        raise NotFoundError(f"no step in {file} names an environment")
    environments = scope.workspace.environments
    folder = str(Path(file).absolute().parent)
    locks = [environments.lock(one, file, folder) for one in found]
    return list({one.digest: one for one in locks}.values())
