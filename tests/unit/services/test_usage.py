"""What attempts used: sums, curves, and the spans of a timeline, of any attempts."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from headrace.model.records import AttemptRecord
from headrace.model.states import AttemptState
from headrace.services.usage import AttemptColumns, UsageView, usage_of

NOW = 1_000.0


def attempt(number: int, started: float, seconds: float | None, pid: int = 1, **how: object) -> AttemptRecord:
    state = AttemptState.RUNNING if seconds is None else AttemptState.SUCCEEDED
    given = {"state": state, "host": "h", "place": "local", "cpu_seconds": 0.0, "peak_memory": 0, **how}
    finished = None if seconds is None else started + seconds
    return AttemptRecord(
        run_id=1,
        step="fit",
        number=number,
        attempt=1,
        started=started,
        finished=finished,
        pid=pid,
        **given,  # type: ignore[arg-type]
    )


def integral(view: UsageView, curve: list[float]) -> float:
    return sum(curve) * (view.curves.times[1] - view.curves.times[0])


ATTEMPTS = st.lists(
    st.tuples(
        st.floats(0, 900),
        st.none() | st.floats(0, 100),
        st.integers(1, 4),
        st.sampled_from(AttemptState),
        st.floats(0, 50),
    ),
    min_size=1,
    max_size=200,
).map(
    lambda rows: [
        attempt(
            at + 1, started, seconds, pid, state=AttemptState.RUNNING if seconds is None else state, cpu_seconds=cpu
        )
        for at, (started, seconds, pid, state, cpu) in enumerate(rows)
    ]
)


@given(ATTEMPTS)
def test_curves_hold_the_time_and_cpu_of_all_attempts(attempts: list[AttemptRecord]) -> None:
    view = usage_of(AttemptColumns(attempts, NOW), 10_000)
    assert view.attempts == sum(one.attempts for one in view.steps) == sum(one.attempts for one in view.workers)
    seconds = sum(one.seconds for one in view.steps)
    assert math.isclose(sum(one.seconds for one in view.workers), seconds, abs_tol=1e-6)
    assert math.isclose(integral(view, view.curves.running), seconds, rel_tol=1e-6, abs_tol=1e-3)
    assert max(view.curves.running) <= len(attempts) + 1e-6


@given(ATTEMPTS, st.integers(1, 60))
def test_spans_hold_each_attempt_once_and_are_few(attempts: list[AttemptRecord], most: int) -> None:
    view = usage_of(AttemptColumns(attempts, NOW), most)
    spans = view.spans
    assert sum(spans.attempts) == len(attempts)
    assert view.merged == (len(spans.attempts) < len(attempts))
    assert sum(spans.wasted) == sum(one.wasted for one in view.steps)
    columns = [spans.worker, spans.step, spans.start, spans.end, spans.task, spans.attempt, spans.state]
    assert {len(one) for one in columns} == {len(spans.attempts)}  # type: ignore[arg-type]


def test_short_attempts_are_told_apart_in_a_narrower_window() -> None:
    columns = AttemptColumns([attempt(at + 1, at * 0.01, 0.009, pid=at % 3 + 1) for at in range(30_000)], NOW)
    whole = usage_of(columns, 600)
    assert whole.merged
    assert len(whole.spans.start) < 1_300
    near = usage_of(columns, 600, (100.0, 101.0))
    assert not near.merged
    assert 100 <= len(near.spans.start) <= 103
    assert "10001" in near.spans.task


def test_long_attempts_and_pauses_stay_visible_among_short_ones() -> None:
    short = [attempt(at + 1, at * 0.01, 0.009) for at in range(5_000)]
    long = attempt(9_001, 60.0, 20.0)
    spans = usage_of(AttemptColumns([*short, long], NOW), 100).spans
    alone = spans.task.index("9001")
    assert (spans.attempts[alone], spans.start[alone], spans.end[alone]) == (1, 60.0, 80.0)
    assert max(end or 0.0 for end in spans.end[:alone]) < 50.1


def test_what_runs_counts_until_now_and_is_lost_with_its_driver() -> None:
    running = [attempt(1, NOW - 10, None)]
    view = usage_of(AttemptColumns(running, NOW), 10)
    assert (view.end - view.start, view.steps[0].seconds, view.spans.end, view.spans.state) == (
        10,
        10,
        [None],
        ["running"],
    )
    lost = usage_of(AttemptColumns(running, NOW, gone=True), 10)
    assert (lost.spans.state, lost.steps[0].wasted) == (["lost"], 1)


def test_peaks_of_what_ran_at_once_are_added() -> None:
    view = usage_of(AttemptColumns([attempt(n, 0.0, 10.0, pid=n, peak_memory=1 << 20) for n in (1, 2)], NOW), 10)
    assert set(view.curves.memory) == {float(2 << 20)}


def test_run_without_attempts_used_nothing() -> None:
    view = usage_of(AttemptColumns([], NOW), 10)
    assert (view.attempts, view.workers, view.spans.start, view.merged) == (0, [], [], False)
