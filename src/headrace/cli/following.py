"""Showing a run that another process drives, as it goes, from what the store says."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from headrace.cli.flowargs import Options
from headrace.cli.live import Watch, make_watch
from headrace.cli.streams import lasting_output
from headrace.model.errors import HeadraceError
from headrace.services.control import end_undriven
from headrace.services.leases import DriverWait, note_driver_wait
from headrace.services.run_rows import PENDING

if TYPE_CHECKING:
    from headrace.model.records import RunRecord
    from headrace.services.handing_over import HandedOver
    from headrace.services.stores import Stores

_LOOK = 0.3
#: Tasks of a run among which those are counted that were reused.
_COUNTED = 10_000
#: Seconds after which its driver is asked after that has not begun, or is gone, and between two such questions.
_PATIENCE = 2.0
#: Seconds after which it is recorded again that a driver still waits for the same.
_NOTED = 10.0

Trouble = Callable[[], tuple[str, bool] | None]


class FollowedRun:
    """What is known of a run that another process drives; ``look`` reads it again. See ``cli.live.Watched``."""

    reuse_changed = False
    failure = None
    changed_steps: list[str] = []  # noqa: RUF012 - it is the driver that knows, and its log says so

    def __init__(self, stores: Stores, run: RunRecord) -> None:
        from headrace.services.logs import LogTail

        self.stores = stores
        self.run = run
        self.last_line = ("", "")
        #: ``alive``, ``unknown``, ``pending`` or ``gone``; empty when the run is over.
        self.driver = "unknown"
        self._noted = DriverWait()
        self._counts: dict[str, dict[str, int]] = {}
        self._tail = LogTail(run.id)

    def counts(self) -> dict[str, dict[str, int]]:
        """Numbers of tasks by step and state."""
        return self._counts

    @property
    def reused(self) -> int:
        """How many tasks took a result from the cache or another run; of a very large run none are counted."""
        if sum(sum(states.values()) for states in self._counts.values()) > _COUNTED:
            return 0
        return sum(bool(task.reused_from) for task in self.stores.metadata.tasks(self.run.id))

    def look(self) -> str:
        """Read how far the run is; returns what its flow has printed since."""
        from headrace.model.records import TaskId
        from headrace.services.live_counts import totals_of
        from headrace.services.run_rows import driver_of

        metadata = self.stores.metadata
        current = metadata.run_by_id(self.run.id)
        over = current is None or current.state != "running"
        self.run = current or self.run
        self.driver = "" if over else driver_of(metadata, self.run)
        totals = totals_of(metadata, self.run, gone=False)
        self._counts = {step: one.counts for step, one in totals.items()}
        printed = []
        for chunk in self._tail.read(metadata, self.stores.artifacts):
            text = chunk.data.decode(errors="replace")
            if not chunk.step:
                printed.append(text)
            elif lines := text.split("\n"):
                line = next((one for one in reversed(lines) if one.strip()), "")
                self.last_line = (str(TaskId(chunk.step, chunk.number)), line) if line else self.last_line
        return "".join(printed)

    def note_wait(self, why: str) -> None:
        """Record why the driver has not begun, for all who look at the run."""
        now = time.time()
        same = why == self._noted.text
        if self.driver != PENDING or (same and (not why or now - self._noted.seen < _NOTED)):
            return
        self._noted = DriverWait(why, now)
        with contextlib.suppress(HeadraceError):  # a store that is away, or that this user may only read
            note_driver_wait(self.stores.metadata, self.run, self._noted)

    def end(self, why: str) -> bool:
        """Record that the run has failed, since it gets no driver: ``why``; False: the run is over already."""
        current = self.stores.metadata.run_by_id(self.run.id)
        if current is None or current.state != "running":
            return False
        with contextlib.suppress(HeadraceError):  # another process has taken it
            end_undriven(self.stores.metadata, self.run, why)
        return True


def follow(
    followed: FollowedRun,
    options: Options,
    conclude: Callable[[FollowedRun], int],
    trouble: Trouble | None = None,
) -> int:
    """Show a run until it is over, and ``conclude`` it; returns the exit code. Ctrl-C ends the showing, not the run.

    ``trouble`` says why the run has no driver at the moment (empty: it is on its way), and whether it never will;
    None: it does not know.
    """
    run = followed.run
    watch = make_watch(quiet=options.quiet)
    problem = ""
    with lasting_output():
        watch.begin(followed)
        try:
            problem = _watch(followed, options, trouble, watch)
        except KeyboardInterrupt:
            problem = "detached"
        finally:
            watch.end()
    if problem == "detached":
        _tell_detached(run.name, options)
        return 130
    if problem:
        click.echo(f"headrace: {run.name}: {problem}", err=True)
        click.echo(f"Once that is mended: headrace resume {run.name} --code recorded", err=True)
        return 1
    return conclude(followed)


def follow_handed_over(handed: HandedOver, options: Options, conclude: Callable[[FollowedRun], int]) -> int:
    """Start the driver of a run that was handed over, and show the run until it is over."""
    from headrace.cli.options import open_here
    from headrace.wiring.drivers import start_driver

    scope = open_here()
    words = [*handed.words, *(word for one in sorted(options.ignore) for word in ("--ignore", one))]
    words += ["--containers", options.containers] if options.containers else []
    job = start_driver(scope, handed.run, handed.place, tuple(words))
    if not options.quiet:
        click.echo(f"{handed.run.name}: its driver is in place {handed.place!r}; Ctrl-C leaves it there", err=True)
    return follow(FollowedRun(scope.stores, handed.run), options, conclude, job.trouble)


def _watch(followed: FollowedRun, options: Options, trouble: Trouble | None, watch: Watch) -> str:
    """Look until the run is over; returns why it will not go on."""
    asked, said = time.monotonic(), ""
    while True:
        printed = followed.look()
        if printed:
            out = sys.stderr if options.json else sys.stdout
            out.write(printed)
            out.flush()
        if not followed.driver:
            return ""
        if followed.driver == "alive" or time.monotonic() - asked < _PATIENCE:
            time.sleep(_LOOK)
            continue
        asked = time.monotonic()
        told = None if trouble is None else trouble()
        if told is None:
            if followed.driver == "gone":
                return "the process that drove it is gone"
            continue
        why, final = told
        if final:
            if followed.end(why):
                return why
            continue
        followed.note_wait(why)
        if why and why != said and not options.quiet:
            watch.say(f"driver: {why}")
        said = why


def _tell_detached(run: str, options: Options) -> None:
    if options.json:
        return
    click.echo(f"\n{run} goes on without this terminal.", err=True)
    for what, command in (("follow", "follow"), ("cancel", "cancel"), ("resume", "resume")):
        after = "   (when it is over)" if what == "resume" else ""
        click.echo(f"  {what:<7} headrace {command} {run}{' --code recorded' if after else ''}{after}", err=True)
