"""Commands of a flow file for cards: ``card list``, ``get``, ``view``, ``create``, ``server``."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.frontends.metaflow.client.runs import Flow, Run, Step, Task, namespace
from headrace.frontends.metaflow.exceptions import CommandException, MetaflowNamespaceMismatch, MetaflowNotFound

if TYPE_CHECKING:
    from headrace.frontends.metaflow.cards.view import CardContainer, Wanted

#: Characters of a hash in an example.
_SHORT = 5


@click.group("card", help="Commands related to @card decorator.")
def card_command() -> None:
    """Look at cards, make and serve them."""


def _echo(obj: dict[str, Any], text: str) -> None:
    if not obj["quiet"]:
        click.echo(text, err=True)


def _task(cls: Any, path: str) -> Task:
    """The task that ``step``, ``run/step`` or ``run/step/task`` names; the newest where there are several.

    Raises:
        CommandException: it is of another form; TaskNotFoundException: there is none.
    """
    from headrace.frontends.metaflow.cards.errors import TaskNotFoundException

    parts = path.split("/")
    task: Task | None = None
    if len(parts) > 3:
        raise CommandException(
            "The PATHSPEC argument should be of the form 'stepname' Or '<runid>/<stepname>' Or "
            "'<runid>/<stepname>/<taskid>'"
        )
    try:
        if len(parts) == 1:
            run = Flow(cls.__name__).latest_run
            task = run[path].task if run is not None else None
        else:
            namespace(None)
            full = f"{cls.__name__}/{path}"
            task = Step(full).task if len(parts) == 2 else Task(full)
    except KeyError:
        pass
    except MetaflowNotFound:
        if len(parts) == 1:
            raise
    if task is None:
        raise TaskNotFoundException(f"{('Step', 'Step pathspec', 'Task pathspec')[len(parts) - 1]} {path} not found.")
    return task


def _found(obj: dict[str, Any], path: str, how: dict[str, Any], *, quiet: bool = False) -> tuple[CardContainer, str]:
    """The cards that a command asks for, at least one, and the pathspec of their task.

    Raises:
        CommandException, TaskNotFoundException: see ``_task``; CardNotPresentException: there are none.
    """
    from headrace.frontends.metaflow.cards.errors import CardNotPresentException
    from headrace.frontends.metaflow.cards.view import cards_of

    task = _task(obj["cls"], path)
    wanted = _wanted(how)
    cards = cards_of(task, wanted, follow_resumed=how["follow_resumed"])
    pathspec = cards.origin_pathspec or task.pathspec
    if not quiet:
        resumed = " resumed from" if cards.from_resumed else ""
        _echo(obj, f"Resolving card{resumed}: {pathspec}")
    if not len(cards):
        raise CardNotPresentException(pathspec, wanted.type, wanted.hash, wanted.id)
    return cards, pathspec


def _wanted(how: dict[str, Any]) -> Wanted:
    from headrace.frontends.metaflow.cards.view import Wanted

    return Wanted(how["card_type"], how["card_hash"], how["card_id"])


def _which(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say which card."""
    for option in (
        click.option(
            "--follow-resumed/--no-follow-resumed",
            default=True,
            show_default=True,
            help="Of a resumed task, take the cards of the task whose result it took over.",
        ),
        click.option("--id", "card_id", default=None, help="Id of the card."),
        click.option("--type", "card_type", default=None, help="Type of the card."),
        click.option("--hash", "card_hash", default=None, help="Hash of the card, or the beginning of it."),
    ):
        command = option(command)
    return command


# --- list, get, view ------------------------------------------------------------------------------------------------


def _describe(cards: CardContainer) -> list[dict[str, Any]]:
    return [
        {"id": one.id, "hash": one.hash, "type": one.type, "filename": one.path.rpartition("/")[2]} for one in cards
    ]


def _show(obj: dict[str, Any], cards: CardContainer, heading: str) -> None:
    _echo(obj, heading)
    for one in cards:
        facts = (("Id", one.id), ("Type", one.type), ("Hash", one.hash), ("Path", one.path))
        lines = "".join(f"\n\t        Card {name}: {value}" for name, value in facts)
        _echo(obj, f"{lines}\n")


def _show_with_example(obj: dict[str, Any], cards: CardContainer, pathspec: str, command: str) -> None:
    _show(obj, cards, f"Found {len(cards)} card matching for your query...")
    path = pathspec.partition("/")[2]
    call = f"python {Path(sys.argv[0]).name} card {command} {path} --hash {cards[0].hash[:_SHORT]}"
    _echo(obj, f"\n\tExample access from CLI via: \n\t >>> {call}\n")


def _save_json(what: Any, file: str | None) -> None:
    if file is None:
        click.echo(json.dumps(what, indent=4))
    else:
        Path(file).write_text(json.dumps(what))


@card_command.command("list", help="List the cards of a task, or of all tasks of the latest run.")
@click.argument("pathspec", required=False)
@_which
@click.option("--as-json", is_flag=True, help="Print the list as JSON.")
@click.option("--file", default=None, help="Save the list as JSON in this file; with --as-json.")
@click.pass_obj
def card_list_command(obj: dict[str, Any], /, pathspec: str | None, as_json: bool, file: str | None, **how: Any) -> int:
    """List cards."""
    if pathspec is None:
        _list_run(obj, as_json, file, how)
        return 0
    cards, found = _found(obj, pathspec, how, quiet=as_json)
    if as_json:
        _save_json({"pathspec": found, "cards": _describe(cards)}, file)
    else:
        _show(obj, cards, f"Found {len(cards)} card matching for your query...")
    return 0


def _list_run(obj: dict[str, Any], as_json: bool, file: str | None, how: dict[str, Any]) -> None:
    from headrace.frontends.metaflow.cards.errors import CardNotPresentException

    run = Flow(obj["cls"].__name__).latest_run
    if run is None:
        raise CommandException(f"No run found for flow {obj['cls'].__name__}")
    if not as_json:
        _echo(obj, f"Listing cards for run {run.pathspec}")
    found = []
    for step in run:
        for task in step:
            try:
                cards, pathspec = _found(obj, "/".join(task.path_components[1:]), how, quiet=True)
            except CardNotPresentException:
                continue
            found.append({"pathspec": pathspec, "cards": _describe(cards)})
            if not as_json:
                _show(obj, cards, f"Step : {step.id}\n\tTask: {task.id}")
    if not found:
        wanted = _wanted(how)
        raise CardNotPresentException(run.pathspec, wanted.type, wanted.hash, wanted.id)
    if as_json:
        _save_json(found, file)


@card_command.command("get", help="Print the HTML of a card, or save it.")
@click.argument("pathspec")
@click.argument("path", required=False)
@_which
@click.pass_obj
def card_get_command(obj: dict[str, Any], /, pathspec: str, path: str | None, **how: Any) -> int:
    """Print a card."""
    cards, found = _found(obj, pathspec, how)
    if len(cards) > 1:
        _show_with_example(obj, cards, found, "get")
    elif path is None:
        click.echo(cards[0].get())
    else:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(cards[0].get(), encoding="utf-8")
    return 0


@card_command.command("view", help="View the HTML card in a browser.")
@click.argument("pathspec")
@_which
@click.pass_obj
def card_view_command(obj: dict[str, Any], /, pathspec: str, **how: Any) -> int:
    """Open a card."""
    cards, found = _found(obj, pathspec, how)
    if len(cards) > 1:
        _show_with_example(obj, cards, found, "view")
    else:
        cards[0].view()
    return 0


# --- create ---------------------------------------------------------------------------------------------------------


@card_command.command("create", help="Create a card for a task that is over.")
@click.argument("pathspec")
@click.option("--type", "card_type", default="default", show_default=True, help="Type of the card.")
@click.option("--options", default=None, help="Options of the card type, as JSON.")
@click.option("--timeout", default=None, type=int, help="Give up rendering after this many seconds.")
@click.option("--render-error-card", is_flag=True, help="When rendering fails, make a card that says why.")
@click.option("--id", "card_id", default=None, help="Id of the card.")
@click.option("--component-file", default=None, help="JSON file with rendered components.")
@click.option(
    "--mode",
    default="render",
    show_default=True,
    type=click.Choice(["render", "render_runtime"]),
    help="Whether to render as for a finished or for a running task.",
)
@click.pass_obj
def card_create_command(obj: dict[str, Any], /, pathspec: str, options: str | None, **given: Any) -> int:
    """Render a card and keep it."""
    from headrace.frontends.metaflow.cards.current import CARD_WORD
    from headrace.frontends.metaflow.cards.renderer import Order, render, stem_of

    if len(pathspec.split("/")) != 3:
        raise CommandException("Expecting pathspec of form <runid>/<stepname>/<taskid>")
    namespace(None)
    task = Task(f"{obj['cls'].__name__}/{pathspec}")
    order = Order(
        type=given["card_type"],
        flow=obj["cls"],
        options=_json("--options", options),
        components=_json("--component-file", _read(given["component_file"])) or [],
        data={"render_seq": "final"} if given["mode"] == "render" else {"component_update_ts": 0},
        mode=given["mode"],
        timeout=given["timeout"],
        save_errors=given["render_error_card"],
    )
    _echo(obj, f"Creating new card of type {order.type} with timeout {order.timeout}")
    page = render(order, task)
    card_id = given["card_id"]
    if card_id is not None and not CARD_WORD.match(card_id):
        _echo(obj, f"`--id={card_id}` doesn't match {CARD_WORD.pattern}. `--id` will be set to `None`.")
        card_id = None
    if page is None:
        return 0
    hash_ = uuid.uuid4().hex
    stem = stem_of(order.type, card_id, hash_)
    _keep(task, page, stem)
    _echo(obj, f"Card created with type: {stem.partition('-')[0]} and hash: {hash_[:_SHORT]}")
    return 0


def _read(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return Path(path).read_text("utf-8")
    except OSError as error:
        raise CommandException(f"--component-file: {error}") from None


def _json(option: str, text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}", param_hint=f"'{option}'") from None


def _keep(task: Task, page: str, stem: str) -> None:
    """Put a card beside those that the task has."""
    import time

    from headrace.frontends.metaflow.cards.renderer import kept

    run = task._run
    made = kept(page, stem, (task.current_attempt, 1000), run.artifacts)
    run.metadata.commit([made.recorded(run.id, task._id, time.time(), "logged")])


# --- server ---------------------------------------------------------------------------------------------------------


@card_command.command("server", help="Serve the cards of a run on this machine, while it is going on too.")
@click.option("--run-id", default=None, help="Run ID; default: the latest run, and each newer one.")
@click.option("--port", default=8324, show_default=True, help="Port of 127.0.0.1 to listen at; 0: a free one.")
@click.option("--namespace", "ns", default=None, help="Look for runs in this namespace.")
@click.option("--poll-interval", default=5, show_default=True, help="Seconds between looks for what is new.")
@click.option("--max-cards", default=30, show_default=True, help="Show at most so many cards.")
@click.pass_obj
def card_server_command(
    obj: dict[str, Any], /, run_id: str | None, port: int, ns: str | None, poll_interval: int, max_cards: int
) -> int:
    """Serve until interrupted."""
    from headrace.frontends.metaflow.cards.server import CardServer, Served

    name = obj["cls"].__name__
    if run_id is not None:
        namespace(None)
        if "/" in run_id:
            raise CommandException("run_id should NOT be of the form: `<flowname>/<runid>`. Please provide only run-id")
        try:
            Run(f"{name}/{run_id}")
        except MetaflowNotFound:
            raise CommandException(f"No run ({run_id}) found for *{name}*.") from None
    else:
        if ns is not None:
            namespace(ns or None)
        _say_what_is_there(obj, name)
    served = Served(flow=name, run_id=run_id, poll_interval=max(1, poll_interval), max_cards=max(1, max_cards))
    try:
        server = CardServer(served, port)
    except OSError as error:
        raise CommandException(f"Cannot listen at 127.0.0.1:{port}: {error.strerror}. Choose another --port.") from None
    click.echo(f"Cards of {name} are at {server.url}  (Ctrl-C to stop)", err=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo("", err=True)
    finally:
        server.server_close()
    return 0


def _say_what_is_there(obj: dict[str, Any], name: str) -> None:
    try:
        run = Flow(name).latest_run
    except (MetaflowNotFound, MetaflowNamespaceMismatch):
        run = None
    _echo(obj, f"Using run-id {run.pathspec}" if run is not None else f"No run found for *{name}* yet.")


COMMANDS: list[click.Command] = [card_command]
