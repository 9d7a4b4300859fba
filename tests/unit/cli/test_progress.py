"""What the live view knows of a step."""

from __future__ import annotations

from headrace.cli.progress import Progress


def test_the_time_of_a_step_begins_with_its_first_task() -> None:
    progress = Progress(10.0)
    progress.see({"waiting": 2}, 11.0)
    progress.see({"waiting": 1, "ready": 1}, 12.0)
    assert progress.elapsed(12.0) == 0
    progress.see({"waiting": 1, "running": 1}, 13.0)
    progress.see({"succeeded": 2}, 14.5)
    assert progress.elapsed(20.0) == 2.5
