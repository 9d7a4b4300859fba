"""What may be logged, and how logs are kept until they are written."""

from __future__ import annotations

import itertools
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import headrace
from headrace.client.tracking import track
from headrace.model.errors import StoreError, UsageError
from headrace.model.messages import Metrics, Track
from headrace.model.records import MetricChunk, Param, RunRecord, Tag
from headrace.model.states import RunState
from headrace.runtime import context
from headrace.runtime.ambient import Ambient, entered, known
from headrace.runtime.context import AttemptContext
from headrace.services.stores import Stores
from headrace.services.tracking import RunLog
from headrace.stores.artifacts.memory import MemoryStore
from headrace.stores.metadata.protocol import Write
from headrace.testing.metadata import MemoryMetadata


@pytest.fixture
def sent() -> Iterator[list[Track]]:
    """Messages of an attempt that is running here."""
    messages: list[Track] = []
    context.enter(AttemptContext("train/1/fit/1", 1, 7, messages.append, MemoryStore()))
    yield messages
    context.enter(None)


def flush() -> None:
    attempt = context.current()
    assert attempt is not None
    attempt.flush()


def flushed(sent: list[Track]) -> Track:
    flush()
    assert len(sent) == 1
    return sent.pop()


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        (True, 1.0),
        (0.5, 0.5),
        (math.inf, math.inf),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(2.5), 2.5),
        (np.True_, 1.0),
        (Fraction(1, 4), 0.25),
    ],
)
def test_numbers_of_any_kind(sent: list[Track], value: Any, number: float) -> None:
    headrace.log_metric("m", value, time=1.0)
    assert flushed(sent).metrics == (Metrics("m", (number,), (0,), (1.0,)),)


def test_nan_is_a_number(sent: list[Track]) -> None:
    headrace.log_metrics({"m": math.nan, "n": np.nan})
    assert [math.isnan(metric.values[0]) for metric in flushed(sent).metrics] == [True, True]


@pytest.mark.parametrize(
    "value", ["0.5", b"1", None, 1j, [1.0], {}, np.array([1.0]), np.array([1.0, 2.0]), np.array("x"), 10**400, object()]
)
def test_what_is_no_number_names_the_metric(sent: list[Track], value: object) -> None:
    with pytest.raises(UsageError, match="metric 'accuracy'"):
        headrace.log_metric("accuracy", value)
    with pytest.raises(UsageError, match="metric 'accuracy'"):
        headrace.log_metrics({"fine": 1.0, "accuracy": value})
    assert sent == []
    flush()
    assert sent == []


def test_steps_go_on_where_they_were(sent: list[Track]) -> None:
    for step in (None, None, 10, None, np.int64(3), None):
        headrace.log_metric("m", 1.0, step=step)
    headrace.log_metric("n", 1.0)
    steps = {metric.name: metric.steps for metric in flushed(sent).metrics}
    assert steps == {"m": (0, 1, 10, 11, 3, 4), "n": (0,)}
    headrace.log_metric("m", 1.0)
    assert flushed(sent).metrics[0].steps == (5,)


def test_times(sent: list[Track]) -> None:
    before = time.time()
    headrace.log_metric("m", 1.0)
    headrace.log_metric("m", 1.0, time=5)
    headrace.log_metric("m", 1.0, time=datetime(1970, 1, 2, tzinfo=UTC))
    first, *others = flushed(sent).metrics[0].times
    assert before <= first <= time.time()
    assert others == [5.0, 86400.0]


@pytest.mark.parametrize(
    "call",
    [
        lambda: headrace.log_metric("", 1.0),
        lambda: headrace.log_metric(3, 1.0),  # type: ignore[arg-type]
        lambda: headrace.log_metric("m", 1.0, step=1.5),  # type: ignore[arg-type]
        lambda: headrace.log_metric("m", 1.0, step=2**63),
        lambda: headrace.log_metric("m", 1.0, time="now"),  # type: ignore[arg-type]
        lambda: headrace.log_metrics([("m", 1.0)]),  # type: ignore[arg-type]
        lambda: headrace.log_params(["a"]),  # type: ignore[arg-type]
        lambda: headrace.log_params({1: 2}),  # type: ignore[dict-item]
        lambda: headrace.set_tag("a=b"),
        lambda: headrace.log_text("t", 3),  # type: ignore[arg-type]
        lambda: headrace.log_table("t", 3),
        lambda: headrace.log_figure("f", 3),
        lambda: headrace.log_artifact("a/b", 3),
        lambda: headrace.log_artifact("result", 3),
        lambda: headrace.log_artifact("", 3),
        lambda: headrace.log_artifact("a", __file__),
        lambda: headrace.log_text("", "x"),
    ],
)
def test_impossible_calls_are_refused_and_leave_nothing(sent: list[Track], call: Any) -> None:
    with pytest.raises(UsageError):
        call()
    flush()
    assert sent == []


def test_objects(sent: list[Track], tmp_path: Any) -> None:
    (tmp_path / "f.txt").write_text("x")
    headrace.log_text("note", "hello")
    headrace.log_table("rows", [{"a": 1}])
    headrace.log_artifact("file", tmp_path / "f.txt")
    headrace.log_artifact("folder", tmp_path)
    headrace.log_artifact("text", "no such file")
    with pytest.raises(UsageError, match="there is no file or folder"):
        headrace.log_artifact("file", tmp_path / "none")
    outputs = {one.name: one for one in flushed(sent).artifacts}
    assert list(outputs) == ["note", "rows", "file", "folder", "text"]
    assert outputs["note"].preview.text == "hello"
    assert outputs["rows"].preview.table == (("a",), ("1",))


def test_figures(sent: list[Track]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    axes = figure.subplots()
    headrace.log_figure("figure", figure)
    headrace.log_figure("axes", axes)
    assert all(one.preview.png.startswith(b"\x89PNG") for one in flushed(sent).artifacts)


def test_outside_of_everything_the_error_says_what_to_do() -> None:
    calls: list[Callable[[], None]] = [
        lambda: headrace.log_metric("m", 1.0),
        lambda: headrace.log_metrics({}),
        lambda: headrace.log_params({}),
        lambda: headrace.log_text("t", ""),
        lambda: headrace.set_tag("t"),
    ]
    for call in calls:
        with pytest.raises(UsageError, match=r"outside of a run.*with headrace.track"):
            call()


@pytest.mark.parametrize("name", ["", " ", "a/b", "42", 3])
def test_names_that_no_tracked_run_can_have(name: Any) -> None:
    with pytest.raises(UsageError, match="track: a name"):
        track(name)


def test_parameters_and_tags_that_no_tracked_run_can_have() -> None:
    with pytest.raises(UsageError, match="the name of a parameter"):
        track("study", params={3: 4})  # type: ignore[dict-item]
    with pytest.raises(UsageError, match="cannot hold '='"):
        track("study", tags={"a=b": 1})


def test_a_child_of_a_step_does_not_log_to_its_socket(sent: list[Track]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            headrace.log_metric("m", 1.0)
        except UsageError:
            os._exit(3)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


def test_points_of_many_threads_all_arrive(sent: list[Track]) -> None:
    attempt = context.current()
    assert attempt is not None
    count, threads = 30_000, 4

    def log(name: str) -> None:
        for number in range(count):
            headrace.log_metric(name, float(number))

    workers = [threading.Thread(target=log, args=(f"m{n}",)) for n in range(threads)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        attempt.flush()
    attempt.flush()
    for name in (f"m{n}" for n in range(threads)):
        chunks = [metric for message in sent for metric in message.metrics if metric.name == name]
        assert list(itertools.chain(*(chunk.values for chunk in chunks))) == list(map(float, range(count)))
        assert list(itertools.chain(*(chunk.steps for chunk in chunks))) == list(range(count))
    assert all(sum(len(metric.values) for metric in message.metrics) <= 20_000 for message in sent)


# --- the log of a run -------------------------------------------------------------------------------------------

_RUN = RunRecord(
    id=5,
    project="default",
    flow="train",
    number=1,
    state=RunState.RUNNING,
    dialect="native",
    entry="",
    created=1.0,
    started=1.0,
)


def new_log(write: Any) -> RunLog:
    return RunLog(_RUN, Stores(MemoryMetadata(), MemoryStore()), write)


def test_a_log_writes_in_the_background() -> None:
    written: list[Write] = []
    log = new_log(lambda *writes: written.extend(writes))
    with entered(Ambient("a/1", log)):
        headrace.log_metric("m", 1.0, time=2.0)
        headrace.log_params({"p": 1})
        headrace.set_tag("t", 3)
        deadline = time.monotonic() + 5
        while len(written) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
    chunk = MetricChunk(run_id=5, step="", number=0, name="m", values=(1.0,), steps=(0,), times=(2.0,))
    assert sorted(map(str, written)) == sorted(map(str, [chunk, Param(5, "p", "1", logged=True), Tag(5, "t", "3")]))
    log.close()
    with pytest.raises(UsageError, match="run train/1 is over"):
        log.metric("m", 1.0, None, None)
    with pytest.raises(UsageError, match="run train/1 is over"):
        log.param("p", "1")


def test_what_could_not_be_written_is_tried_again() -> None:
    written: list[Write] = []
    broken = True

    def write(*writes: Write) -> None:
        if broken:
            raise StoreError("no space")
        written.extend(writes)

    log = new_log(write)
    for value in (1.0, 2.0):
        log.metric("m", value, None, 1.0)
        with pytest.raises(StoreError):
            log.flush()
    with pytest.raises(StoreError):
        log.close()
    broken = False
    log.close()
    values = [value for chunk in written if isinstance(chunk, MetricChunk) for value in chunk.values]
    assert values == [1.0, 2.0]


def current_log() -> Any:
    found = known()
    return None if found is None else found.log


def test_the_innermost_log_is_meant() -> None:
    outer, inner, other = (new_log(lambda *_: None) for _ in range(3))
    found: list[Any] = []

    def look() -> None:
        thread = threading.Thread(target=lambda: found.append(current_log()))
        thread.start()
        thread.join()

    assert current_log() is None
    with entered(Ambient("a/1", outer)):
        look()
        with entered(Ambient("b/1", inner)):
            assert current_log() is inner
            look()
        assert current_log() is outer
        apart = threading.Thread(target=lambda: _hold(other, look))
        apart.start()
        apart.join()
    assert current_log() is None
    assert found == [outer, inner, other]  # a thread logs where the code that started it does


def _hold(log: RunLog, look: Any) -> None:
    with entered(Ambient("a/1", log)):
        look()
