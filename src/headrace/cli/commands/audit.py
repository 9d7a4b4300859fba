"""``headrace audit``."""

from __future__ import annotations

import sys

import click

from headrace.cli.commands.user import open_accounts
from headrace.cli.output import Column, clean, moment, print_table
from headrace.cli.places import given_options

#: Entries that are read at once.
_BATCH = 1_000


@click.command(name="audit")
@click.option("--actor", metavar="USER", help="What this user did.")
@click.option("--action", metavar="NAME", help="Entries of this action, such as role.set or login.")
@click.option("--outcome", type=click.Choice(["done", "refused", "failed"]), help="Entries with this outcome.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The most lines to print.")
@click.option("--json-lines", is_flag=True, help="Print all entries, one JSON object in each line.")
def audit_command(actor: str | None, action: str | None, outcome: str | None, limit: int, json_lines: bool) -> None:
    """Show what users of a server changed, and what they were refused, newest first.

    With --project: what concerns that project. Each JSON object has the keys id, created, actor, address, request_id,
    action, project, object, outcome, detail.
    """
    import msgspec

    from headrace.model.accounts import AuditFilter

    accounts, _ = open_accounts()
    project = given_options().get("project")
    want = AuditFilter(
        actor=actor, action=action, outcome=outcome, project=project, limit=_BATCH if json_lines else limit
    )
    found = accounts.store.audit(want)
    if json_lines:
        while found:
            sys.stdout.write("".join([msgspec.json.encode(entry).decode() + "\n" for entry in found]))
            found = accounts.store.audit(msgspec.structs.replace(want, before_id=found[-1].id))
        return
    if not found:
        click.echo("The audit log has no such entries.")
        return
    columns = (
        *(Column("TIME"), Column("ACTOR"), Column("ADDRESS"), Column("ACTION"), Column("PROJECT")),
        *(Column("OBJECT", flex=True), Column("OUTCOME"), Column("DETAIL", flex=True)),
    )
    rows = [
        (
            *(moment(one.created), clean(one.actor), clean(one.address), clean(one.action), clean(one.project)),
            *(clean(one.object), one.outcome, clean(one.detail)),
        )
        for one in found
    ]
    print_table(columns, rows)
