"""Processes that an import or a step started end with the run, whatever session they are in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Project

STARTED = {
    "a program": """
        import subprocess
        subprocess.Popen(["sleep", "100"])
    """,
    "a program in its own session": """
        import subprocess
        subprocess.Popen(["sleep", "100"], start_new_session=True)
    """,
    "a daemon": """
        import subprocess
        subprocess.run(["sh", "-c", "setsid sleep 100 & setsid sleep 101 &"])
    """,
    "a manager": """
        import multiprocessing
        HELD = multiprocessing.get_context("fork").Manager()
    """,
    "a tracker of resources": """
        from multiprocessing import shared_memory
        HELD = shared_memory.SharedMemory(create=True, size=10)
    """,
    "workers of joblib": """
        import joblib
        HELD = joblib.Parallel(2)(joblib.delayed(abs)(i) for i in range(3))
    """,
    "a pool": """
        from concurrent.futures import ProcessPoolExecutor
        HELD = ProcessPoolExecutor(2)
        HELD.submit(abs, 1).result()
    """,
}

WITH_THREAD = """
import threading
from helper import *

@step
def look(n):
    return n + 1

@flow
def main():
    return look(look(0))

if __name__ == "__main__":
    threading.Thread(target=threading.Event().wait, daemon=True).start()  # so that a fresh interpreter imports it all
    print(main())
"""


@pytest.mark.parametrize("what", STARTED)
def test_what_an_import_started_in_a_fresh_interpreter_ends_with_the_run(what: str, project: Project) -> None:
    helper = "import sys\nif 'headrace.worker.server' in sys.argv[0] or sys.argv[0].endswith('server.py'):\n"
    helper += "".join(f"    {line.strip()}\n" for line in STARTED[what].strip().splitlines())
    (project.path / "helper.py").write_text(helper)
    done = project.finish(project.start(str(project.write(WITH_THREAD))))  # waits for the end of its output too
    assert done.code == 0, done.err
    assert done.out.split() == ["2"]
    project.assert_nothing_left()


@pytest.mark.parametrize("what", STARTED)
def test_what_a_step_started_ends_with_the_run(what: str, project: Project) -> None:
    body = "".join(f"    {line.strip()}\n" for line in STARTED[what].strip().splitlines())
    file = project.write("")
    file.write_text(
        f"from headrace import flow, step\n\n@step\ndef begin():\n{body}    return 2\n\n"
        "@flow\ndef main():\n    return begin()\n\nif __name__ == '__main__':\n    print(main())\n"
    )
    done = project.finish(project.start(str(file)))
    assert done.code == 0, done.err
    assert done.out.split() == ["2"]
    project.assert_nothing_left()


def test_process_that_ran_a_flow_ends_without_the_last_collection(project: Project) -> None:
    printed = project.succeed(
        """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 0))  # called after what comes later
from headrace import flow, step

@step
def double(n):
    return 2 * n

@flow
def main():
    return double(1)

if __name__ == "__main__":
    print(main())
"""
    )
    assert printed.split() == ["2", "True"]
