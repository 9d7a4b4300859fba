"""The conformance suite of metadata stores, and the in-memory store that passes it.

A store's test is a subclass of ``MetadataStoreSuite`` whose ``new_store`` opens an empty store::

    class TestMyStore(MetadataStoreSuite):
        def new_store(self, folder):
            return MyStore(folder / "store")
"""

from __future__ import annotations

import math
import threading
from typing import Any

import msgspec

from headrace.model.records import (
    Edge,
    Input,
    MetricSummary,
    Param,
    Request,
    RunDetails,
    Source,
    Tag,
    TaskId,
    Wait,
)
from headrace.model.states import AttemptState, RunState, TaskState
from headrace.model.values import Blob, Packed, Preview
from headrace.stores.metadata.protocol import (
    CacheEntry,
    DropLog,
    DropOutputs,
    MetadataStore,
    NewRun,
    RunChange,
    RunFilter,
    StepCount,
    Untag,
)
from headrace.testing._memory_metadata import MemoryMetadata
from headrace.testing._metadata_leases import LeasesSuite
from headrace.testing._metadata_live import LiveRunsSuite
from headrace.testing._metadata_runs import RunRowsSuite
from headrace.testing._metadata_samples import arrived, artifact, attempt, digest, line, new_run, points, task
from headrace.testing._metadata_signals import SignalsSuite

__all__ = ["MemoryMetadata", "MetadataStoreSuite", "arrived", "artifact", "attempt", "new_run", "task"]


class MetadataStoreSuite(LeasesSuite, LiveRunsSuite, RunRowsSuite, SignalsSuite):
    """What every ``MetadataStore`` must do."""

    # --- runs ---

    def test_runs_are_numbered_by_flow_and_project(self, store: MetadataStore) -> None:
        """Each flow of each project counts for itself; ids are unique."""
        made = [new_run(store), new_run(store), new_run(store, "other"), new_run(store, project="p")]
        assert [run.number for run in made] == [1, 2, 1, 1]
        assert len({run.id for run in made}) == 4
        assert made[0].state is RunState.RUNNING
        assert store.run("train", 2) == made[1]
        assert store.run("train", 1, "p") == made[3]
        assert store.run_by_id(made[2].id) == made[2]
        assert store.run("train", 9) is None
        assert store.run_by_id(99) is None

    def test_latest_run(self, store: MetadataStore) -> None:
        """The newest of a flow, of all flows, of a project."""
        assert store.latest_run() is None
        first, second = new_run(store), new_run(store, "other")
        assert store.latest_run() == second
        assert store.latest_run("train") == first
        assert store.latest_run("train", "p") is None

    def test_number_of_a_deleted_run_is_not_used_again(self, store: MetadataStore) -> None:
        """``train/2`` never means two things."""
        new_run(store)
        store.delete_run(new_run(store).id)
        assert new_run(store).number == 3

    def test_run_keeps_what_it_was_opened_with(self, store: MetadataStore) -> None:
        """``NewRun`` comes back, inputs decoded."""
        inputs = (Input("path", Packed("json", digest(1), 3, b'"a"'), (Source("load", 1, "result", digest(2)),)),)
        run = store.create_run(
            NewRun(
                project="default",
                flow="train",
                dialect="native",
                entry="a.py:f",
                created=5.0,
                inputs=msgspec.msgpack.encode(inputs),
                user="u",
                host="h",
                pid=3,
            )
        )
        assert (run.inputs, run.user, run.host, run.pid, run.created, run.started) == (inputs, "u", "h", 3, 5.0, 5.0)
        assert store.run("train", 1) == run

    def test_run_change_changes_what_it_names(self, store: MetadataStore) -> None:
        """Fields left unset keep their value; None is a value."""
        run = new_run(store)
        details = msgspec.msgpack.encode(RunDetails(python="3.11"))
        change = RunChange(
            run_id=run.id,
            state=RunState.FAILED,
            started=2.0,
            finished=9.0,
            session=2,
            inputs=(Input("n", Packed("json", digest(1), 1, b"1")),),
            entry="b.py:g",
            user="u",
            host="h",
            pid=4,
            git_commit="abc",
            git_dirty=True,
            details=details,
            error="ValueError: no",
            traceback="Traceback",
            failed_task="fit/3",
        )
        store.commit([change])
        got = store.run_by_id(run.id)
        assert got is not None
        for name in change.__struct_fields__[1:]:
            assert getattr(got, name) == getattr(change, name), name
        store.commit([RunChange(run_id=run.id, finished=None)])
        assert store.run_by_id(run.id) == msgspec.structs.replace(got, finished=None)
        assert store.runs(RunFilter())[0] == msgspec.structs.replace(got, finished=None, inputs=(), details=b"")

    def test_flows(self, store: MetadataStore) -> None:
        """Name, count and newest run of each."""
        for flow, created in (("b", 1.0), ("a", 2.0), ("b", 3.0)):
            new_run(store, flow, created=created)
        assert store.flows() == [("a", 1, 2.0), ("b", 2, 3.0)]
        assert store.flows("p") == []

    # --- tasks, attempts, artifacts ---

    def test_requests_outlive_their_run(self, store: MetadataStore) -> None:
        """Newest first, of one run or all of a project."""
        runs = [new_run(store, project=project) for project in ("p", "p", "q")]
        made = [Request(run.id, run.project, run.name, "tag", f"t{n}", "ada@here", n) for n, run in enumerate(runs)]
        store.commit([*made, Tag(runs[0].id, "t0", "")])
        store.delete_run(runs[0].id)
        assert store.requests("p") == [made[1], made[0]]
        assert store.requests("p", runs[0].name) == [made[0]]
        assert store.requests("p", limit=1) == [made[1]]
        assert store.requests("q") == [made[2]]
        assert store.requests() == []

    def test_projects(self, store: MetadataStore) -> None:
        """Those that have runs, by name."""
        assert store.projects() == []
        for project in ("b", "a", "b"):
            new_run(store, project=project)
        assert store.projects() == ["a", "b"]

    def test_records_come_back_as_they_were(self, store: MetadataStore) -> None:
        """Every field of a task, an attempt and an artifact."""
        run_id = new_run(store).id
        value = Packed("numpy", digest(1), 99, b"head", (Blob(digest(2), 60), Blob(digest(3), 39)))
        full = task(
            run_id,
            inputs=(Input("frame", value, (Source("load", 1, "result", digest(1)),), True),),
            environment=digest(5),
            cache_key=digest(6),
            reused_from="train/1/fit/1",
            attempts=2,
            created=1.5,
            started=2.5,
            finished=3.5,
            session=2,
            error="no",
            tags=("a", "b"),
            occurrence=1,
        )
        tried = attempt(
            run_id,
            attempt=2,
            state=AttemptState.FAILED,
            finished=2.0,
            host="h",
            pid=4,
            cpu_seconds=0.5,
            peak_memory=1 << 40,
            failure="error",
            exit_code=-9,
            error="ValueError: no",
            traceback="Traceback …",
            exception=value,
        )
        preview = Preview("DataFrame", "x", (("shape", "(1, 2)"),), (("a", "b"), ("1", "2")), b"\x89PNG")
        made = artifact(run_id, value=value, preview=preview, kind="logged")
        store.commit([full, tried, made])
        assert store.task(run_id, TaskId("fit", 1)) == full
        assert store.attempts(run_id, TaskId("fit", 1)) == [tried]
        assert store.artifacts(run_id) == [made]
        assert store.task(run_id, TaskId("fit", 2)) is None

    def test_same_key_replaces(self, store: MetadataStore) -> None:
        """The last of several records with a key stays, in one commit and over several."""
        run_id = new_run(store).id
        store.commit([task(run_id, state=TaskState.READY), task(run_id, state=TaskState.RUNNING)])
        store.commit([task(run_id, attempts=1)])
        assert store.tasks(run_id) == [task(run_id, attempts=1)]
        store.commit([attempt(run_id, state=AttemptState.RUNNING), artifact(run_id, created=3.0)])
        store.commit([attempt(run_id), artifact(run_id)])
        assert store.attempts(run_id) == [attempt(run_id)]
        assert store.artifacts(run_id) == [artifact(run_id)]

    def test_tasks_can_be_asked_for_in_parts(self, store: MetadataStore) -> None:
        """By step, state, after a number, with a limit; in order of step and number."""
        run_id, other_id = new_run(store).id, new_run(store).id
        ready = TaskState.READY
        rows = [task(run_id, "b", n, state=ready if n % 2 else TaskState.SUCCEEDED) for n in (10, 9, 1, 2)]
        store.commit([*rows, task(run_id, "a", 5, state=TaskState.FAILED), task(other_id, "b", 3)])

        def names(**how: Any) -> list[str]:
            return [str(row.id) for row in store.tasks(run_id, **how)]

        assert names() == ["a/5", "b/1", "b/2", "b/9", "b/10"]
        assert names(step="b") == ["b/1", "b/2", "b/9", "b/10"]
        assert names(step="b", after=1, limit=2) == ["b/2", "b/9"]
        assert names(states=("ready", "failed")) == ["a/5", "b/1", "b/9"]
        assert names(limit=1) == ["a/5"]
        assert names(step="c") == []

    def test_step_counts(self, store: MetadataStore) -> None:
        """By step in order of first creation, and state."""
        run_id = new_run(store).id
        store.commit([task(run_id, "z", n, created=float(n)) for n in (1, 2)])
        store.commit([task(run_id, "a", n, created=5.0 + n, state=TaskState.FAILED) for n in (1, 2, 3)])
        store.commit([task(run_id, "z", 3, created=9.0, state=TaskState.FAILED)])
        assert store.step_counts(run_id) == [
            StepCount("z", "failed", 1),
            StepCount("z", "succeeded", 2),
            StepCount("a", "failed", 3),
        ]
        assert store.step_counts(99) == []

    def test_outputs_of_many_tasks(self, store: MetadataStore) -> None:
        """Outputs only, each task asked for is answered, however many."""
        run_id = new_run(store).id
        count = 1203
        store.commit([artifact(run_id, "fit", n) for n in range(1, count)])
        store.commit(
            [artifact(run_id, "load", 1, name="train"), artifact(run_id, "load", 1, name="plot", kind="logged")]
        )
        wanted = [TaskId("fit", n) for n in range(1, count + 1)]
        found = store.outputs(run_id, [*wanted, TaskId("load", 1), TaskId("load", 1)])
        assert found[TaskId("fit", 7)] == {"result": artifact(run_id, "fit", 7)}
        assert found[TaskId("fit", count)] == {}
        assert list(found[TaskId("load", 1)]) == ["train"]
        assert len(found) == count + 1
        assert store.outputs(run_id, []) == {}

    def test_drop_outputs_keeps_its_place(self, store: MetadataStore) -> None:
        """What was written before it goes, what comes after it stays."""
        run_id = new_run(store).id
        store.commit([artifact(run_id), artifact(run_id, name="old"), artifact(run_id, number=2)])
        kept = artifact(run_id, name="new")
        store.commit([artifact(run_id, name="soon"), DropOutputs(run_id, "fit", 1), kept])
        assert store.artifacts(run_id, TaskId("fit", 1)) == [kept]
        assert len(store.artifacts(run_id)) == 2

    def test_drop_outputs_takes_the_task_out_of_the_cache(self, store: MetadataStore) -> None:
        """Entries that name it go, those of other tasks and those that come after it stay."""
        run_id, other_id = new_run(store).id, new_run(store).id
        entries = [CacheEntry(digest(n), run, "fit", of, 1.0) for n, run, of in ((1, run_id, 2), (2, other_id, 1))]
        again = CacheEntry(digest(3), run_id, "fit", 1, 2.0)
        store.commit([*entries, CacheEntry(digest(4), run_id, "fit", 1, 1.0)])
        store.commit([CacheEntry(digest(5), run_id, "fit", 1, 1.0), DropOutputs(run_id, "fit", 1), again])
        assert [store.cached(digest(n), "default") for n in (1, 2, 3, 4, 5)] == [*entries, again, None, None]

    def test_edges(self, store: MetadataStore) -> None:
        """Both ways, and once however often they are added."""
        run_id = new_run(store).id
        edges = [Edge(run_id, "load", 1, "fit", n) for n in (1, 2)] + [Edge(run_id, "fit", 1, "join", 1)]
        store.commit([*edges, *edges])
        store.commit(edges)
        assert store.edges(run_id) == edges
        assert store.children(run_id, TaskId("load", 1)) == [TaskId("fit", 1), TaskId("fit", 2)]
        assert store.parents(run_id, TaskId("join", 1)) == [TaskId("fit", 1)]
        assert store.parents(run_id, TaskId("load", 1)) == []

    # --- logs, metrics, tags, parameters ---

    def test_drop_log_forgets_one_stream_of_one_attempt(self, store: MetadataStore) -> None:
        """What was written before it goes, what comes after it stays."""
        run_id = new_run(store).id
        kept = [line(run_id, 1, stream="err"), line(run_id, 0, attempt=2), line(run_id, 0, number=2)]
        store.commit([line(run_id, 0, b"secret"), *kept])
        redacted = line(run_id, 0, b"gone")
        store.commit([line(run_id, 2, b"secret"), DropLog(run_id, "fit", 1, 1, "out"), redacted])
        assert arrived(store.logs(run_id, None)) == [*kept, redacted]

    def test_logs_can_be_followed(self, store: MetadataStore) -> None:
        """In order of arrival; after a position only what came later; a chunk sent twice is there once."""
        run_id = new_run(store).id
        assert store.log_position(run_id) == 0
        chunks = [line(run_id, 2, b"b"), line(run_id, 1, b"\xff\x00"), line(run_id, 1, b"c", number=2, stream="err")]
        store.commit([*chunks[:2], line(run_id, 2, b"again"), chunks[2]])
        assert arrived(store.logs(run_id, None)) == chunks
        assert arrived(store.logs(run_id, TaskId("fit", 1))) == chunks[:2]
        position = store.log_position(run_id)
        assert store.logs(run_id, None, after=position) == []
        later = line(run_id, 3, b"d", attempt=2)
        store.commit([line(run_id, 1, b"again"), later, line(new_run(store).id, 1)])
        assert arrived(store.logs(run_id, None, after=position)) == [later]
        assert arrived(store.logs(run_id, TaskId("fit", 1), attempt=2)) == [later]
        assert store.log_position(run_id) > position

    def test_metrics(self, store: MetadataStore) -> None:
        """Chunks come back; the summary follows all of them."""
        run_id = new_run(store).id
        chunks = [points(run_id, "loss", 3.0, -1.0), points(run_id, "auc", 0.5), points(run_id, "loss", 2.0, first=2)]
        store.commit(chunks[:2])
        store.commit([chunks[2], points(run_id, "none")])
        assert arrived(store.metrics(run_id))[:3] == chunks
        assert arrived(store.metrics(run_id, "loss")) == [chunks[0], chunks[2]]
        assert store.metric_summaries([run_id]) == [
            MetricSummary(run_id=run_id, name="auc", last=0.5, min=0.5, max=0.5, count=1, step=0),
            MetricSummary(run_id=run_id, name="loss", last=2.0, min=-1.0, max=3.0, count=3, step=2),
        ]
        assert store.metric_summaries([]) == []

    def test_metrics_that_are_no_numbers(self, store: MetadataStore) -> None:
        """NaN and infinity are kept; smallest and greatest pass over NaN."""
        run_id = new_run(store).id
        nan, inf = math.nan, math.inf
        store.commit([points(run_id, "a", nan)])
        (one,) = store.metric_summaries([run_id])
        assert math.isnan(one.last)
        assert math.isnan(one.min)
        assert math.isnan(one.max)
        store.commit([points(run_id, "a", inf, -inf, nan, first=1)])
        (one,) = store.metric_summaries([run_id])
        assert (one.min, one.max, one.count, one.step) == (-inf, inf, 4, 3)
        assert math.isnan(one.last)
        values = [value for chunk in store.metrics(run_id) for value in chunk.values]
        assert [str(value) for value in values] == ["nan", "inf", "-inf", "nan"]

    def test_tags_and_params_of_many_runs(self, store: MetadataStore) -> None:
        """Last value wins; untagging what is not there is fine; by run and name."""
        first, second = new_run(store).id, new_run(store).id
        store.commit(
            [Tag(first, "b", "1"), Tag(first, "a"), Tag(second, "c"), Untag(second, "c"), Tag(first, "b", "2")]
        )
        store.commit([Untag(second, "nothing"), Tag(second, "d"), Untag(second, "d"), Tag(second, "d", "x")])
        assert store.tags([second, first]) == [Tag(first, "a"), Tag(first, "b", "2"), Tag(second, "d", "x")]
        store.commit([Param(first, "n", "1"), Param(first, "lr", "0.1", True), Param(second, "n", '"x"')])
        store.commit([Param(first, "n", "2")])
        assert store.params([first]) == [Param(first, "lr", "0.1", True), Param(first, "n", "2")]
        assert len(store.params([first, second])) == 3

    def test_text_that_is_no_text(self, store: MetadataStore) -> None:
        """Half a surrogate pair and NUL, which programs do print, make no commit fail."""
        run_id = new_run(store).id
        store.commit(
            [attempt(run_id, error="bad \udc80 \0 text"), task(run_id), RunChange(run_id=run_id, error="\ud800\0")]
        )
        assert store.attempts(run_id)[0].error.startswith("bad ")
        assert store.task(run_id, TaskId("fit", 1)) == task(run_id)

    # --- waits, cache ---

    def test_waits(self, store: MetadataStore) -> None:
        """Oldest first; the answer replaces the question."""
        run_id = new_run(store).id
        late = Wait(run_id=run_id, key=digest(1), kind="sleep", name="", prompt="", created=2.0, until=9.0)
        early = Wait(run_id=run_id, key=digest(2), kind="answer", name="ok", prompt="Ship?", created=1.0, until=None)
        store.commit([late, early])
        assert store.waits(run_id) == [early, late]
        done = msgspec.structs.replace(early, done=True, value=b"\xc3")
        store.commit([done])
        assert store.waits(run_id) == [done, late]

    def test_cache(self, store: MetadataStore) -> None:
        """The newest result answers a key, by the oldest run that holds it, for as long as one does."""
        made, used, later = [new_run(store).id for _ in range(3)]
        old, new = CacheEntry(digest(1), later, "fit", 1, 1.0), CacheEntry(digest(1), made, "fit", 2, 2.0)
        shared = CacheEntry(digest(1), used, "fit", 1, 2.0)
        store.commit([old, shared, new, shared, CacheEntry(digest(2), used, "fit", 3, 0.0)])
        assert store.cached(digest(1), "default") == new
        assert store.cached_of_run(used) == [shared, CacheEntry(digest(2), used, "fit", 3, 0.0)]
        store.delete_run(made)
        assert store.cached(digest(1), "default") == shared
        store.commit([DropOutputs(used, "fit", 1)])
        assert store.cached(digest(1), "default") == old
        store.forget_cached(old, "default")
        store.forget_cached(old, "default")
        assert store.cached(digest(1), "default") is None
        assert store.cached(digest(2), "default") is not None

    def test_forgetting_a_result_forgets_all_who_hold_it(self, store: MetadataStore) -> None:
        """Other results for the key stay."""
        runs = [new_run(store).id for _ in range(3)]
        held = [CacheEntry(digest(1), run_id, "fit", 1, 2.0) for run_id in runs]
        other = CacheEntry(digest(1), runs[0], "fit", 2, 1.0)
        store.commit([*held, other])
        store.forget_cached(held[1], "default", result=True)
        assert store.cached(digest(1), "default") == other

    def test_cache_is_a_project_s_own(self, store: MetadataStore) -> None:
        """What a run of one project holds answers no other."""
        ours, theirs = new_run(store), new_run(store, project="other")
        entries = [CacheEntry(digest(n), run.id, "fit", 1, 1.0) for n, run in ((1, ours), (2, theirs))]
        both = [CacheEntry(digest(3), ours.id, "fit", 1, 1.0), CacheEntry(digest(3), theirs.id, "fit", 1, 1.0)]
        store.commit([*entries, *both])
        assert [store.cached(digest(n), "default") for n in range(1, 5)] == [entries[0], None, both[0], None]
        assert [store.cached(digest(n), "other") for n in range(1, 5)] == [None, entries[1], both[1], None]
        store.forget_cached(both[0], "default", result=True)
        assert store.cached(digest(3), "other") == both[1]

    def test_threads_share_a_store(self, store: MetadataStore) -> None:
        """Commits and reads from several threads at once all succeed, and each thread reads what it wrote."""
        run_id = new_run(store).id
        errors: list[BaseException] = []

        def work(step: str) -> None:
            try:
                for number in range(1, 31):
                    store.commit([task(run_id, step, number), points(run_id, "m", float(number), step=step)])
                    assert len(store.tasks(run_id, step)) == number
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(step,)) for step in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert store.metric_summaries([run_id])[0].count == 120

    def test_close_twice(self, store: MetadataStore) -> None:
        """The second time does nothing."""
        store.close()
        store.close()
