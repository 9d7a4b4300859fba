"""Part of the conformance suite of metadata stores: live runs, refused transitions, pages, shared values, segments."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import pytest

from headrace.model.errors import LeaseLostError
from headrace.model.records import Edge, Input, LogPiece, LogSegment, Param, QueueCount, Success, Tag, TaskId
from headrace.model.states import AttemptState, IllegalTransitionError, RunState, TaskState
from headrace.model.values import Blob, Packed
from headrace.stores.metadata.protocol import DropLog, DropQueue, MetadataStore, RunChange, Write
from headrace.testing._metadata_samples import arrived, artifact, attempt, digest, line, new_run, points, task

#: Rows of a run in the tests of pages, and rows on a page.
ROWS, PAGE = 10_000, 999


class LiveRunsSuite:
    """What others see of a run while it goes on, and how they read what is long."""

    # --- attempts and queue counts ---

    def test_attempt_is_recorded_from_its_start_and_ended_in_place(self, store: MetadataStore) -> None:
        """One row, which says where the attempt runs while it does, and how it ended then."""
        run_id = new_run(store).id
        where: dict[str, Any] = {"host": "h", "pid": 7, "place": "cluster"}
        begun = attempt(run_id, state=AttemptState.RUNNING, session=2, token=2**40 + 1, **where)
        store.commit([begun])
        assert store.attempts(run_id) == [begun]
        ended = attempt(run_id, state=AttemptState.FAILED, finished=3.0, **where)
        store.commit([ended])
        assert store.attempts(run_id) == [ended]

    def test_success_that_is_kept_with_its_task_is_an_attempt(self, store: MetadataStore) -> None:
        """Readers find it among the rows of attempts, in order, also page by page."""
        run_id = new_run(store).id
        success = Success(1.0, 3.0, "h", 7, 0.5, 1 << 20, 2, "cluster", 2**40 + 1)
        alone = [task(run_id, number=n, attempts=n, success=success) for n in (1, 2, 4)]
        first, only = attempt(run_id, number=2, state=AttemptState.FAILED), attempt(run_id, number=3)
        store.commit([*alone, first, only, task(run_id, number=3, attempts=1)])
        assert store.tasks(run_id) == [alone[0], alone[1], task(run_id, number=3, attempts=1), alone[2]]
        how: dict[str, Any] = {"finished": 3.0, "host": "h", "pid": 7, "cpu_seconds": 0.5, "peak_memory": 1 << 20}
        how |= {"session": 2, "place": "cluster", "token": 2**40 + 1}
        one, two, four = [attempt(run_id, number=n, attempt=n, **how) for n in (1, 2, 4)]
        assert store.attempts(run_id) == [one, first, two, only, four]
        assert store.attempts(run_id, TaskId("fit", 2)) == [first, two]
        assert store.attempts(run_id, limit=2) == [one, first]
        assert store.attempts(run_id, limit=2, after=("fit", 2, 1)) == [two, only]
        assert store.attempts(run_id, after=("fit", 2, 2)) == [only, four]

    def test_queue_counts_are_replaced_and_dropped(self, store: MetadataStore) -> None:
        """The counts of a step are the last ones written; a run that is over has none."""
        first, second = new_run(store).id, new_run(store).id
        other = QueueCount(second, "fit", 0, 0, 0, 1, 1, 5.0)
        store.commit([QueueCount(first, "fit", 3, 2, 1, 2, 9, 5.0), QueueCount(first, "a", 1, 0, 0, 0, 1, 5.0), other])
        counts = [QueueCount(first, "a", 1, 0, 0, 0, 1, 5.0), QueueCount(first, "fit", 2, 2, 1, 2, 9, 6.0)]
        store.commit([counts[1]])
        assert store.queue([first, second]) == [*counts, other]
        assert store.queue([]) == []
        store.commit([DropQueue(first)])
        assert store.queue([first, second]) == [other]
        store.delete_run(second)
        assert store.queue([first, second]) == []

    # --- transitions ---

    @pytest.mark.parametrize("after", list(AttemptState))
    def test_attempt_that_ended_is_not_changed(self, store: MetadataStore, after: AttemptState) -> None:
        """What is recorded as the end of an attempt stays, and nothing of a commit that would change it is written."""
        run_id = new_run(store).id
        store.commit([attempt(run_id, state=AttemptState.RUNNING), attempt(run_id, state=AttemptState.RUNNING)])
        store.commit([attempt(run_id, state=AttemptState.LOST)])
        with pytest.raises(IllegalTransitionError, match=f"attempt 1 of task fit/1 .* lost .* {after}; nothing was"):
            store.commit([task(run_id), Tag(run_id, "t"), attempt(run_id, state=after)])
        assert store.attempts(run_id) == [attempt(run_id, state=AttemptState.LOST)]
        assert store.tasks(run_id) == []
        assert store.tags([run_id]) == []
        store.commit([attempt(run_id, attempt=2, state=after)])

    def test_attempt_cannot_end_twice_in_one_commit(self, store: MetadataStore) -> None:
        """Writes of one commit follow each other as commits do."""
        run_id = new_run(store).id
        with pytest.raises(IllegalTransitionError, match="succeeded and cannot become failed"):
            store.commit([attempt(run_id), attempt(run_id, state=AttemptState.FAILED)])
        assert store.attempts(run_id) == []

    def test_run_that_ended_goes_on_only_by_running_again(self, store: MetadataStore) -> None:
        """A run leaves an end by a resume, and by nothing else."""
        run = new_run(store)
        store.commit([RunChange(run_id=run.id, state=RunState.FAILED, error="no")])
        with pytest.raises(IllegalTransitionError, match="the run is recorded as failed and cannot become succeeded"):
            store.commit([Tag(run.id, "t"), RunChange(run_id=run.id, state=RunState.SUCCEEDED, error="")])
        assert store.tags([run.id]) == []
        kept = store.run_by_id(run.id)
        assert kept is not None
        assert (kept.state, kept.error) == (RunState.FAILED, "no")
        store.commit([RunChange(run_id=run.id, state=RunState.RUNNING, session=2)])
        store.commit([RunChange(run_id=run.id, state=RunState.SUCCEEDED)])

    def test_task_of_a_later_session_is_not_written_over_by_an_earlier_one(self, store: MetadataStore) -> None:
        """Whatever an old session still has to say of a task comes too late."""
        run_id = new_run(store).id
        newer = task(run_id, session=2, state=TaskState.RUNNING)
        store.commit([newer])
        with pytest.raises(IllegalTransitionError, match="task fit/1 is recorded as of session 2"):
            store.commit([task(run_id, session=1)])
        assert store.tasks(run_id) == [newer]
        store.commit([task(run_id, session=2)])

    def test_numbered_commit_is_made_once_and_never_after_a_later_one(self, store: MetadataStore) -> None:
        """A repeated or delayed commit is passed over in silence; the next owner counts for itself."""
        run_id = new_run(store).id
        lease = store.acquire("run/1", "a", 600)
        assert lease is not None
        first: list[Write] = [points(run_id, "m", 1.0), attempt(run_id, state=AttemptState.LOST)]
        store.commit(first, lease, 0.0, 7)
        store.commit(first, lease, 300.0, 7)
        store.commit([points(run_id, "m", 2.0, first=1)], lease, 0.0, 9)
        store.commit([points(run_id, "m", 3.0, first=1), Tag(run_id, "late")], lease, 0.0, 8)
        assert [chunk.values for chunk in store.metrics(run_id)] == [(1.0,), (2.0,)]
        assert store.tags([run_id]) == []
        with pytest.raises(IllegalTransitionError):
            store.commit(first, lease, 0.0, 10)
        store.release(lease)
        with pytest.raises(LeaseLostError, match="run/1"):
            store.commit(first, lease, 0.0, 9)
        expired = store.acquire("run/1", "b", -1.0)
        assert expired is not None
        store.commit([points(run_id, "m", 4.0)], expired, 0.0, 2**62)
        after = store.acquire("run/1", "c", 60)
        assert after is not None
        store.commit([points(run_id, "m", 5.0)], after, 0.0, 1)
        assert store.metric_summaries([run_id])[0].count == 4

    # --- pages ---

    def test_everything_long_has_pages(self, store: MetadataStore) -> None:
        """Pages follow one another without gaps, repeat nothing, and end."""
        run_id, other = new_run(store).id, new_run(store).id
        for chosen in (run_id, other):
            count = ROWS if chosen == run_id else 3
            writes: list[Write] = []
            for n in range(count):
                step, number = ("a", "b", "\u00e4")[n % 3], n // 3 + 1
                success = Success(1.0, 2.0, "h", 7, 0.5, 1, 1, "local", n) if n % 2 else None
                writes.append(task(chosen, step, number, attempts=1, success=success))
                writes += [] if success else [attempt(chosen, step, number)]
                writes += [artifact(chosen, step, number), line(chosen, n)]
                writes += [Edge(chosen, "up", n % 7, step, number), points(chosen, f"m{n % 5}", float(n))]
                writes += [Tag(chosen, f"t{n}"), Param(chosen, f"p{n}", str(n))]
            store.commit(writes)
        listings: dict[str, tuple[Callable[..., list[Any]], Callable[[Any], Any]]] = {
            "attempts": (
                lambda **page: store.attempts(run_id, **page),
                attrgetter("step", "number", "attempt"),
            ),
            "artifacts": (lambda **page: store.artifacts(run_id, **page), attrgetter("step", "number", "name")),
            "edges": (lambda **page: store.edges(run_id, **page), lambda one: one),
            "logs": (lambda **page: store.logs(run_id, None, **page), lambda one: one.id),
            "metrics": (lambda **page: store.metrics(run_id, **page), lambda one: one.id),
            "tags": (lambda **page: store.tags([run_id], **page), lambda one: (one.run_id, one.name)),
            "params": (lambda **page: store.params([run_id], **page), lambda one: (one.run_id, one.name)),
        }
        for name, (listing, key) in listings.items():
            whole = listing()
            assert len(whole) == ROWS, name
            found = page = listing(limit=PAGE)
            while page:
                assert len(page) <= PAGE, name
                page = listing(limit=PAGE, after=key(page[-1]))
                found = found + page
            assert found == whole, name
        assert len(store.metrics(run_id, "m1", limit=2)) == 2
        assert len(store.metrics(run_id, task=TaskId("fit", 2))) == 0
        assert len(store.logs(run_id, TaskId("fit", 1), limit=7)) == 7
        both = store.tags([other, run_id], limit=4)
        assert [one.run_id for one in both] == [run_id] * 4
        last = (run_id, max(f"t{n}" for n in range(ROWS)))
        assert store.tags([other, run_id], after=last) == [Tag(other, f"t{n}") for n in range(3)]

    # --- shared values ---

    def test_values_that_tasks_share_come_back_whole(self, store: MetadataStore, other: MetadataStore) -> None:
        """Whatever a store does to keep them once, tasks are read with them, also after export and import."""
        run_id = new_run(store).id
        shared = Input("config", Packed("json", digest(1), 9000, b"c" * 9000, (Blob(digest(2), 5),), ("a:b",)))
        own = [Input("n", Packed("json", digest(n), 1, b"1")) for n in range(31)]
        tasks = [task(run_id, number=n, inputs=(own[n], shared)) for n in range(1, 31)]
        with pytest.raises(IllegalTransitionError):  # what is refused was not stored either
            store.commit([*tasks[:5], RunChange(run_id=run_id, state=RunState.FAILED), _again(run_id)])
        for at in range(0, 30, 7):
            store.commit(tasks[at : at + 7])
        store.commit(tasks[:3])
        assert store.tasks(run_id) == tasks
        assert store.task(run_id, TaskId("fit", 30)) == tasks[-1]
        assert list(store.referenced_blobs()) == [digest(2)] * 30
        came = other.import_rows(store.export(run_id), "default")
        assert [one.inputs for one in other.tasks(came.id)] == [one.inputs for one in tasks]
        back = store.import_rows(other.export(came.id), "default")
        store.delete_run(run_id)
        assert [one.inputs for one in store.tasks(back.id)] == [one.inputs for one in tasks]

    # --- segments of logs ---

    def test_segment_stands_for_its_chunks(self, store: MetadataStore, other: MetadataStore) -> None:
        """Writing a segment removes the chunks that it is made of, and no others; its blob is referenced."""
        run_id = new_run(store).id
        chunks = [line(run_id, n, stream="err" if n == 2 else "out") for n in range(5)]
        store.commit([*chunks, line(run_id, 0, number=2)])
        position = store.log_position(run_id)
        pieces = tuple(LogPiece(n, 1.0, 6) for n in (0, 1, 3))
        segment = LogSegment(
            run_id=run_id, step="fit", number=1, attempt=1, stream="out", blob=Blob(digest(9), 18), pieces=pieces
        )
        store.commit([segment])
        left = [chunks[2], chunks[4], line(run_id, 0, number=2), segment]
        assert arrived(store.logs(run_id, None)) == left
        assert arrived(store.logs(run_id, None, after=position)) == [segment]
        assert store.log_position(run_id) > position
        assert arrived(store.segments(run_id, limit=5)) == [segment]
        assert store.segments(run_id, after=store.log_position(run_id)) == []
        assert list(store.referenced_blobs()) == [digest(9)]
        came = other.import_rows(store.export(run_id), "default")
        assert len(other.logs(came.id, None)) == 4
        assert list(other.referenced_blobs()) == [digest(9)]
        store.commit([DropLog(run_id, "fit", 1, 1, "out")])
        assert arrived(store.logs(run_id, TaskId("fit", 1))) == [chunks[2]]
        store.delete_run(run_id)
        assert list(store.referenced_blobs()) == []


def _again(run_id: int) -> RunChange:
    return RunChange(run_id=run_id, state=RunState.SUCCEEDED)
