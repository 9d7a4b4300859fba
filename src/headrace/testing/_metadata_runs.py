"""The conformance suite of metadata stores, second part: filters, and runs as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.model.errors import LeaseLostError, NotFoundError, StoreDamagedError, StoreVersionError, UsageError
from headrace.model.records import (
    CodeRecord,
    Edge,
    Input,
    Param,
    RunDetails,
    RunFlags,
    Tag,
    Wait,
)
from headrace.model.states import RunState
from headrace.model.values import Blob, Packed
from headrace.stores.metadata.protocol import (
    AnyOf,
    CacheEntry,
    MetadataStore,
    NewRun,
    RunChange,
    RunFilter,
    SortKey,
)
from headrace.stores.metadata.sort_keys import sort_key
from headrace.testing._metadata_samples import arrived, artifact, attempt, digest, line, new_run, points, task

N = "number"


class RunRowsSuite:
    """Filters, deleting, blobs, export and import. ``metadata`` says how stores are made."""

    def new_store(self, folder: Path) -> MetadataStore:
        """Open an empty store, a new one with every call; ``folder`` is empty and belongs to the test."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[MetadataStore]:
        """An empty store."""
        store = self.new_store(tmp_path)
        yield store
        store.close()

    @pytest.fixture
    def other(self, tmp_path: Path) -> Iterator[MetadataStore]:
        """A second empty store."""
        folder = tmp_path / "other"
        folder.mkdir()
        store = self.new_store(folder)
        yield store
        store.close()

    # --- filters ---

    @pytest.fixture
    def filled(self, store: MetadataStore) -> MetadataStore:
        """A store with five runs of flow ``train`` (ids grow) and one of ``other``."""
        accuracies = (0.5, 0.9, math.nan, 0.95, 10.0)
        depths = ("1", "2", '"deep"', "10", "2.0")
        for index, (accuracy, depth) in enumerate(zip(accuracies, depths, strict=True)):
            run_id = new_run(store, created=float(index)).id
            store.commit(
                [
                    points(run_id, "accuracy", 0.0, accuracy),
                    Param(run_id, "depth", depth),
                    Tag(run_id, "nightly"),
                    Tag(run_id, "version", f"{index}"),
                    RunChange(
                        run_id=run_id,
                        started=0.0,
                        finished=float(index * 10) if index else None,
                        state=RunState.SUCCEEDED if index % 2 else RunState.FAILED,
                    ),
                ]
            )
        new_run(store, "other", project="p")
        return store

    @pytest.mark.parametrize(
        ("want", "numbers"),
        [
            (RunFilter(), [1, 5, 4, 3, 2, 1]),
            (RunFilter(project="p"), [1]),
            (RunFilter(flow="train", limit=2), [5, 4]),
            (RunFilter(flow="train", limit=0), []),
            (RunFilter(flow="train", before_id=3), [2, 1]),
            (RunFilter(states=(RunState.SUCCEEDED,)), [4, 2]),
            (RunFilter(states=(RunState.SUCCEEDED, RunState.FAILED)), [5, 4, 3, 2, 1]),
            (RunFilter(tags=("nightly",)), [5, 4, 3, 2, 1]),
            (RunFilter(tags=("nightly", "version=3")), [4]),
            (RunFilter(tags=("nothing",)), []),
            (RunFilter(where=(("metrics.accuracy", ">", 0.9),)), [5, 4]),
            (RunFilter(where=(("metrics.accuracy", "!=", 0.9),)), [5, 4, 1]),
            (RunFilter(where=(("metrics.accuracy", ">=", "0.9"), ("state", "=", "succeeded"))), [4, 2]),
            (RunFilter(where=(("params.depth", ">", 2),)), [4, 3]),
            (RunFilter(where=(("params.depth", "=", 2.0),)), [5, 2]),
            (RunFilter(where=(("params.depth", "=", "2"),)), [5, 2]),
            (RunFilter(where=(("params.depth", "=", "deep"),)), [3]),
            (RunFilter(where=(("tags.version", ">=", 3),)), [5, 4]),
            (RunFilter(where=(("tags.nightly", "=", ""),)), [5, 4, 3, 2, 1]),
            (RunFilter(where=(("duration", "<=", 20),)), [3, 2]),
            (RunFilter(where=(("number", "<", 3), ("flow", "=", "train"))), [2, 1]),
            (RunFilter(where=(("created", ">=", 3),)), [5, 4]),
            (RunFilter(where=(AnyOf((((N, "=", 2),), ((N, ">", 2), (N, "<", 5)))), (N, "!=", 3))), [4, 2]),
            (RunFilter(where=(AnyOf((((N, "=", 2),), (AnyOf((((N, "=", 1),),)),))),), flow="train", limit=1), [2]),
            (RunFilter(where=(AnyOf(tuple(((N, "=", one),) for one in range(4, 2000))),)), [5, 4]),
            (RunFilter(where=tuple((N, "!=", one) for one in range(4, 2000)), flow="train"), [3, 2, 1]),
            (RunFilter(where=(AnyOf(()),)), []),
            (RunFilter(where=(AnyOf(((),)),), flow="other"), [1]),
            (RunFilter(where=(("id", ">", 0), ("id", "<", 0))), []),
            (RunFilter(where=(("params.'; DROP TABLE runs --", "=", 1),)), []),
        ],
    )
    def test_filters(self, filled: MetadataStore, want: RunFilter, numbers: list[int]) -> None:
        """Newest first; numbers compare as numbers when both sides are."""
        assert [run.number for run in filled.runs(want)] == numbers

    @pytest.mark.parametrize(
        ("sort", "numbers"),
        [
            ("metrics.accuracy", [1, 2, 4, 5, 3]),  # of run 3 it is not a number
            ("-metrics.accuracy", [5, 4, 2, 1, 3]),
            ("params.depth", [1, 5, 2, 4, 3]),  # numbers before words, the newest of equal ones first
            ("-params.depth", [4, 5, 2, 1, 3]),
            ("tags.version", [1, 2, 3, 4, 5]),
            ("-tags.nightly", [5, 4, 3, 2, 1]),
            ("params.missing", [5, 4, 3, 2, 1]),
            ("state", [5, 3, 1, 4, 2]),
            ("-state", [4, 2, 5, 3, 1]),
            ("duration", [2, 3, 4, 5, 1]),
            ("-duration", [5, 4, 3, 2, 1]),
            ("number", [1, 2, 3, 4, 5]),
            ("-created", [5, 4, 3, 2, 1]),
            ("user", [5, 4, 3, 2, 1]),
        ],
    )
    def test_lists_are_sorted_and_go_on_behind_any_key(
        self, filled: MetadataStore, sort: str, numbers: list[int]
    ) -> None:
        """Runs without a value come last, either way; pages of any size lead through the whole list once."""
        want = RunFilter(flow="train", sort=sort)
        assert [run.number for run in filled.runs(want)] == numbers
        for size in (1, 2):
            found: list[int] = []
            after = None
            while page := filled.runs(msgspec.structs.replace(want, after=after, limit=size)):
                found += [run.number for run in page]
                after = sort_key(filled, page[-1], sort)
            assert found == numbers

    def test_sorted_lists_are_filtered_too(self, filled: MetadataStore) -> None:
        want = RunFilter(project="default", tags=("nightly",), where=(("number", "<", 5),), sort="-metrics.accuracy")
        assert [run.number for run in filled.runs(want)] == [4, 2, 1, 3]
        after = SortKey(0, 0.9, "", 10**9)  # of a run that is gone: those with equal values are older
        assert [run.number for run in filled.runs(msgspec.structs.replace(want, after=after, limit=2))] == [2, 1]

    @pytest.mark.parametrize("sort", ["metrics.", "params", "inputs", "-", "--number", "number; DROP TABLE runs"])
    def test_lists_cannot_be_sorted_by_what_is_not_there(self, store: MetadataStore, sort: str) -> None:
        with pytest.raises(UsageError, match="cannot be sorted by"):
            store.runs(RunFilter(sort=sort))

    def test_flags_mark_runs_and_filter_listings(self, store: MetadataStore) -> None:
        """The newest flags of a run hold; a listing may ask for any mark or its absence; they go with the run."""
        runs = [new_run(store) for _ in range(4)]
        ids = [run.id for run in runs]
        assert store.flags(ids) == []
        store.commit([RunFlags(ids[0], pinned=True), RunFlags(ids[1], archived=True), RunFlags(ids[2], deleted=9.5)])
        store.commit([RunFlags(ids[0], pinned=True, archived=True)])
        assert store.flags([ids[2], ids[0], ids[3]]) == [
            RunFlags(ids[0], pinned=True, archived=True),
            RunFlags(ids[2], deleted=9.5),
        ]

        def marked(*marks: str) -> list[int]:
            return sorted(ids.index(run.id) for run in store.runs(RunFilter(marks=marks)))

        assert marked("pinned") == [0]
        assert marked("archived") == [0, 1]
        assert marked("!deleted") == [0, 1, 3]
        assert marked("!archived", "!deleted") == [3]
        with pytest.raises(UsageError, match="mark"):
            store.runs(RunFilter(marks=("shiny",)))
        store.delete_run(ids[0])
        assert store.flags(ids[:1]) == []

    @pytest.mark.parametrize(
        "condition",
        [
            ("colour", "=", 1.0),
            ("metrics.", "=", 1.0),
            ("metrics.a", "~", 1.0),
            ("metrics.a", ">", "high"),
            ("duration", ">", "1h"),
            ("id; DROP TABLE runs", "=", 1.0),
        ],
    )
    def test_filters_that_make_no_sense(self, store: MetadataStore, condition: tuple[str, str, float | str]) -> None:
        """A wrong subject, operator or value is the caller's mistake, wherever it stands."""
        for where in (condition, AnyOf(((condition,),))):
            with pytest.raises(UsageError):
                store.runs(RunFilter(where=(where,)))

    # --- keeping house ---

    def fill(self, store: MetadataStore, run_id: int) -> None:
        """Give the run one of everything."""
        value = Packed("numpy", digest(1), 9, b"", (Blob(digest(101), 9),))
        store.commit(
            [
                task(run_id, inputs=(Input("x", Packed("numpy", digest(2), 9, b"", (Blob(digest(102), 9),))),)),
                attempt(run_id, exception=Packed("pickle", digest(3), 9, b"", (Blob(digest(103), 9),))),
                artifact(run_id, value=value),
                artifact(run_id, name="small"),
                Edge(run_id, "load", 1, "fit", 1),
                line(run_id, 1),
                line(run_id, 2),
                points(run_id, "loss", 1.0, math.nan),
                Tag(run_id, "t", "3"),
                Param(run_id, "p", '"x"'),
                Wait(run_id=run_id, key=digest(9), kind="answer", name="ok", prompt="?", created=1.0, until=None),
                CacheEntry(digest(run_id), run_id, "fit", 1, 1.0),
                RunChange(
                    run_id=run_id,
                    inputs=(Input("y", Packed("numpy", digest(4), 9, b"", (Blob(digest(104), 9),))),),
                    details=msgspec.msgpack.encode(
                        RunDetails(
                            sources={"a.py": Blob(digest(105), 9)},
                            git_diff=Blob(digest(106), 9),
                            code=CodeRecord(package=Blob(digest(107), 9)),
                        )
                    ),
                ),
            ]
        )
        store.send(run_id, "answer", "ok", b"", "me", 1.0)

    def contents(self, store: MetadataStore, run_id: int) -> list[Any]:
        """Everything about a run, without its id, in a form that can be compared."""
        parts: list[Any] = [
            store.run_by_id(run_id),
            store.tasks(run_id),
            store.attempts(run_id),
            store.artifacts(run_id),
            store.edges(run_id),
            arrived(store.logs(run_id, None)),
            arrived(store.metrics(run_id)),
            store.metric_summaries([run_id]),
            store.tags([run_id]),
            store.params([run_id]),
            store.waits(run_id),
            store.step_counts(run_id),
        ]
        plain = msgspec.to_builtins(parts, builtin_types=(bytes,))

        def without_id(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: without_id(item) for key, item in value.items() if key not in ("id", "run_id")}
            if isinstance(value, list | tuple):
                return [without_id(item) for item in value]
            return "nan" if value != value else value

        for rows in plain:
            for row in rows if isinstance(rows, list) else ():
                if isinstance(row, list) and rows is not plain[-1]:
                    row[0] = 0  # the run's id, in records kept as arrays
        return [without_id(value) for value in plain]

    def test_referenced_blobs(self, store: MetadataStore) -> None:
        """Of artifacts, inputs, exceptions, parameters, sources, the diff and the code package."""
        assert list(store.referenced_blobs()) == []
        self.fill(store, new_run(store).id)
        assert set(store.referenced_blobs()) == {digest(n) for n in range(101, 108)}

    def test_code_packages_are_told_once(self, store: MetadataStore) -> None:
        """Of all runs together."""
        assert list(store.code_packages()) == []
        new_run(store)
        for run in (new_run(store), new_run(store)):
            self.fill(store, run.id)
        assert list(store.code_packages()) == [Blob(digest(107), 9)]

    def test_delete_run(self, store: MetadataStore) -> None:
        """All of it goes, nothing of others."""
        gone, kept = new_run(store).id, new_run(store).id
        self.fill(store, gone)
        self.fill(store, kept)
        before = self.contents(store, kept)
        store.delete_run(gone)
        store.delete_run(gone)
        assert self.contents(store, gone) == [None] + [[]] * 11
        assert store.signals(gone) == []
        assert store.cached(digest(gone), "default") is None
        assert self.contents(store, kept) == before
        assert store.cached(digest(kept), "default") is not None
        assert store.compact() >= 0
        assert self.contents(store, kept) == before

    def test_commit_for_a_run_that_was_deleted_writes_nothing(self, store: MetadataStore) -> None:
        """Neither its driver's, which lost the lease with it, nor anybody else's."""
        new = NewRun(project="default", flow="f", dialect="native", entry="a:f", created=1.0)
        run, lease = store.open_run(new, "me:1:1", 60)
        store.commit([task(run.id)], lease)
        store.delete_run(run.id)
        with pytest.raises(LeaseLostError):
            store.commit([task(run.id, number=2)], lease, 60.0)
        with pytest.raises(LeaseLostError):
            store.commit([task(run.id, number=2)], lease)
        with pytest.raises(NotFoundError):
            store.commit([Tag(run.id, "a", "b")])
        assert store.tasks(run.id) == []
        assert store.tags([run.id]) == []
        assert store.lease(lease.name) is None

    def test_export_and_import(self, store: MetadataStore, other: MetadataStore) -> None:
        """The run comes back whole: under its number, or the next free one."""
        new_run(store)
        run = new_run(store)
        self.fill(store, run.id)
        store.commit([RunChange(run_id=run.id, state=RunState.SUCCEEDED)])
        rows = store.export(run.id)
        came = other.import_rows(rows, "default")
        assert came.name == "train/2"
        assert other.run("train", 2) == came
        assert self.contents(other, came.id) == self.contents(store, run.id)
        assert new_run(other).number == 3
        again = other.import_rows(rows, "default")
        assert again.number == 4
        assert self.contents(other, again.id)[1:] == self.contents(store, run.id)[1:]
        assert other.import_rows(rows, "p").number == 2
        assert set(other.referenced_blobs()) == set(store.referenced_blobs())
        assert other.cached(digest(run.id), "default") is None
        back = store.import_rows(other.export(came.id), "default")
        assert back.number == 3

    def test_numbers_of_other_systems(self, store: MetadataStore, other: MetadataStore) -> None:
        """A run keeps the number it came with; one of another system does not move the count."""

        def numbered(number: int) -> NewRun:
            return NewRun(project="default", flow="train", dialect="d", entry="", created=1.0, number=number)

        foreign = store.create_run(numbered(1795421914720807))
        assert foreign.number == 1795421914720807
        assert store.run("train", foreign.number) == foreign
        assert new_run(store).number == 1
        assert store.create_run(numbered(5)).number == 5
        assert new_run(store).number == 6
        for taken in (5, foreign.number):
            with pytest.raises(UsageError, match=f"train/{taken}"):
                store.create_run(numbered(taken))
        rows = store.export(foreign.id)
        assert other.import_rows(rows, "default").number == foreign.number
        assert new_run(other).number == 1
        assert other.import_rows(rows, "default").number == 2

    def test_import_of_a_run_that_was_running(self, store: MetadataStore, other: MetadataStore) -> None:
        """No process drives it here: it waits to be resumed."""
        assert other.import_rows(store.export(new_run(store).id), "default").state is RunState.INTERRUPTED
        assert store.export(99) == {}

    def test_import_of_something_else(self, store: MetadataStore, other: MetadataStore) -> None:
        """Refused with nothing written, whatever is wrong with it."""
        run = new_run(store)
        self.fill(store, run.id)
        good = dict(store.export(run.id))
        row = msgspec.msgpack.decode(good["tasks"][0])
        encode = msgspec.msgpack.encode
        for bad in (
            {},
            good | {"runs": []},
            good | {"tasks": [b"\xc1"]},
            good | {"tasks": [encode([1, 2])]},
            good | {"tasks": [encode(row | {"extra": 1})]},
            good | {"tasks": [encode(row | {"state": "asleep"})]},
            good | {"tasks": [encode(row | {"inputs": b"\x01"})]},
            good | {"metrics": [encode(msgspec.msgpack.decode(good["metrics"][0]) | {"vals": b"123"})]},
            good | {"surprise": [encode({})]},
        ):
            with pytest.raises(StoreDamagedError):
                other.import_rows(bad, "default")
        with pytest.raises(StoreVersionError, match="newer"):
            other.import_rows(good | {"schema": [encode({"version": 99})]}, "default")
        assert other.runs(RunFilter()) == []
