"""What a no-op task costs on a warm worker over TCP, with PostgreSQL and an S3 server on the same machine.

    python bench/remote.py                 # beside the same task on a forked worker of this machine

Both kinds of task run by turns in one run, each waiting for the one before; the medians are shown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from headrace.testing.postgres import postgres_server
from headrace.testing.servers import rclone_s3

FLOW = """
import statistics, sys, time
from headrace import flow, step

@step(place="far")
def there(n: int) -> int:
    return n

@step
def here(n: int) -> int:
    return n

@flow
def turns(count: int = 200) -> list[float]:
    seconds = {"there": [], "here": []}
    for n in range(count + 20):
        for one in (there, here):
            began = time.perf_counter()
            assert one(n) == n
            if n >= 20:
                seconds[one.name].append(time.perf_counter() - began)
    medians = [statistics.median(seconds[name]) for name in ("there", "here")]
    print("MEDIANS", *medians)
    return medians
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="tasks of each kind")
    count = parser.parse_args().count
    with postgres_server() as database, rclone_s3() as (bucket, settings), tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "turns.py").write_text(FLOW)
        (project / "pyproject.toml").write_text(
            '[tool.headrace.places.far]\nkind = "workers"\nlisten = "127.0.0.1:7749"\n'
        )
        environ = {**os.environ, **{name.upper(): value for name, value in settings.items()}}
        environ |= {"HEADRACE_DATABASE": database, "HEADRACE_ARTIFACTS": bucket}
        command = [sys.executable, "-m", "headrace.cli"]
        run = subprocess.Popen(
            [*command, "run", "turns.py", "--count", str(count)],
            cwd=project,
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        token = project / ".headrace" / "places" / "far.join"
        while not token.exists() and run.poll() is None:
            time.sleep(0.05)
        joining = ["worker", "--connect", "127.0.0.1:7749", "--secret-file", str(token), "--once", "--workers", "1"]
        worker = subprocess.Popen([*command, *joining, "--root", str(project / "work")], env=environ)
        said, _ = run.communicate()
        worker.terminate()
        worker.wait()
        there, here = (float(one) for one in said.partition("MEDIANS")[2].split()[:2])
        print(f"elsewhere {there * 1000:.2f} ms, forked here {here * 1000:.2f} ms, ratio {there / here:.1f}")


if __name__ == "__main__":
    main()
