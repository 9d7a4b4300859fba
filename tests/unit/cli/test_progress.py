"""What the live view knows of a step."""

from __future__ import annotations

import io

from headrace.cli.live import Lines, _WholeLines
from headrace.cli.progress import Progress


def test_the_time_of_a_step_begins_with_its_first_task() -> None:
    progress = Progress(10.0)
    progress.see({"waiting": 2}, 11.0)
    progress.see({"waiting": 1, "ready": 1}, 12.0)
    assert progress.elapsed(12.0) == 0
    progress.see({"waiting": 1, "running": 1}, 13.0)
    progress.see({"succeeded": 2}, 14.5)
    assert progress.elapsed(20.0) == 2.5


def test_progress_lines_never_come_inside_of_a_line_that_the_flow_prints() -> None:
    shown = io.StringIO()
    lines = Lines()
    lines.out = shown
    flow = _WholeLines(shown, lines._lock)
    flow.write("about 512 leaves")
    lines.say("fit: 1/1 done")
    flow.write("\n")
    flow.write("one\ntwo\nthree")
    lines.say("fit: 2/2 done")
    flow.flush()
    assert shown.getvalue() == "fit: 1/1 done\nabout 512 leaves\none\ntwo\nfit: 2/2 done\nthree"
