"""Not a flow: how much of the log was kept."""

from metaflow import Flow

task = Flow("Talks").latest_run["start"].task
lines = task.stdout.splitlines()
print(lines[0][:10], lines[-1], lines.count("[TRUNCATED - MAXIMUM LOG FILE SIZE REACHED]"), task.stderr)
print(400_000 < len(task.stdout) < 1_100_000)
