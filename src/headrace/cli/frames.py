"""The lines of the live display, as rich texts cut to the width of the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.text import Text

from headrace._base.sizes import format_duration
from headrace.cli.output import bar, clean, cut

if TYPE_CHECKING:
    from headrace.cli.progress import Progress

_NAME_MAX = 30


def clock(seconds: float) -> str:
    """``0:42``, ``12:03``, ``1:02:03``."""
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{whole // 60}:{whole % 60:02d}"


def head_line(run: str, steps: Mapping[str, Progress], elapsed: float, width: int) -> Text:
    """The run and how many tasks of it run now."""
    running = sum(step.counts.get("running", 0) for step in steps.values())
    waiting = sum(step.open for step in steps.values()) - running
    rest = f"  {clock(elapsed)}  {running} running" + (f", {waiting} waiting" if waiting else "")
    text = Text(cut(run, max(8, width - len(rest) - 1)), style="bold", no_wrap=True)
    return text.append(rest, style="not bold")


def steps_table(steps: Mapping[str, Progress], now: float, width: int, height: int) -> list[Text]:
    """A line per step; where there are too many, finished ones are counted only."""
    shown = list(steps)
    hidden = 0
    if len(shown) > height:
        busy = [name for name in shown if steps[name].open]
        rest = [name for name in shown if not steps[name].open]
        keep = set((busy + rest[::-1])[: height - 1])
        hidden = len(shown) - len(keep)
        shown = [name for name in shown if name in keep]
    wide = min(_NAME_MAX, max((len(name) for name in shown), default=0), max(8, width // 3))
    lines = [_step_line(name, steps[name], now, wide, width) for name in shown]
    if hidden:
        lines.insert(0, Text(f"  ... and {hidden} more steps", style="dim", no_wrap=True))
    return lines


def _step_line(name: str, step: Progress, now: float, wide: int, width: int) -> Text:
    length = 10 if width < 70 else 20 if width < 110 else 30
    colour = "red" if step.failed else "green" if not step.open else "cyan"
    text = Text("  ", no_wrap=True)
    text.append(cut(clean(name), wide).ljust(wide))
    text.append("  ")
    text.append(bar(step.done, step.total, length), style=colour)
    text.append(f"  {f'{step.done}/{step.total}':>7}")
    elapsed = step.elapsed(now)
    text.append(f"  {format_duration(elapsed) if elapsed else '':>8}", style="dim")
    running = step.counts.get("running", 0)
    if running:
        text.append(f"  {running} running", style="cyan")
    if step.failed:
        text.append(f"  {step.failed} failed", style="red")
    for state in ("delayed", "cancelled"):
        if step.counts.get(state):
            text.append(f"  {step.counts[state]} {state}", style="yellow")
    text.truncate(width - 1, overflow="ellipsis")
    return text


def last_line(source: str, line: str, width: int) -> Text:
    """The last line that any task wrote."""
    text = Text(f"  {source} | {clean(line)}", style="dim", no_wrap=True)
    text.truncate(width - 1, overflow="ellipsis")
    return text
