"""A database of two projects, for tests of the wall between them."""

from __future__ import annotations

from headrace.model.records import LogPiece, LogSegment, QueueCount, RunFlags, RunRecord
from headrace.model.values import Blob
from headrace.stores.metadata.protocol import MetadataStore
from headrace.testing._metadata_runs import RunRowsSuite
from headrace.testing._metadata_samples import digest, new_run

NOW = 1_000.0


def fill_two_projects(store: MetadataStore, owner: str, seconds: float) -> RunRecord:
    """Make a run of project ``ours`` with one of everything, whose lease ``owner`` has for ``seconds``, and returns it;
    ``theirs`` has another run."""
    made = new_run(store, "train", project="ours")
    RunRowsSuite().fill(store, made.id)
    segment = LogSegment(
        run_id=made.id,
        step="fit",
        number=2,
        attempt=1,
        stream="out",
        blob=Blob(digest(9), 6),
        pieces=(LogPiece(0, 1.0, 6),),
    )
    store.commit([QueueCount(made.id, "fit", 1, 0, 0, 0, 2, NOW), segment, RunFlags(made.id, pinned=True)])
    store.acquire(f"run:{made.id}", owner, seconds)
    new_run(store, "train", project="theirs")
    return made
