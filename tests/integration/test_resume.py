"""Going on with a run: after an edit, after its bytes were damaged, twice at once, while the clock goes wrong."""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from headrace import flow, step
from headrace._base.process import process_owner
from headrace.model.errors import NotFoundError, RunBusyError
from headrace.model.records import LEASE_SECONDS, TaskId, lease_name
from headrace.model.states import RunState, TaskState

if TYPE_CHECKING:
    from tests.integration.conftest import Project

# --- edited code --------------------------------------------------------------------------------------------------

#: Every task leaves its name in a file. CHECK is what gets edited.
EDITED = """
def note(name: str) -> None:
    with open("ran", "a") as file:
        file.write(name + "\\n")

@step
def load() -> list[int]:
    note("load")
    return list(range(20))

@step
def check(n: int) -> int:
    note(f"check {n}")
    CHECK
    return n

@step
def other(n: int) -> int:
    note("other")
    return n

@flow
def train() -> int:
    items = load()
    other(7)
    parts = check.map(items)
    return sum(part.result() for part in parts)

if __name__ == "__main__":
    train()
"""
BROKEN, MENDED = "assert n != 19, 'nineteen'", "assert n != 190"


def ran(project: Project) -> Counter[str]:
    file = project.path / "ran"
    lines = Counter(file.read_text().split("\n")[:-1]) if file.exists() else Counter()
    file.unlink(missing_ok=True)
    return lines


def go_on(project: Project, arguments: str = "") -> str:
    code = f"import headrace, sys; sys.exit(headrace.resume('train/1'{arguments}).state != 'succeeded')"
    done = project.finish(project.start("-c", code))
    assert done.code == 0, done.err
    return done.err


def test_after_an_edit_the_tasks_of_the_edited_step_run_and_no_others(project: Project) -> None:
    err = project.fail(EDITED.replace("CHECK", BROKEN))
    assert "nineteen" in err
    first = ran(project)
    assert first == Counter({"load": 1, "other": 1, **{f"check {n}": 1 for n in range(20)}})
    assert project.last().failed_task == "check/20"
    project.write(EDITED.replace("CHECK", MENDED))
    go_on(project)
    assert ran(project) == Counter({f"check {n}": 1 for n in range(20)})
    assert project.last().state is RunState.SUCCEEDED
    assert {task.state for task in project.tasks()} == {TaskState.SUCCEEDED}
    assert {task.number: task.attempts for task in project.tasks("check")} == dict.fromkeys(range(1, 21), 2)
    go_on(project)
    assert ran(project) == Counter()


def test_results_of_edited_steps_are_kept_when_asked_to(project: Project) -> None:
    project.fail(EDITED.replace("CHECK", BROKEN))
    ran(project)
    project.write(EDITED.replace("CHECK", MENDED))
    go_on(project, ", reuse_changed=True")
    assert ran(project) == Counter({"check 19": 1})


def test_comments_are_no_edit(project: Project) -> None:
    project.fail(EDITED.replace("CHECK", BROKEN))
    ran(project)
    project.write(EDITED.replace("CHECK", BROKEN + "  # it was like this already\n\n"))
    code = "import headrace; headrace.resume('train/1')"
    project.finish(project.start("-c", code))
    assert ran(project) == Counter({"check 19": 1})


def test_steps_named_run_again_with_what_follows(project: Project) -> None:
    project.succeed(EDITED.replace("CHECK", "pass"))
    ran(project)
    go_on(project, ", again='other'")
    assert ran(project) == Counter({"other": 1})
    go_on(project, ", again=('load',)")
    assert ran(project) == Counter({"load": 1})  # its result is the same, so what takes it is, too


# --- damaged bytes ------------------------------------------------------------------------------------------------

BIG = 200_000
WEIGHING = """
BIG = 200_000

@step
def make(n: int) -> bytes:
    with open("made", "a") as file:
        file.write(f"make {n}\\n")
    return bytes([n]) * BIG

@step
def weigh(data: bytes, factor: int) -> int:
    return factor * (data[0] + data[-1] + len(data))

@flow
def weighing(factors: list[int] = [1]) -> list[int]:
    parts = [make.submit(n) for n in (1, 2)]
    return [weigh.submit(part, factor).result() for part in parts for factor in factors]

if __name__ == "__main__":
    weighing()
"""


@step
def make(n: int) -> bytes:
    with Path("made").open("a") as file:
        file.write(f"make {n}\n")
    return bytes([n]) * BIG


@flow
def weighing(factors: list[int]) -> list[int]:
    return [factor * make(2)[0] for factor in factors]


def made(project: Project) -> list[str]:
    return sorted((project.path / "made").read_text().splitlines())


def blob_file(project: Project, number: int) -> Path:
    found = project.metadata.outputs(project.last().id, [TaskId("make", number)])
    (blob,) = found[TaskId("make", number)]["result"].value.blobs
    return project.home / "artifacts" / blob.hex[:2] / blob.hex[2:]


def overwrite(file: Path, content: bytes) -> None:
    file.chmod(0o644)
    file.write_bytes(content)


@pytest.mark.parametrize("damage", ["missing", "truncated", "emptied", "altered"])
def test_a_result_whose_bytes_are_gone_or_wrong_is_made_again(project: Project, damage: str) -> None:
    project.succeed(WEIGHING)
    assert made(project) == ["make 1", "make 2"]
    file = blob_file(project, 2)
    data = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        overwrite(file, {"truncated": data[:1000], "emptied": b"", "altered": data[:-1] + b"\xff"}[damage])
    code = "import headrace; print(headrace.resume('weighing/1', factors=[1, 3]).result)"
    done = project.finish(project.start("-c", code))
    assert done.out.strip() == str([factor * (2 * n + BIG) for n in (1, 2) for factor in (1, 3)])
    assert made(project) == ["make 1", "make 2", "make 2"]
    assert blob_file(project, 2).read_bytes() == data
    assert {task.state for task in project.tasks()} == {TaskState.SUCCEEDED}


def test_a_result_that_the_flow_reads_itself_is_made_again(here: Project) -> None:
    @flow
    def reading() -> int:
        part = make.submit(3)
        assert part.done() or part.exception() is None
        from headrace.stores.artifacts.local import LocalStore

        found = here.metadata.outputs(here.last().id, [TaskId("make", 1)])[TaskId("make", 1)]
        store = LocalStore(here.home / "artifacts")
        if not Path("damaged").exists():
            Path("damaged").touch()
            store.delete([found["result"].value.blobs[0].digest])
        part._value = _unread()
        return sum(part.result())

    assert reading() == 3 * BIG
    assert made(here) == ["make 3", "make 3"]


def _unread() -> Any:
    from headrace.frontends.native import futures

    return futures._UNREAD


# --- who may go on ------------------------------------------------------------------------------------------------

#: From its 20th task on it waits for a file.
GATED = """
@step
def work(n: int) -> int:
    while n > 20 and not os.path.exists("go"):
        time.sleep(0.01)
    return n

@flow
def train() -> int:
    return sum(one.result() for one in work.map(range(60)))

if __name__ == "__main__":
    train()
"""


def at_work(project: Project) -> bool:
    if not (project.home / "metadata.db").exists() or project.metadata.latest_run() is None:
        return False
    return len(project.tasks("work")) > 5


def test_of_two_resumes_at_once_one_wins_and_the_other_is_told(project: Project) -> None:
    process = project.start(str(project.write(GATED)))
    project.eventually(lambda: at_work(project))
    process.send_signal(signal.SIGKILL)
    project.finish(process)
    code = "import headrace; print(headrace.resume('train/1').state)"
    both = [project.start("-c", code) for _ in range(2)]
    project.eventually(lambda: any(one.poll() is not None for one in both), 30, "none of them gave up")
    (project.path / "go").touch()
    ends = sorted((project.finish(process) for process in both), key=lambda end: end.code)
    assert [end.code for end in ends] == [0, 1]
    assert ends[0].out.strip() == "succeeded"
    assert "RunBusyError: run train/1 " in ends[1].err
    assert all(task.attempts <= 2 for task in project.tasks())
    assert project.last().state is RunState.SUCCEEDED


def test_a_run_that_is_driven_cannot_be_resumed(project: Project) -> None:
    process = project.start(str(project.write(GATED)))
    project.eventually(lambda: at_work(project))
    done = project.finish(project.start("-c", "import headrace; headrace.resume('train/1')"))
    assert done.code == 1
    assert f"RunBusyError: run train/1 is being driven by process {process.pid}" in done.err
    (project.path / "go").touch()
    assert project.finish(process).code == 0
    assert {task.attempts for task in project.tasks()} == {1}


def test_a_driver_on_another_machine_is_waited_for_until_its_lease_ends(here: Project) -> None:
    weighing([1])
    run = here.last()
    lease = here.metadata.acquire(lease_name(run.id), "elsewhere:1:1-x", 60.0)
    assert lease is not None
    with pytest.raises(RunBusyError, match="process 1 on elsewhere"):
        headrace.resume("weighing/1")
    here.metadata.release(lease)
    over = here.metadata.acquire(lease_name(run.id), "elsewhere:1:1-x", -1.0)
    assert over is not None
    assert headrace.resume("weighing/1").state == "succeeded"


def test_a_resume_that_cannot_begin_lets_go_of_the_run(here: Project) -> None:
    weighing([1])
    with pytest.raises(NotFoundError, match="no task of step 'nobody'"):
        headrace.resume("weighing/1", again="nobody")
    assert here.metadata.lease(lease_name(here.last().id)) is None
    assert here.last().state is RunState.SUCCEEDED
    assert headrace.resume("weighing/1").state == "succeeded"


def test_the_lease_is_given_back_at_the_end(here: Project) -> None:
    weighing([1])
    assert here.metadata.lease(lease_name(here.last().id)) is None
    assert process_owner()
    assert LEASE_SECONDS <= 10  # a dead machine's runs can be resumed in seconds


# --- time ---------------------------------------------------------------------------------------------------------


def test_a_clock_set_back_an_hour_stops_nothing(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    offset = [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + offset[0])

    @step(retries=headrace.Retry(1, delay=0.2))
    def flaky() -> int:
        if not Path("tried").exists():
            Path("tried").touch()
            raise ValueError("not yet")
        return 4

    @step(timeout=0.5)
    def long() -> None:
        time.sleep(60)

    @flow
    def clocks() -> int:
        offset[0] -= 3600
        found = flaky()
        late = long.submit()
        offset[0] -= 3600
        with pytest.raises(headrace.TaskTimeoutError):
            late.result()
        headrace.sleep(0.3)
        waiting = time.monotonic()
        offset[0] -= 3600
        headrace.sleep(0.31)
        assert time.monotonic() - waiting < 5
        return found

    began = time.monotonic()

    assert clocks() == 4
    assert time.monotonic() - began < 15
    assert here.last().state is RunState.SUCCEEDED


def test_a_sleep_ends_although_the_clock_is_set_back_meanwhile(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    real, began = time.time, time.monotonic()
    monkeypatch.setattr(time, "time", lambda: real() - (3600 if time.monotonic() - began > 1.0 else 0))

    @flow
    def sleeper() -> float:
        headrace.sleep(1.5)
        return time.monotonic() - began

    assert sleeper() < 6
