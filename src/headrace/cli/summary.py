"""Driving a run from the command line to its end, and what is said then."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from headrace._base.process import output_failed
from headrace.cli.flowargs import Options
from headrace.cli.live import Watched, make_watch
from headrace.cli.output import clean, print_facts, print_json, print_traceback, style
from headrace.cli.streams import lasting_output

if TYPE_CHECKING:
    from headrace.frontends.native.launch import Ended
    from headrace.services.summary import Summary

SUCCESS, FAILED, INTERRUPTED = 0, 1, 130


def drive(start: Callable[[], Ended], options: Options) -> int:
    """Call ``start``, which runs a flow, show the run as it goes and how it ended; returns the exit code."""
    from headrace.frontends.native.launch import observers
    from headrace.services.handing_over import HandedOver

    watch = make_watch(quiet=options.quiet)
    observers.append(watch.begin)
    error: BaseException | None = None
    handed: HandedOver | None = None
    interrupted = False
    with _flow_prints_to_stderr() if options.json else contextlib.nullcontext(), lasting_output():
        try:
            error = start().error
        except HandedOver as over:
            handed = over
        except KeyboardInterrupt:
            interrupted = True
        except SystemExit as exit_:
            error = exit_
        finally:
            observers.remove(watch.begin)
            watch.end()
    if handed is not None:
        from headrace.cli.following import follow_handed_over

        return follow_handed_over(handed, options, lambda followed: conclude(followed, None, options))
    if watch.session is None:
        if error is not None:
            raise error
        return INTERRUPTED if interrupted else SUCCESS
    return conclude(watch.session, error, options, interrupted=interrupted)


@contextlib.contextmanager
def _flow_prints_to_stderr() -> Iterator[None]:
    """Keep stdout for our JSON: whatever the flow prints, below Python too, goes to stderr meanwhile."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


def conclude(session: Watched, error: BaseException | None, options: Options, *, interrupted: bool = False) -> int:
    """Print how a run ended; returns the exit code. ``error`` is what its flow raised here."""
    from headrace.model.errors import HeadraceError
    from headrace.services.summary import summarize

    if session.failure is not None:  # the store is gone, or another process took the run: nothing to read
        failure = session.failure
        click.echo(f"headrace: {session.run.name} cannot go on: {failure}", err=True)
        click.echo(f"Once that is mended: headrace resume {session.run.name}{options.kept}", err=True)
        return FAILED
    run = session.stores.metadata.run_by_id(session.run.id)
    if run is None:
        click.echo(f"headrace: {session.run.name} was removed while it ran", err=True)
        return FAILED
    summary = summarize(session.stores.metadata, run, session.counts(), session.reused)
    try:
        _print_ending(summary, options, interrupted=interrupted, raised=_raised_beside(error))
    except OSError as problem:  # the exit code says how the run ended, also where the rest is not read
        if not (unwritable := output_failed(problem)):
            raise
        if not isinstance(problem, BrokenPipeError):
            click.echo(f"headrace: {unwritable}", err=True)
    if interrupted or run.state == "interrupted":
        return INTERRUPTED
    if error is not None and isinstance(error, HeadraceError) and summary.failure is None:
        click.echo(f"headrace: {error}", err=True)
    return SUCCESS if run.state == "succeeded" else FAILED


def _raised_beside(error: BaseException | None) -> bool:
    """Whether a flow that was stopped raised an exception on its way out."""
    from headrace.frontends.native.stops import raised_when_stopped
    from headrace.model.errors import TaskCancelledError

    if isinstance(error, TaskCancelledError):
        error = error.__context__
    return error is not None and raised_when_stopped(error) is not None


def _print_ending(summary: Summary, options: Options, *, interrupted: bool, raised: bool) -> None:
    if not options.summary:
        return
    if options.json:
        print_json(summary)
    elif "quiet" not in options.flags:
        print_summary(summary, raised=raised, kept=options.kept, page=_page(summary))
    elif summary.failure is not None and (raised or not interrupted):
        _print_failure(summary, err=True)
    sys.stdout.flush()


def _page(summary: Summary) -> str:
    """Where a server shows the run; empty where none is known."""
    from headrace.services.served_at import page_of, server_of
    from headrace.settings import read_settings

    settings = read_settings()
    server = server_of(settings.home, settings.server)
    return page_of(server, settings.project, summary.run) if server else ""


def print_summary(summary: Summary, *, raised: bool = False, kept: str = "", page: str = "") -> None:
    """How the run ended; first a traceback, if it failed, or if the flow ``raised`` an error when it was stopped.

    ``kept`` are options that the next ``headrace resume`` needs again; ``page`` is where a server shows the run.
    """
    from headrace._base.sizes import format_duration, format_size

    stopped = summary.state in ("interrupted", "cancelled")
    if summary.failure is not None and (raised or not stopped):
        _print_failure(summary)
    took = "" if summary.duration is None else f" after {format_duration(summary.duration)}"
    colour = "green" if summary.state == "succeeded" else "yellow" if stopped else "red"
    counts = [f"{summary.executed} task{'s' * (summary.executed != 1)} run"]
    for count, word in ((summary.reused, "reused"), (summary.failed, "failed"), (summary.cancelled, "cancelled")):
        if count:
            counts.append(f"{count} {word}")
    click.echo(f"{style(f'{summary.run} {summary.state}', fg=colour, bold=True)}{took}: {', '.join(counts)}")
    result = summary.result
    shown = "" if result is None or result.type in ("NoneType", "builtins.NoneType") else result.text
    print_facts(
        [
            ("result", " ".join(shown.split())),
            ("artifacts", format_size(summary.artifacts_size) if summary.artifacts_size else ""),
            ("page", page),
            *(("next" if place == 0 else " ", line) for place, line in enumerate(_next(summary, kept))),
        ],
        "  ",
    )


def _next(summary: Summary, kept: str) -> list[str]:
    if summary.state == "succeeded":
        return [f"headrace show {summary.run}"]
    if summary.state in ("interrupted", "cancelled"):
        return [f"headrace resume {summary.run}{kept}"]
    lines = [f"headrace resume {summary.run}{kept}"]
    if summary.failure is not None and summary.failure.task:
        lines.insert(0, summary.failure.debug)
    return lines


def _print_failure(summary: Summary, *, err: bool = False) -> None:
    failure = summary.failure
    assert failure is not None
    if failure.traceback:
        print_traceback(failure.traceback, failure.task or summary.run, err=err)
    tries = f" after {failure.attempts} attempts" if failure.attempts > 1 else ""
    ended = "failed" if failure.task or summary.state == "failed" else f"was {summary.state}"
    line = f"{failure.task or summary.run} {ended}{tries}: {clean(failure.error)}"
    click.echo(style(line, fg="red", bold=True), err=err)
