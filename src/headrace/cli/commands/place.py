"""``headrace place``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.options import as_json
from headrace.cli.output import Column, print_json, print_table, style, terminal_width
from headrace.model.errors import UsageError

if TYPE_CHECKING:
    from headrace.model.place_checks import PlaceCheck
    from headrace.services.places import PlaceSettings

_MARKS = {True: ("ok", "green"), False: ("MISSING", "red"), None: ("-", "yellow")}
#: Columns before what is said of a check.
_INDENT = 9


@click.group(name="place")
def place_command() -> None:
    """Places where steps run: this machine, machines that join, and clusters.

    NAME is one of [tool.headrace.places.NAME] in pyproject.toml.
    """


@place_command.command(name="list")
@as_json
def list_command(json: bool) -> None:
    """List the places of the settings.

    With --json: an array of objects with the keys name, kind, where, image.
    """
    from headrace.settings import read_settings
    from headrace.wiring.place_checks import places_of

    rows = [_row(one) for one in places_of(read_settings())]
    if json:
        print_json(rows)
        return
    columns = (Column("NAME"), Column("KIND"), Column("WHERE", flex=True), Column("IMAGE"))
    print_table(columns, [tuple(row.values()) for row in rows])


def _row(place: PlaceSettings) -> dict[str, str]:
    kind = str(place.__struct_config__.tag)
    if kind == "local":
        where = "this machine"
    elif kind == "workers":
        where = f"workers join at {getattr(place, 'listen')}"  # noqa: B009
    else:
        said = {name: getattr(place, name) for name in ("context", "kubeconfig", "namespace")}
        where = ", ".join(f"{name} {value}" for name, value in said.items() if value) or "as kubectl finds it"
    return {"name": place.name, "kind": kind, "where": where, "image": getattr(place, "image", "")}


@place_command.command(name="check")
@click.argument("name")
@as_json
def check_command(name: str, json: bool) -> int:
    """Try what runs need of a place, and say what is missing and what grants it; exit code 1 when something is.

    Of a cluster: each right, the namespace and its quotas, what the settings name, and, from a pod of the place that
    is made for it, the image's versions, the artifact store and the database.

    With --json: a list of objects with the keys name, ok (null: not tried or not needed), text, advice, grant (YAML).
    """
    from headrace.settings import read_settings
    from headrace.wiring.place_checks import check_place

    found: list[PlaceCheck] = []
    for one in check_place(read_settings(), name):
        found.append(one)
        if not json:
            _print_check(one)
    if json:
        print_json(found)
    bad = [one for one in found if one.ok is False]
    if not json:
        _print_grants([one for one in found if one.grant and one.ok is not True])
        click.echo(f"\n{len(bad)} of {len(found)} are missing." if bad else f"\nPlace {name} can be used.")
    return 1 if bad else 0


def _print_check(check: PlaceCheck) -> None:
    mark, colour = _MARKS[check.ok]
    first, *rest = _lines(f"{check.name}: {check.text}")
    if check.ok is not True and check.advice and not check.grant:
        rest += _lines(check.advice)
    click.echo(f"{style(f'{mark:8}', fg=colour)} {first}")
    for line in rest:
        click.echo(f"{' ' * _INDENT}{line}")


def _lines(text: str) -> list[str]:
    width = terminal_width()
    if not width:
        return text.splitlines()
    from textwrap import wrap

    return wrap(text, max(30, width - _INDENT), break_on_hyphens=False, break_long_words=False)


def _print_grants(checks: list[PlaceCheck]) -> None:
    """Print YAML from the margin on: what is copied, or cut off from a file, can be applied as it is."""
    for number, one in enumerate(checks):
        click.echo("---" if number else "")
        click.echo(f"# {one.name}: {one.advice}\n{one.grant}", nl=False)


@place_command.command(name="manifest")
@click.argument("name")
@click.option("--user", "users", multiple=True, metavar="NAME", help="Also let this user drive runs. May be repeated.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="Also let this group. May be repeated.")
@click.option(
    "--with-server", is_flag=True, help="With a Headrace server: its pages and API, at service headrace-server."
)
@click.option(
    "--behind-proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    help="For --with-server: the ingress that ends TLS, such as 10.244.0.0/16. May be repeated.",
)
@click.option(
    "--tls-secret", "tls", default="", metavar="NAME", help="For --with-server: the secret with its certificate."
)
@click.option("--helm", metavar="FOLDER", help="Write a Helm chart of the same objects into FOLDER, and print nothing.")
def manifest_command(
    name: str, users: tuple[str, ...], groups: tuple[str, ...], helm: str | None, with_server: bool, **ending: Any
) -> None:
    """Print what a place of a cluster needs, as YAML for kubectl: service account, role, binding and network policy.

    The role has the rights that drivers use, in the place's namespace alone; nothing is installed in the cluster.
    """
    from headrace.settings import read_settings
    from headrace.wiring.place_checks import ManifestOptions, chart_of, manifests_of

    options = ManifestOptions(users=users, groups=groups, server=with_server, **ending)
    if helm is None:
        click.echo(manifests_of(read_settings(), name, options), nl=False)
        return
    folder = Path(helm)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--helm {helm}: it exists already; name a folder that is new or empty")
    for path, text in chart_of(read_settings(), name, options).items():
        file = folder / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        except OSError as error:
            raise UsageError(f"--helm {helm}: {error}") from None
    click.echo(f"A Helm chart is in {helm}: helm install headrace {helm} --namespace NAMESPACE", err=True)
