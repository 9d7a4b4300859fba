"""Every metadata store passes the suite; random commits agree with the store in dictionaries."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, structs

from headrace.model.records import (
    ArtifactRecord,
    AttemptRecord,
    Edge,
    Input,
    LogChunk,
    LogPiece,
    LogSegment,
    MetricChunk,
    Param,
    QueueCount,
    Tag,
    TaskId,
    TaskRecord,
    Wait,
)
from headrace.model.states import AttemptState, IllegalTransitionError, RunState, TaskState
from headrace.model.values import Blob, Packed, Preview
from headrace.stores.metadata.open import open_metadata
from headrace.stores.metadata.protocol import (
    CacheEntry,
    DropLog,
    DropOutputs,
    DropQueue,
    MetadataStore,
    RunChange,
    Untag,
    Write,
)
from headrace.testing.metadata import MemoryMetadata, MetadataStoreSuite, arrived, new_run
from headrace.testing.postgres import postgres_server

_schemas = itertools.count()


class TestMemory(MetadataStoreSuite):
    def new_store(self, folder: Path) -> MetadataStore:
        return MemoryMetadata()


class TestSqlite(MetadataStoreSuite):
    def new_store(self, folder: Path) -> MetadataStore:
        return open_metadata(str(folder / "headrace.db"))


class TestSqliteFsync(MetadataStoreSuite):
    def new_store(self, folder: Path) -> MetadataStore:
        return open_metadata(f"sqlite:///{folder / 'headrace.db'}", durability="fsync")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        yield url


class TestPostgres(MetadataStoreSuite):
    @pytest.fixture(autouse=True)
    def _server(self, server: str) -> None:
        self.server = server

    def new_store(self, folder: Path) -> MetadataStore:
        return open_metadata(f"{self.server}&schema=t{next(_schemas)}")


# --- random commits ---------------------------------------------------------------------------------------------

_steps = st.sampled_from(["", "fit", "Fit", "ä", "z z"])
_numbers = st.integers(1, 3)
_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_times = st.floats(0, 1e10)
_some_bytes = st.binary(max_size=40)
_packed = st.builds(
    Packed,
    codec=_texts,
    digest=_some_bytes,
    size=st.integers(0, 2**62),
    inline=_some_bytes | st.sampled_from([b"x" * 600, b"y" * 512]),
    blobs=st.lists(st.builds(Blob, digest=_some_bytes, size=st.integers(0, 2**62)), max_size=2).map(tuple),
)
_inputs = st.lists(st.builds(Input, name=_texts, value=_packed), max_size=2).map(tuple)
_ids: dict[str, st.SearchStrategy[object]] = {"run_id": st.just(0), "step": _steps, "number": _numbers}


@st.composite
def _points(draw: st.DrawFn) -> MetricChunk:
    values = draw(st.lists(st.floats(), min_size=0, max_size=4))
    steps = draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=len(values), max_size=len(values)))
    times = tuple(float(index) for index in range(len(values)))
    name = draw(st.sampled_from(["loss", "auc"]))
    return MetricChunk(run_id=0, step="fit", number=1, name=name, values=tuple(values), steps=tuple(steps), times=times)


_writes = st.one_of(
    st.builds(
        TaskRecord,
        **_ids,
        key=_some_bytes,
        state=st.sampled_from(TaskState),
        inputs=_inputs,
        occurrence=_numbers,
        code=_some_bytes,
        created=_times,
        finished=st.none() | _times,
        session=_numbers,
        error=_texts,
        tags=st.lists(_texts, max_size=2).map(tuple),
    ),
    st.builds(
        AttemptRecord,
        **_ids,
        attempt=_numbers,
        state=st.sampled_from(AttemptState),
        started=_times,
        exit_code=st.none() | st.integers(-64, 255),
        traceback=_texts,
        exception=st.none() | _packed,
        session=_numbers,
        place=_texts,
        token=st.integers(0, 2**62),
    ),
    st.builds(
        ArtifactRecord,
        **_ids,
        name=st.sampled_from(["a", "b"]),
        value=_packed,
        preview=st.builds(Preview, type=_texts, png=_some_bytes),
        created=_times,
        kind=st.sampled_from(["output", "logged"]),
    ),
    st.builds(DropOutputs, **_ids),
    st.builds(DropLog, **_ids, attempt=_numbers, stream=st.just("out")),
    st.builds(Edge, st.just(0), _steps, _numbers, _steps, _numbers),
    st.builds(LogChunk, **_ids, attempt=_numbers, seq=_numbers, stream=st.just("out"), time=_times, data=_some_bytes),
    _points(),
    st.builds(
        LogSegment,
        **_ids,
        attempt=_numbers,
        stream=st.just("out"),
        blob=st.builds(Blob, digest=_some_bytes, size=_numbers),
        pieces=st.lists(st.builds(LogPiece, _numbers, _times, _numbers), min_size=1, max_size=2).map(tuple),
    ),
    st.builds(QueueCount, st.just(0), _steps, *[_numbers] * 5, _times),
    st.builds(DropQueue, st.just(0)),
    st.builds(Tag, st.just(0), st.sampled_from("tu"), _texts),
    st.builds(Untag, st.just(0), st.sampled_from("tu")),
    st.builds(Param, st.just(0), st.sampled_from("pq"), _texts, st.booleans()),
    st.builds(
        Wait,
        run_id=st.just(0),
        key=st.binary(min_size=1, max_size=1),
        kind=st.just("sleep"),
        name=_texts,
        prompt=_texts,
        created=_times,
        until=st.none() | _times,
        done=st.booleans(),
        value=_some_bytes,
    ),
    st.builds(CacheEntry, st.binary(max_size=1), st.just(0), _steps, _numbers, _times),
    st.builds(
        RunChange,
        run_id=st.just(0),
        state=st.sampled_from(RunState),
        finished=st.just(UNSET) | st.none() | _times,
        error=st.just(UNSET) | _texts,
        inputs=st.just(UNSET) | _inputs,
        details=st.just(UNSET) | _some_bytes,
    ),
)


def _seen(store: MetadataStore, run_id: int) -> str:
    """All that can be read about a run; as text, because NaN is not equal to itself."""
    tasks = [TaskId(step, number) for step in ("", "fit", "ä") for number in (1, 2, 3)]
    log_texts = [store.logs(run_id, None), store.logs(run_id, TaskId("fit", 1)), store.logs(run_id, None, attempt=2)]
    return repr(
        [
            store.run_by_id(run_id),
            store.tasks(run_id),
            store.tasks(run_id, "fit", states=("ready", "failed"), after=1, limit=1),
            store.step_counts(run_id),
            store.attempts(run_id),
            store.artifacts(run_id),
            store.outputs(run_id, tasks),
            store.edges(run_id),
            [store.parents(run_id, task) + store.children(run_id, task) for task in tasks],
            [arrived(texts) for texts in log_texts],
            arrived(store.metrics(run_id)),
            store.metric_summaries([run_id]),
            store.queue([run_id]),
            store.tags([run_id]),
            store.params([run_id]),
            store.waits(run_id),
            [store.cached(bytes([key]), "default") for key in range(256)],
        ]
    )


def _refused(store: MetadataStore, writes: list[Write]) -> str:
    """Commit ``writes``; the text of the refusal, if a state must not follow the recorded one."""
    try:
        store.commit(writes)
    except IllegalTransitionError as error:
        return str(error)
    return ""


def _segment(*seqs: int) -> LogSegment:
    pieces = tuple([LogPiece(seq=seq, time=0.0, size=1) for seq in seqs])
    blob = Blob(digest=bytes(seqs), size=len(seqs))
    return LogSegment(run_id=0, step="fit", number=1, attempt=1, stream="out", blob=blob, pieces=pieces)


def _agree(store: MetadataStore) -> None:
    """Random commits do to ``store`` what they do to dictionaries, also after export and import."""
    model = MemoryMetadata()

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.lists(st.lists(_writes, max_size=12), max_size=3))
    @example([[MetricChunk(run_id=0, step="fit", number=1, name="auc", values=(-0.0,), steps=(0,), times=(0.0,))]])
    @example([[_segment(1, 2), _segment(1)], [_segment(1, 1), _segment(2), _segment(1, 2)]])
    def check(commits: list[list[Write]]) -> None:
        runs = [new_run(one) for one in (store, model)]
        assert runs[0] == runs[1]
        run_id = runs[0].id
        for writes in commits:
            bound = [structs.replace(write, run_id=run_id) for write in writes]
            assert _refused(store, bound) == _refused(model, bound)
        assert _seen(store, run_id) == _seen(model, run_id)

    check()


def test_random_commits_on_sqlite(tmp_path: Path) -> None:
    store = open_metadata(str(tmp_path / "headrace.db"))
    _agree(store)
    store.close()


def test_random_commits_on_postgres(server: str) -> None:
    store = open_metadata(f"{server}&schema=random{next(_schemas)}")
    _agree(store)
    store.close()
