"""Watching a run that this process drives: a live display for who looks, plain lines for a file or a pipe.

A thread looks at the session about ten times a second. It only reads, and what it prints never holds up the
run.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from headrace._base.process import is_unwritable
from headrace.cli.failure_lines import FailureLines
from headrace.cli.progress import Progress

if TYPE_CHECKING:
    from headrace.model.records import RunRecord
    from headrace.services.stores import Stores

_EVERY = 0.1
#: Runs that are over sooner show their summary only.
_PATIENCE = 0.25
#: Shorter times of steps are not told: they are seen about ten times a second.
_TOLD = 1.0
#: Seconds between two lines on the progress of one step.
_PROGRESS = 10.0


class Watched(Protocol):
    """A run that can be shown as it goes: the session that drives it, or what the store says of it."""

    run: RunRecord
    stores: Stores
    reuse_changed: bool

    def counts(self) -> dict[str, dict[str, int]]:
        """Numbers of tasks by step and state."""

    @property
    def failure(self) -> BaseException | None:
        """Why its driver cannot go on; None if it can."""

    @property
    def reused(self) -> int:
        """How many tasks took a result from the cache or another run."""

    @property
    def changed_steps(self) -> list[str]:
        """Names of the steps whose code has changed since an earlier session."""

    @property
    def last_line(self) -> tuple[str, str]:
        """The newest line of output of any task: name of the task, and text."""


class Watch:
    """Watches one session from ``begin`` to ``end``; subclasses show what it sees. ``quiet`` ones show nothing."""

    def __init__(self) -> None:
        self.session: Watched | None = None
        self.out: TextIO = sys.stdout
        self.steps: dict[str, Progress] = {}
        self.started = time.time()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._told: set[str] = set()
        self._failures = FailureLines()

    def begin(self, session: Watched) -> None:
        """Called as an observer, in the thread that will run the flow, before what it prints is copied to its log.

        We print to stdout as it is now: later it also feeds the log of the run, where we have no business. Of
        several runs (a hook that starts another flow, say) only the first is watched.
        """
        if self.session is not None:
            return
        self.session = session
        self.out = sys.stdout
        self._thread = threading.Thread(target=self._main, name="headrace-watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """The run is over: show the last of it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _main(self) -> None:
        from headrace.model.errors import HeadraceError

        try:
            while not self._stop.wait(_EVERY):
                self._look()
            self._look()
            self.finish()
        except HeadraceError:
            self.abandon()  # the store is gone: the run itself will say so, and better
        except (OSError, ValueError) as error:
            if not is_unwritable(error):
                raise
            self.abandon()

    def _look(self) -> None:
        session = self.session
        assert session is not None
        now = time.time()
        for step, counts in session.counts().items():
            progress = self.steps.get(step)
            if progress is None:
                progress = self.steps[step] = Progress(now)
            progress.see(counts, now)
        for name in session.changed_steps:
            if name not in self._told:
                self._told.add(name)
                kept = session.reuse_changed
                self.say(f"{name}: its code changed; " + ("its results are kept" if kept else "its tasks run again"))
        self.update(now)

    def new_failures(self) -> list[str]:
        """Lines about tasks that failed since the last call."""
        session = self.session
        if session is None:
            return []
        return self._failures.new(session.stores.metadata, session.run, self.steps)

    # --- for subclasses -------------------------------------------------------------------------------------------

    def say(self, line: str) -> None:
        """Show one line."""

    def update(self, now: float) -> None:
        """Show ``steps`` as they are now."""

    def finish(self) -> None:
        """Nothing will change any more."""

    def abandon(self) -> None:
        """Nothing can be shown any more; the run goes on unseen."""


class _WholeLines:
    """Stands in for stdout: passes on what the flow prints line by line, so that no other line comes inside of one."""

    def __init__(self, original: TextIO, lock: threading.RLock) -> None:
        self._original = original
        self._lock = lock
        self._line = ""

    def write(self, text: str) -> int:
        with self._lock:
            lines, newline, self._line = (self._line + text).rpartition("\n")
            if newline:
                self._original.write(lines + newline)
        return len(text)

    def flush(self) -> None:
        with self._lock:
            line, self._line = self._line, ""
            if line:
                self._original.write(line)
            self._original.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


class Lines(Watch):
    """Plain lines: when a step starts, goes on for long, finishes, and when a task fails."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._flow: _WholeLines | None = None

    def begin(self, session: Watched) -> None:
        """See ``Watch``."""
        if self.session is not None:
            return
        super().begin(session)
        sys.stdout = self._flow = _WholeLines(self.out, self._lock)

    def end(self) -> None:
        """See ``Watch``."""
        super().end()
        if self._flow is not None:
            sys.stdout = self.out
            self._flow.flush()

    def say(self, line: str) -> None:
        """See ``Watch``."""
        from headrace.cli.output import clean

        with self._lock:
            self.out.write(f"{clean(line)}\n")
            self.out.flush()

    def update(self, now: float) -> None:
        """See ``Watch``."""
        for line in self.new_failures():
            self.say(line)
        for name, step in self.steps.items():
            done, when = step.reported
            if not done and when == step.since:
                if step.open:
                    self.say(f"{name}: started")
                when = now + 1e-6
                step.reported = (0, when)
            if step.open:
                if now - when >= _PROGRESS and step.done != done:
                    self._report(name, step, now)
            elif step.done != done or (step.failed and when < step.changed):
                self._report(name, step, now)

    def _report(self, name: str, step: Progress, now: float) -> None:
        from headrace._base.sizes import format_duration

        others = [f"{n} {state}" for state, n in step.counts.items() if state != "succeeded"]
        detail = "".join(f", {one}" for one in others)
        elapsed = step.elapsed(now)
        took = f" in {format_duration(elapsed)}" if elapsed >= _TOLD else ""
        self.say(f"{name}: {step.done}/{step.total} done{detail}{took}")
        step.reported = (step.done, now)


class _Above:
    """Stands in for stdout: what the flow prints scrolls above the display while there is one."""

    def __init__(self, original: TextIO, display: Display) -> None:
        self._original = original
        self._display = display
        self._line = ""
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        if not self._display.is_open:
            return self._original.write(text)
        with self._lock:
            *lines, self._line = (self._line + text).split("\n")
        if lines:
            self._display.print_above("\n".join(lines))
        return len(text)

    def flush(self) -> None:
        self._original.flush()

    def drain(self) -> None:
        """Print what is left of an unfinished line, now that the display is gone."""
        line, self._line = self._line, ""
        self._original.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


class Display(Watch):
    """A live display below what the flow prints: one line per step, and the last line that any task wrote."""

    def __init__(self) -> None:
        super().__init__()
        self._live: Any = None
        self._streams: tuple[TextIO, TextIO] = (sys.stdout, sys.stderr)
        self._above: list[_Above] = []

    @property
    def is_open(self) -> bool:
        """Whether the display is on the screen."""
        return self._live is not None

    def begin(self, session: Watched) -> None:
        """See ``Watch``."""
        if self.session is not None:
            return
        self._streams = (sys.stdout, sys.stderr)
        self._above = [_Above(sys.stdout, self)]
        if sys.stderr.isatty():
            self._above.append(_Above(sys.stderr, self))
            sys.stderr = self._above[1]
        super().begin(session)
        sys.stdout = self._above[0]

    def end(self) -> None:
        """See ``Watch``."""
        super().end()
        if self._above:
            sys.stdout, sys.stderr = self._streams
            for stream in self._above:
                stream.drain()

    def print_above(self, text: str, style: str = "") -> None:
        """Print lines above the display."""
        from rich.text import Text

        shown = Text(text, style=style) if style else Text.from_ansi(text)
        self._live.console.print(shown, soft_wrap=True)

    def say(self, line: str) -> None:
        """See ``Watch``."""
        self._open()
        self.print_above(line, "yellow")

    def update(self, now: float) -> None:
        """See ``Watch``."""
        if self._live is None:
            if now - self.started < _PATIENCE or self._stop.is_set():
                return
            self._open()
        for line in self.new_failures():
            self.print_above(line, "red")
        self._live.update(self._frame(now), refresh=True)

    def finish(self) -> None:
        """See ``Watch``."""
        if self._live is not None:
            live, frame = self._live, self._frame(time.time(), last=True)
            live.update(frame, refresh=True)
            self._live = None
            live.stop()

    def abandon(self) -> None:
        """See ``Watch``."""
        live, self._live = self._live, None
        if live is not None:
            with contextlib.suppress(OSError, ValueError):  # it says good-bye to the terminal that is gone
                live.stop()

    def _open(self) -> None:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            plain = bool(os.environ.get("NO_COLOR"))  # no dim and bold then either, as everywhere here
            console = Console(file=self.out, highlight=False, soft_wrap=False, color_system=None if plain else "auto")
            live = Live(
                console=console,
                auto_refresh=False,
                vertical_overflow="crop",
                redirect_stdout=False,
                redirect_stderr=False,
            )
            live.start()
            self._live = live

    def _frame(self, now: float, *, last: bool = False) -> Any:
        from rich.console import Group

        from headrace.cli.frames import head_line, last_line, steps_table

        assert self.session is not None
        console = self._live.console
        name = self.session.run.name
        parts: list[Any] = [] if last else [head_line(name, self.steps, now - self.started, console.width)]
        parts += steps_table(self.steps, now, console.width, max(3, console.height - 4))
        source, text = self.session.last_line
        if text and not last:
            parts.append(last_line(source, text, console.width))
        return Group(*parts)


def make_watch(*, quiet: bool) -> Watch:
    """What shows a run here."""
    from headrace.cli.output import is_terminal

    if quiet:
        return Silent()
    import os

    return Display() if is_terminal() and os.environ.get("TERM") != "dumb" else Lines()


class Silent(Watch):
    """Remembers the session, shows nothing."""

    def begin(self, session: Watched) -> None:
        """See ``Watch``."""
        self.session = self.session or session

    def end(self) -> None:
        """Nothing to stop."""
