"""``headrace user``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from headrace.cli.options import as_json, open_here
from headrace.cli.output import Column, clean, moment, print_json, print_table

if TYPE_CHECKING:
    from headrace.services.accounts.users import Accounts, Source

_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from standard input, one line.")


def open_accounts() -> tuple[Accounts, Source]:
    """The accounts of the database here, and who changes them: the user of this machine."""
    from headrace.services.accounts.users import Accounts, Source

    scope = open_here()
    return Accounts(scope.workspace.accounts), Source(actor=str(scope.actor), address="command line")


@click.group(name="user")
def user_command() -> None:
    """Users of a server: who may log in, and what they may do in which project.

    Works on the database itself: whoever can write it needs no account. Everything that is changed is in the audit log.
    """


@user_command.command(name="add")
@click.argument("name", metavar="NAME")
@click.option("--display", metavar="TEXT", default="", help="The name as people write it.")
@click.option("--admin", is_flag=True, help="Make the user an admin of all projects and of the server.")
@click.option("--sso", is_flag=True, help="Without a password: the user logs in by single sign-on.")
@_STDIN
def add_command(name: str, display: str, admin: bool, sso: bool, password_stdin: bool) -> None:
    """Add the user NAME. The password is asked for, unless --sso or --password-stdin says otherwise.

    A new user sees no project until `headrace user role` gives a role in one.
    """
    from headrace.model.accounts import ALL_PROJECTS, Role
    from headrace.services.accounts.users import check_user_name

    check_user_name(name)
    accounts, source = open_accounts()
    accounts.add(source, name, display=display, password="" if sso else _password(password_stdin))
    if admin:
        accounts.set_role(source, name, ALL_PROJECTS, Role.ADMIN)
    click.echo(f"Added the user {name}{', an admin of all projects' if admin else ''}.")


def _password(from_stdin: bool) -> str:
    from headrace.model.errors import UsageError

    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the password on; use --password-stdin")
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return answer


@user_command.command(name="role")
@click.argument("name", metavar="NAME")
@click.argument("role", type=click.Choice(["viewer", "editor", "admin", "none"]))
@click.option("--all-projects", is_flag=True, help="In every project, also in those to come.")
def role_command(name: str, role: str, all_projects: bool) -> None:
    """Give the user NAME a role in the project here (see --project), instead of the one it has there.

    A viewer reads. An editor also starts and changes runs. An admin also gives roles and reads the audit log.
    """
    from headrace.model.accounts import ALL_PROJECTS, Role

    accounts, source = open_accounts()
    project = ALL_PROJECTS if all_projects else open_here().project
    accounts.set_role(source, name, project, None if role == "none" else Role.of(role))
    where = "all projects" if all_projects else f"project {project}"
    click.echo(f"{name} has no role in {where} any more." if role == "none" else f"{name} is {role} of {where}.")


@user_command.command(name="disable")
@click.argument("name", metavar="NAME")
def disable_command(name: str) -> None:
    """Lock the user NAME out: sessions end, and tokens are refused until `headrace user enable`."""
    accounts, source = open_accounts()
    accounts.set_disabled(source, name, True)
    click.echo(f"{name} is disabled.")


@user_command.command(name="enable")
@click.argument("name", metavar="NAME")
def enable_command(name: str) -> None:
    """Let the user NAME in again; tokens that are still valid work again too."""
    accounts, source = open_accounts()
    accounts.set_disabled(source, name, False)
    click.echo(f"{name} is enabled.")


@user_command.command(name="passwd")
@click.argument("name", metavar="NAME")
@_STDIN
def passwd_command(name: str, password_stdin: bool) -> None:
    """Give the user NAME another password. All sessions of the user end."""
    accounts, source = open_accounts()
    accounts.find(name)
    accounts.set_password(source, name, _password(password_stdin))
    click.echo(f"{name} has a new password.")


@user_command.command(name="list")
@as_json
def list_command(json: bool) -> None:
    """List users with their roles.

    With --json: an array of objects with the keys name, display, login (password, sso), disabled, created, roles (an
    object of project and role; * stands for all projects).
    """
    from headrace.services.accounts.users import grants_text

    accounts, _ = open_accounts()
    grants = accounts.store.roles()
    users = accounts.store.users()
    if json:
        print_json(
            [
                {
                    "name": user.name,
                    "display": user.display,
                    "login": "password" if user.password else "sso",
                    "disabled": user.disabled,
                    "created": user.created,
                    "roles": {one.project: one.role.label for one in grants if one.user == user.name},
                }
                for user in users
            ]
        )
        return
    if not users:
        click.echo("There are no users yet: headrace user add NAME --admin")
        return
    columns = (Column("NAME"), Column("DISPLAY"), Column("LOGIN"), Column("ROLES", flex=True), Column("ADDED"))
    rows = [
        (
            user.name,
            clean(user.display),
            "disabled" if user.disabled else "password" if user.password else "sso",
            clean(grants_text([one for one in grants if one.user == user.name])) or "none",
            moment(user.created),
        )
        for user in users
    ]
    print_table(columns, rows)
