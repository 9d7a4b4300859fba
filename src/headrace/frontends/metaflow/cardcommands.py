"""Commands of a flow file that look at cards: ``card list``, ``card get``, ``card view``."""

from __future__ import annotations

from typing import Any

import click

from headrace.frontends.metaflow.exceptions import CardNotPresentException
from headrace.frontends.metaflow.inspecting import tasks_at


@click.group("card", help="Commands related to @card.")
def card_command() -> None:
    """Look at cards."""


def _cards(cls: Any, path: str, card_id: str | None, kind: str | None) -> list[Any]:
    """Cards of the tasks at ``path``.

    Raises:
        CommandException: there is no such task; CardNotPresentException: it has no such card.
    """
    from headrace.frontends.metaflow.cardview import get_cards

    found = [one for task in tasks_at(cls, path) for one in get_cards(task, card_id, kind)]
    if not found:
        raise CardNotPresentException(f"{path} has no card")
    return found


_CARD_ID = click.option("--id", "card_id", default=None, help="Id of the card.")
_CARD_TYPE = click.option("--type", "kind", default=None, help="Type of the card.")


@card_command.command("list", help="List the cards of a task.")
@click.argument("pathspec")
@_CARD_ID
@_CARD_TYPE
@click.pass_obj
def card_list_command(obj: dict[str, Any], /, pathspec: str, card_id: str | None, kind: str | None) -> int:
    """List cards."""
    for one in _cards(obj["cls"], pathspec, card_id, kind):
        click.echo(f"Card Id: {one.id}\nCard Type: {one.type}\nCard Path: {one.path}\n")
    return 0


@card_command.command("get", help="Print or save the HTML of a card.")
@click.argument("pathspec")
@click.argument("path", required=False)
@_CARD_ID
@_CARD_TYPE
@click.pass_obj
def card_get_command(
    obj: dict[str, Any], /, pathspec: str, path: str | None, card_id: str | None, kind: str | None
) -> int:
    """Print a card."""
    text = _cards(obj["cls"], pathspec, card_id, kind)[0].get()
    if path is None:
        click.echo(text)
    else:
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(text)
    return 0


@card_command.command("view", help="View the HTML card in a browser.")
@click.argument("pathspec")
@_CARD_ID
@_CARD_TYPE
@click.pass_obj
def card_view_command(obj: dict[str, Any], /, pathspec: str, card_id: str | None, kind: str | None) -> int:
    """Open a card."""
    _cards(obj["cls"], pathspec, card_id, kind)[0].view()
    return 0
