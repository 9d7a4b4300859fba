"""``headrace token``."""

from __future__ import annotations

import click

from headrace.cli.commands.user import open_accounts
from headrace.cli.options import as_json, open_here
from headrace.cli.output import Column, clean, moment, print_json, print_table


@click.group(name="token")
def token_command() -> None:
    """Tokens: what programs show a server instead of a password.

    Works on the database itself, for tokens of any user.
    """


@token_command.command(name="add")
@click.argument("name", metavar="NAME")
@click.option("--user", required=True, metavar="USER", help="Whose token it is; it can do no more than its user.")
@click.option("--role", type=click.Choice(["viewer", "editor", "admin"]), default="editor", show_default=True)
@click.option("--all-projects", is_flag=True, help="For all projects of the user, instead of the project here.")
@click.option("--expires", metavar="AGE", default="90d", show_default=True, help="How long it is valid, or 'never'.")
@as_json
def add_command(name: str, user: str, role: str, all_projects: bool, expires: str, json: bool) -> None:
    """Make a token for the project here (see --project), and print it. It is shown this once: only its hash is kept.

    With --json: an object with the keys id, token, expires.
    """
    from headrace.model.accounts import ALL_PROJECTS, Role
    from headrace.services.accounts.users import NewToken

    accounts, source = open_accounts()
    project = ALL_PROJECTS if all_projects else open_here().project
    new = NewToken(user=user, name=name, scope=Role.of(role), project=project, seconds=_seconds(expires))
    token, text = accounts.add_token(source, new)
    if json:
        print_json({"id": token.id, "token": text, "expires": token.expires})
        return
    click.echo(f"Token {token.id} of {user}: keep it, it is not shown again.", err=True)
    click.echo(text)


def _seconds(expires: str) -> float | None:
    from headrace._base.sizes import parse_duration
    from headrace.model.errors import UsageError

    if expires == "never":
        return None
    try:
        return parse_duration(expires)
    except ValueError as error:
        raise UsageError(f"--expires {expires}: {error}") from None


@token_command.command(name="list")
@click.option("--user", metavar="USER", help="Of this user alone.")
@as_json
def list_command(user: str | None, json: bool) -> None:
    """List tokens; their texts are not stored.

    With --json: an array of objects with the keys id, user, name, role, project (* for all), run, created, expires,
    last_used, state (valid, expired, revoked).
    """
    accounts, _ = open_accounts()
    now = accounts.clock()
    tokens = accounts.store.tokens(user)
    states = ["revoked" if one.revoked else "valid" if one.is_valid(now) else "expired" for one in tokens]
    if json:
        print_json(
            [
                {
                    "id": one.id,
                    "user": one.user,
                    "name": one.name,
                    "role": one.scope.label,
                    "project": one.project,
                    "run": one.run,
                    "created": one.created,
                    "expires": one.expires,
                    "last_used": one.last_used,
                    "state": state,
                }
                for one, state in zip(tokens, states, strict=True)
            ]
        )
        return
    if not tokens:
        click.echo("There are no tokens: headrace token add NAME --user USER")
        return
    columns = (
        *(Column("ID", right=True), Column("USER"), Column("NAME", flex=True), Column("ROLE"), Column("PROJECT")),
        *(Column("EXPIRES"), Column("USED"), Column("STATE")),
    )
    rows = [
        (
            *(str(one.id), one.user, clean(one.name), one.scope.label, "all" if one.project == "*" else one.project),
            moment(one.expires) if one.expires else "never",
            moment(one.last_used) if one.last_used else "never",
            state,
        )
        for one, state in zip(tokens, states, strict=True)
    ]
    print_table(columns, rows)


@token_command.command(name="revoke")
@click.argument("token_id", metavar="ID", type=click.IntRange(1))
def revoke_command(token_id: int) -> None:
    """Make the token ID invalid, for ever."""
    accounts, source = open_accounts()
    token = accounts.revoke_token(source, token_id)
    click.echo(f"Token {token_id} of {token.user} ({clean(token.name)}) is revoked.")
