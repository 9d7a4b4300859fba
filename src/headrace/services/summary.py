"""What to say about a run when it is over."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from headrace.model.records import FLOW_TASK, UNLISTED, RunRecord, TaskId
from headrace.services.describe import ALL_ROWS, ArtifactView, FailureView, details_of, failure_of, view_artifact
from headrace.services.run_rows import duration_of
from headrace.stores.metadata.protocol import MetadataStore


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended: ``executed`` and ``reused`` count succeeded tasks of this session; sizes are bytes.

    ``artifacts_size`` is None for a very large run. ``result`` is there when the run succeeded.
    """

    run: str
    state: str
    duration: float | None
    executed: int
    reused: int
    failed: int
    cancelled: int
    seed: int | None
    result: ArtifactView | None
    artifacts_size: int | None
    failure: FailureView | None


def summarize(metadata: MetadataStore, run: RunRecord, counts: Mapping[str, Mapping[str, int]], reused: int) -> Summary:
    """How ``run`` ended, given its session's counts of tasks by step and state, and how many of these were reused."""
    succeeded = sum(states.get("succeeded", 0) for states in counts.values())
    total = sum(sum(states.values()) for states in counts.values())
    size = None
    if total <= ALL_ROWS:
        records = metadata.artifacts(run.id)
        size = sum(one.value.size for one in records if one.kind not in UNLISTED)
        results = [one for one in records if TaskId(one.step, one.number) == FLOW_TASK and one.name == "result"]
    else:
        results = [one for one in metadata.artifacts(run.id, FLOW_TASK) if one.name == "result"]
    return Summary(
        run=run.name,
        state=str(run.state),
        duration=duration_of(run, time.time()),
        executed=succeeded - reused,
        reused=reused,
        failed=sum(states.get("failed", 0) for states in counts.values()),
        cancelled=sum(states.get("cancelled", 0) for states in counts.values()),
        seed=details_of(run).seed,
        result=view_artifact(run, results[0]) if results and run.state == "succeeded" else None,
        artifacts_size=size,
        failure=failure_of(metadata, run),
    )
