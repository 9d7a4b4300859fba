"""What a step asks for, and what a run promises about it: resources, retries, time, memory, cache, cancellation."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from headrace import Retry, flow, step
from headrace.frontends.native.launch import Ended, Launch, run_flow
from headrace.model.errors import DefinitionError, ResourceError
from headrace.wiring import machine, scope_here

if TYPE_CHECKING:
    from tests.integration.conftest import Project

MIB = 1 << 20


@step
def stamp(number: int, seconds: float = 0.4) -> tuple[float, float]:
    """When it ran. Longer than workers take to start where the machine is busy."""
    began = time.monotonic()
    time.sleep(seconds)
    return began, time.monotonic()


@step
def worker(_n: int = 0) -> int:
    return os.getpid()


@step
def variable(name: str) -> str | None:
    return os.environ.get(name)


@step
def flaky(counter: str, failures: int, kind: type[Exception] = ValueError) -> int:
    """Fails some times, then returns the number of its attempt."""
    with open(counter, "a") as file:
        file.write("x")
    tries = Path(counter).stat().st_size
    if tries <= failures:
        raise kind(f"try {tries}")
    return tries


@step
def occupy(mebibytes: int, seconds: float = 5.0) -> int:
    block = bytearray(mebibytes * MIB)
    block[::4096] = b"x" * len(block[::4096])
    time.sleep(seconds)
    return len(block)


@step
def slow(seconds: float = 60) -> None:
    time.sleep(seconds)


@step
def bad(after: float = 0) -> None:
    time.sleep(after)
    raise ValueError("bad")


def most_at_once(spans: list[tuple[float, float]]) -> int:
    """The greatest number of spans that overlap."""
    edges = sorted([(a, 1) for a, _ in spans] + [(b, -1) for _, b in spans])
    now = most = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most


# --- resources -------------------------------------------------------------------------------------------------------


def spans_of(work: Any, count: int, at_once: int = 0, **options: Any) -> list[tuple[float, float]]:
    @flow(**options)
    def train() -> list[tuple[float, float]]:
        return [future.result() for future in work.map(range(count))]

    return run_flow(train, {}, Launch(scope=scope_here(), max_parallel=at_once)).value  # type: ignore[no-any-return]


def test_cores_bound_what_runs_at_once(here: Project) -> None:
    cores = int(machine().cpu)
    assert most_at_once(spans_of(stamp, cores * 2)) == cores
    assert most_at_once(spans_of(stamp.options(cpu=cores), 3)) == 1
    assert most_at_once(spans_of(stamp.options(cpu=cores / 4), 8)) == 4
    assert most_at_once(spans_of(stamp.options(cpu=0), 6)) == 6


def test_memory_bounds_what_runs_at_once(here: Project) -> None:
    third = machine().memory * 2 // 5
    assert most_at_once(spans_of(stamp.options(cpu=0.1, memory=third), 4)) == 2


def test_devices_bound_what_runs_at_once_and_are_told_apart(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")

    @step(cpu=0.1, gpu=1)
    def train_one(_n: int) -> tuple[float, float, str]:
        began = time.monotonic()
        time.sleep(0.15)
        return began, time.monotonic(), os.environ["CUDA_VISIBLE_DEVICES"]

    @flow
    def train() -> Any:
        spans = [f.result() for f in train_one.map(range(5))]
        both = variable.options(gpu=2)("CUDA_VISIBLE_DEVICES")
        return spans, both, variable("CUDA_VISIBLE_DEVICES")

    spans, both, none = train()
    assert most_at_once([(a, b) for a, b, _ in spans]) == 3
    assert {device for _, _, device in spans[:3]} == {"0", "1", "2"}
    assert both is not None and len(both.split(",")) == 2
    assert none == "0,1,2"


def test_devices_are_those_that_the_driver_may_see(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7")

    @flow
    def train() -> Any:
        return variable.options(gpu=2)("CUDA_VISIBLE_DEVICES")

    assert train() == "4,GPU-7"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpu": 10_000}, r"asks for 10000 cpus, but this machine has"),
        ({"memory": "900TiB"}, r"asks for .* GiB of memory, but this machine has"),
        ({"gpu": 64}, r"asks for 64 gpus, but this machine has"),
    ],
)
def test_more_than_the_machine_has_is_refused_at_once(here: Project, options: dict[str, Any], message: str) -> None:
    @flow
    def train() -> None:
        stamp(1, 0.0)
        stamp.options(**options)(2)

    began = time.monotonic()
    with pytest.raises(ResourceError, match=message):
        train()
    assert time.monotonic() - began < 3
    assert len(here.tasks()) == 1


def test_max_parallel_of_step_flow_and_run(here: Project) -> None:
    small = stamp.options(cpu=0.1)
    assert most_at_once(spans_of(small.options(max_parallel=2), 5)) == 2
    assert most_at_once(spans_of(small, 5, max_parallel=3)) == 3
    assert most_at_once(spans_of(small, 4, 1, max_parallel=3)) == 1


def test_a_small_task_passes_a_large_one_that_must_wait(here: Project) -> None:
    cores = machine().cpu

    @flow
    def train() -> Any:
        first = stamp.options(cpu=cores / 2).submit(1, 0.4)
        large = stamp.options(cpu=cores, name="large").submit(2, 0.05)
        small = stamp.options(cpu=cores / 4, name="small").submit(3, 0.05)
        return first.result(), large.result(), small.result()

    first, large, small = train()
    assert small[1] < first[1] <= large[0]


def test_numeric_libraries_get_the_threads_a_step_asked_for(here: Project) -> None:
    @flow
    def train() -> Any:
        return variable("OMP_NUM_THREADS"), variable.options(cpu=2)("OPENBLAS_NUM_THREADS")

    assert train() == ("1", "2")


def test_environment_variables_of_a_step(here: Project) -> None:
    @flow
    def train() -> Any:
        with_it = variable.options(env={"MY_SETTING": "é 1", "HOME": "/elsewhere"})
        return [with_it("MY_SETTING"), with_it("HOME"), variable("MY_SETTING"), variable("HOME")]

    assert train() == ["é 1", "/elsewhere", None, os.environ.get("HOME")]


def test_isolated_steps_have_a_process_for_each_attempt(here: Project) -> None:
    @flow
    def train() -> Any:
        alone = worker.options(isolated=True)
        return [alone(n) for n in range(3)], [worker(n) for n in range(3)], [f.result() for f in alone.map(range(3, 6))]

    alone, shared, mapped = train()
    assert len({*alone, *mapped}) == 6
    assert len(set(shared)) == 1 and not set(shared) & {*alone, *mapped}


# --- retries ---------------------------------------------------------------------------------------------------------


def test_retries_until_it_succeeds(here: Project) -> None:
    @flow
    def train(counter: str) -> int:
        return flaky.options(retries=3)(counter, 2)

    assert train(str(here.path / "count")) == 3
    assert [a.state for a in here.attempts("flaky")] == ["failed", "failed", "succeeded"]
    assert here.attempts("flaky")[0].error == "ValueError: try 1"
    [task] = here.tasks("flaky")
    assert task.attempts == 3 and task.state == "succeeded"


def test_retries_end(here: Project) -> None:
    @flow
    def train(counter: str) -> int:
        return flaky.options(retries=1)(counter, 5)

    with pytest.raises(ValueError, match="try 2"):
        train(str(here.path / "count"))
    assert len(here.attempts("flaky")) == 2


def test_delay_and_backoff(here: Project) -> None:
    @flow
    def train(counter: str) -> int:
        return flaky.options(retries=Retry(2, delay=0.2, backoff=2))(counter, 2)

    assert train(str(here.path / "count")) == 3
    one, two, three = here.attempts("flaky")
    assert one.finished is not None and two.finished is not None
    assert 0.2 <= two.started - one.finished < 0.5
    assert 0.4 <= three.started - two.finished < 0.8


@pytest.mark.parametrize(
    ("on", "kind", "tries"),
    [
        (("OSError",), FileNotFoundError, 2),
        (("builtins.OSError",), FileNotFoundError, 2),
        (("KeyError",), FileNotFoundError, 1),
        (("Exception",), ValueError, 2),
    ],
)
def test_retries_on_some_exceptions_only(here: Project, on: tuple[str, ...], kind: type[Exception], tries: int) -> None:
    @flow
    def train(counter: str) -> int:
        return flaky.options(retries=Retry(1, on=on))(counter, 1, kind)

    if tries == 2:
        assert train(str(here.path / "count")) == 2
    else:
        with pytest.raises(kind):
            train(str(here.path / "count"))
    assert len(here.attempts("flaky")) == tries


def test_retries_on_classes_and_on_what_happens_to_a_worker(here: Project) -> None:
    @step(retries=Retry(1, on=("headrace.TaskCrashedError",)))
    def crash_once(counter: str) -> int:
        with open(counter, "a") as file:
            file.write("x")
        if Path(counter).stat().st_size == 1:
            os._exit(3)
        return 1

    @step(timeout=0.3, retries=Retry(1, on=("TimeoutError",)))
    def late_once(counter: str) -> int:
        with open(counter, "a") as file:
            file.write("x")
        if Path(counter).stat().st_size == 1:
            time.sleep(30)
        return 2

    @flow
    def train() -> list[int]:
        return [crash_once(str(here.path / "a")), late_once(str(here.path / "b"))]

    assert train() == [1, 2]


def test_exception_classes_may_be_given_as_such() -> None:
    assert Retry(1, on=(OSError, headrace.TaskTimeoutError)).on == (
        "builtins.OSError",
        "headrace.TaskTimeoutError",
    )
    assert Retry(1, on=OSError).on == ("builtins.OSError",)
    for wrong in (3, int, (3,)):
        with pytest.raises(DefinitionError, match="retries: on="):
            Retry(1, on=wrong)


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_time_limit_kills_the_whole_process_group(project: Project) -> None:
    done = project.run(
        """
        import subprocess

        @step(timeout=0.5)
        def stuck():
            subprocess.Popen(["sleep", "77"])
            print("waiting", flush=True)
            time.sleep(60)

        @step
        def after():
            return open(f"/proc/{os.getpid()}/environ").read().count("HEADRACE_TEST_MARK")

        @flow
        def train():
            try:
                stuck()
            except headrace.TaskTimeoutError as error:
                print(type(error).__name__, isinstance(error, TimeoutError), error, repr(error.__cause__))
            time.sleep(0.2)
            import glob
            names = []
            for file in glob.glob("/proc/[0-9]*/cmdline"):
                try:
                    text = open(file).read()
                except OSError:
                    continue
                if "sleep\\0" + "77" in text:
                    names.append(text)
            print("left:", names)

        train()
        """
    )
    assert done.code == 0, done.err
    assert "TaskTimeoutError True" in done.out and "0.5 s" in done.out and "waiting" in done.out
    assert "left: []" in done.out
    [attempt] = project.attempts("stuck")
    assert attempt.failure == "timeout" and attempt.state == "failed"
    project.assert_nothing_left()


def test_time_limits_are_per_attempt_and_leave_quick_ones_alone(here: Project) -> None:
    @flow
    def train() -> Any:
        quick = stamp.options(timeout="2s")
        return [quick(n, 0.0)[0] for n in range(5)]

    assert len(train()) == 5


# --- memory ----------------------------------------------------------------------------------------------------------


def test_more_memory_than_asked_for_ends_the_attempt(here: Project) -> None:
    @flow
    def train() -> Any:
        assert occupy.options(memory="300MiB")(50, 0.3) == 50 * MIB
        return occupy.options(memory="100MiB")(400)

    with pytest.raises(
        headrace.TaskOutOfMemoryError, match=r"used \d+ MiB of memory, more than the 100 MiB that it asked for"
    ) as caught:
        train()
    assert isinstance(caught.value, MemoryError)
    [_, attempt] = [a for n in (1, 2) for a in here.attempts("occupy", n)]
    assert attempt.failure == "out of memory"


def test_memory_grows_with_retries(here: Project) -> None:
    @flow
    def train() -> Any:
        return occupy.options(memory="100MiB", retries=Retry(2, memory_factor=2.5))(350, 0.4)

    assert train() == 350 * MIB
    assert [a.failure for a in here.attempts("occupy")] == ["out of memory", "out of memory", ""]


# --- cache -----------------------------------------------------------------------------------------------------------

CACHED = """
import helpers

@step(cache=True)
def fit(n):
    with open("runs.txt", "a") as file:
        file.write("x")
    return helpers.scale(n)

@flow
def train(n: int = 2):
    return fit(n)

if __name__ == "__main__":
    from headrace.frontends.native.launch import Launch, run_flow
    from headrace.wiring import scope_here
    values = {"n": int(sys.argv[1])}
    how = Launch(scope=scope_here(), use_cache="--no-cache" not in sys.argv)
    print("value", run_flow(train, values, how).value)
"""


def test_the_cache_reuses_across_runs_until_code_or_input_changes(project: Project) -> None:
    ran = project.path / "runs.txt"
    helpers = project.path / "helpers.py"

    def value(*argv: str) -> tuple[str, int]:
        out = project.succeed(CACHED, *argv)
        return out.split("value ")[1].strip(), ran.stat().st_size

    helpers.write_text("FACTOR = 10\ndef scale(n): return n * FACTOR\n")
    assert value("2") == ("20", 1)
    assert value("2") == ("20", 1)
    [task] = project.tasks("fit")
    assert task.reused_from == "train/1/fit/1" and task.state == "succeeded"
    assert value("3") == ("30", 2)
    assert value("2", "--no-cache") == ("20", 3)
    helpers.write_text("FACTOR = 10\n# a comment\ndef scale(n):\n    '''Doc.'''\n    return n * FACTOR\n")
    assert value("2") == ("20", 3)
    helpers.write_text("FACTOR = 11\ndef scale(n): return n * FACTOR\n")
    assert value("2") == ("22", 4)
    helpers.write_text("FACTOR = 11\ndef scale(n): return n * FACTOR + 1\n")
    assert value("2") == ("23", 5)
    assert value("2") == ("23", 5)


def test_a_cached_result_whose_bytes_are_gone_is_made_again(here: Project) -> None:
    @step(cache=True)
    def make(n: int) -> bytes:
        return os.urandom(8) * n

    @flow
    def train() -> bytes:
        return make(50_000)

    first = train()
    assert train() == first
    for blob in (here.home / "artifacts").rglob("*"):
        if blob.is_file() and blob.stat().st_size > 100_000:
            blob.unlink()
    second = train()
    assert second != first and train() == second


def test_what_a_step_asks_not_to_cache_is_for_its_run_alone(here: Project) -> None:
    @step(cache=True)
    def ask(n: int) -> int:
        with open("asked.txt", "a") as file:
            file.write("x")
        if not os.path.exists("up.txt"):
            headrace.do_not_cache()
            return -1
        return n

    @flow
    def train() -> int:
        return ask(3) + ask(3)

    assert ask(3) == -1  # outside of a run there is nothing to ask
    os.unlink("asked.txt")
    assert train() == -2
    assert os.path.getsize("asked.txt") == 2
    assert train() == -2
    assert os.path.getsize("asked.txt") == 4
    open("up.txt", "w").close()
    assert [train(), train()] == [6, 6]
    assert os.path.getsize("asked.txt") == 5
    with pytest.raises(headrace.UsageError, match="outside of a step"):
        headrace.do_not_cache()


def test_without_asking_nothing_is_cached(here: Project) -> None:
    @flow
    def train() -> int:
        return worker.options(isolated=True)()

    assert train() != train()


# --- when something fails --------------------------------------------------------------------------------------------


def test_fail_fast_kills_what_runs(here: Project) -> None:
    @flow
    def train() -> None:
        slow.options(cpu=0.1).submit()
        waiting = slow.options(cpu=0.1, max_parallel=1, name="queued").map([50.0, 51.0])
        time.sleep(0.2)
        bad.options(cpu=0.1)()
        waiting[0].result()

    began = time.monotonic()
    with pytest.raises(ValueError, match="bad"):
        train()
    assert time.monotonic() - began < 4
    assert {(t.step, t.state) for t in here.tasks()} == {
        ("slow", "cancelled"),
        ("queued", "cancelled"),
        ("bad", "failed"),
    }
    run = here.last()
    assert (run.state, run.error, run.failed_task) == ("failed", "ValueError: bad", "bad/1")


def test_keep_going_lets_what_runs_finish(here: Project) -> None:
    @flow(keep_going=True)
    def train() -> None:
        stamp.options(cpu=0.1).submit(1, 0.5)
        time.sleep(0.1)
        bad()

    with pytest.raises(ValueError, match="bad"):
        train()
    assert {(t.step, t.state) for t in here.tasks()} == {("stamp", "succeeded"), ("bad", "failed")}


def test_failure_that_the_flow_does_not_look_at_fails_the_run(here: Project) -> None:
    @flow
    def train() -> int:
        bad.submit()
        return 1

    with pytest.raises(ValueError, match="bad"):
        train()
    assert here.last().state == "failed"


def test_a_failure_that_was_looked_at_does_not(here: Project) -> None:
    @flow
    def train() -> int:
        future = bad.submit()
        assert future.exception() is not None
        return 1

    assert train() == 1 and here.last().state == "succeeded"


def test_hooks_hear_how_a_run_ended(here: Project) -> None:
    heard: list[tuple[str, str, str]] = []

    def hear(run: Any) -> None:
        heard.append((run.name, str(run.state), run.error))

    @flow(on_success=hear, on_failure=hear)
    def train(fail: bool = False) -> int:
        if fail:
            bad()
        return 1

    train()
    with pytest.raises(ValueError, match="bad"):
        train(True)
    assert heard == [("train/1", "succeeded", ""), ("train/2", "failed", "ValueError: bad")]


def test_a_hook_that_fails_changes_nothing(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(run: Any) -> None:
        raise RuntimeError("no mail")

    @flow(on_success=broken)
    def train() -> int:
        return 1

    assert train() == 1 and here.last().state == "succeeded"
    assert "hook broken" in capsys.readouterr().err


def test_tags_of_flow_and_launch(here: Project) -> None:
    @flow(tags=("nightly",))
    def train() -> int:
        return 1

    ended: Ended = run_flow(train, {}, Launch(scope=scope_here(), tags=(("team", "vision"),)))
    assert {(t.name, t.value) for t in here.metadata.tags([ended.run.id])} == {("nightly", ""), ("team", "vision")}
