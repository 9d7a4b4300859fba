"""``headrace answer``."""

from __future__ import annotations

import time

import click

from headrace.cli.options import RunName, as_json, open_existing
from headrace.cli.output import Column, moment, print_json, print_table


@click.command(name="answer", context_settings={"ignore_unknown_options": True})
@click.argument("run_name", type=RunName(), metavar="RUN")
@click.argument("question", required=False, metavar="[NAME]")
@click.argument("value", required=False, metavar="[VALUE]")
@as_json
def answer_command(run_name: str, question: str | None, value: str | None, json: bool) -> None:
    """Answer the question NAME that RUN waits for with VALUE: JSON where it is JSON, else a text.

    Without NAME: list what RUN asks. With --json: a list of objects with the keys name, prompt, created, until.
    """
    from headrace.model.params import from_text
    from headrace.services.control import send_answer
    from headrace.services.describe import open_questions
    from headrace.services.names import find_run
    from headrace.services.run_rows import state_of

    scope = open_existing()
    now = time.time()
    run = find_run(scope.metadata, scope.project, run_name)
    if question is None:
        questions = open_questions(scope.metadata, run.id, now)
        if json:
            print_json(questions)
        elif not questions:
            click.echo(f"{run.name} waits for no answer.", err=True)
        else:
            columns = (Column("NAME"), Column("ASKS", flex=True), Column("SINCE"), Column("UNTIL"))
            print_table(columns, [(one.name, one.prompt, moment(one.created), moment(one.until)) for one in questions])
        return
    if value is None:
        raise click.UsageError(f"what is the answer to {question!r}? headrace answer {run.name} {question} VALUE")
    send_answer(scope.metadata, run, question, from_text(value), scope.actor, now)
    state = state_of(scope.metadata, run)
    if json:
        print_json({"run": run.name, "name": question, "value": from_text(value)})
    elif state == "running":
        click.echo(f"{run.name} is told.")
    else:
        click.echo(f"Noted; {run.name} is {state} and takes it when resumed: headrace resume {run.name}")
