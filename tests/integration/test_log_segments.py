"""Output that is long lies in segments in the artifact store; readers of logs see no difference."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from headrace.model.records import LogChunk, LogSegment, TaskId
from headrace.services.log_segments import SEGMENT

if TYPE_CHECKING:
    from tests.integration.conftest import Project

LOUD = """
@step
def loud(lines):
    for n in range(lines):
        print("line", n, "x" * 90)
        if n % 1000 == 0:
            print("error", n, file=sys.stderr)
    while lines == 5000 and not os.path.exists("go"):
        time.sleep(0.01)
    return lines

@flow
def train(lines: int = 5000):
    return loud(lines)

if __name__ == "__main__":
    train()
"""

LINES = [f"line {n} {'x' * 90}" for n in range(5000)]


def command(project: Project, *argv: str) -> str:
    done = project.finish(project.start("-m", "headrace.cli", *argv))
    assert done.code == 0, done.err
    return done.out


def test_long_output_of_a_live_run_is_moved_and_can_be_followed(project: Project) -> None:
    process = project.start(str(project.write(LOUD)))
    project.eventually(lambda: project.metadata.latest_run() is not None, 20)
    run = project.last()
    project.eventually(lambda: list(project.metadata.tasks(run.id)), 20)  # the run is there before its first task
    follower = project.start("-m", "headrace.cli", "logs", "train/1/loud/1", "-f", "--stdout")
    project.eventually(lambda: project.metadata.segments(run.id), 20)
    time.sleep(0.5)  # more of it is read while it is moved
    (project.path / "go").touch()
    assert project.finish(process).code == 0
    assert project.finish(follower).out.splitlines() == LINES

    rows = project.metadata.logs(run.id, TaskId("loud", 1))
    kept = sum(len(one.data) for one in rows if isinstance(one, LogChunk) and one.stream == "out")
    segments = [one for one in rows if isinstance(one, LogSegment)]
    assert segments
    assert kept < SEGMENT
    assert kept + sum(one.blob.size for one in segments) == sum(len(line) + 1 for line in LINES)
    assert {one.stream for one in segments} == {"out"}  # the few errors stay in rows

    assert command(project, "logs", "train/1/loud/1", "--stdout").splitlines() == LINES
    errors = command(project, "logs", "train/1/loud/1", "--stderr")
    assert errors.splitlines() == [f"error {n}" for n in range(0, 5000, 1000)]
    script = "import headrace; print(headrace.Run('train/1')['loud'][1].stdout, end='')"
    read = project.finish(project.start("-c", script))
    assert read.out.splitlines() == LINES, read.err


def test_segments_go_with_their_run_and_travel_with_it(project: Project) -> None:
    (project.path / "go").touch()
    project.succeed(LOUD)
    command(project, "run", "train.py", "--lines", "10")
    assert project.metadata.segments(project.last().id) == []  # ten lines are no reason for a blob
    [first, second] = [project.metadata.run("train", number) for number in (1, 2)]
    assert first is not None
    assert second is not None
    names = {one.blob.hex for one in project.metadata.segments(first.id)}
    assert names
    command(project, "export", "train/1", "one.run")
    command(project, "gc", "--delete", "--grace", "0s")
    assert command(project, "logs", "train/1/loud/1", "--stdout").splitlines() == LINES
    command(project, "rm", "train/1", "--yes")
    assert project.metadata.segments(first.id) == []
    command(project, "import", "one.run")
    copy = project.metadata.latest_run()
    assert copy is not None
    assert {one.blob.hex for one in project.metadata.segments(copy.id)} == names
    assert command(project, "logs", f"{copy.name}/loud/1", "--stdout").splitlines() == LINES
    for file in project.home.glob("artifacts/**/*"):
        if any(name.endswith(file.name) and len(file.name) > 50 for name in names):
            file.chmod(0o644)
            file.unlink()
    out = command(project, "logs", f"{copy.name}/loud/1")
    assert "bytes of output are gone]" in out
    assert "error 1000" in out
