"""Runs as rows of a listing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headrace._base.process import owner_alive
from headrace.model.errors import UsageError
from headrace.model.records import Param, RunRecord
from headrace.model.states import RunState
from headrace.stores.metadata.protocol import MetadataStore, RunFilter

_BIRTH = 2.0


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """A run in a listing. Times are seconds since the epoch, ``duration`` seconds of its last session.

    ``driver`` of a run in state ``running``: ``alive``, ``gone`` (killed: ``resume`` goes on) or ``unknown`` (on
    another machine); empty for others. ``params`` holds values where they are plain, else texts.
    """

    name: str
    flow: str
    number: int
    state: str
    driver: str
    created: float
    started: float
    finished: float | None
    duration: float | None
    session: int
    user: str
    host: str
    params: dict[str, Any]
    metrics: dict[str, float]
    tags: dict[str, str]
    failed_task: str
    error: str


def list_runs(metadata: MetadataStore, want: RunFilter, now: float) -> list[RunRow]:
    """Runs that match ``want``, newest first, with their last metrics, parameters and tags."""
    return rows_of(metadata, metadata.runs(want), now)


def rows_of(metadata: MetadataStore, runs: Sequence[RunRecord], now: float) -> list[RunRow]:
    """``runs`` as rows, in their order."""
    ids = [run.id for run in runs]
    if not ids:
        return []
    params: dict[int, dict[str, Any]] = {}
    metrics: dict[int, dict[str, float]] = {}
    tags: dict[int, dict[str, str]] = {}
    for param in metadata.params(ids):
        params.setdefault(param.run_id, {})[param.name] = plain_param(param)
    for metric in metadata.metric_summaries(ids):
        metrics.setdefault(metric.run_id, {})[metric.name] = metric.last
    for tag in metadata.tags(ids):
        tags.setdefault(tag.run_id, {})[tag.name] = tag.value
    return [
        RunRow(
            name=run.name,
            flow=run.flow,
            number=run.number,
            state=str(run.state),
            driver=driver_of(metadata, run, now),
            created=run.created,
            started=run.started,
            finished=run.finished,
            duration=duration_of(run, now),
            session=run.session,
            user=run.user,
            host=run.host,
            params=params.get(run.id, {}),
            metrics=metrics.get(run.id, {}),
            tags=tags.get(run.id, {}),
            failed_task=run.failed_task,
            error=run.error,
        )
        for run in runs
    ]


def driver_of(metadata: MetadataStore, run: RunRecord, now: float) -> str:
    """Whether the process that drives a running run lives: ``alive``, ``gone`` or ``unknown``; ``""`` otherwise."""
    if run.state is not RunState.RUNNING:
        return ""
    lease = metadata.lease(f"run:{run.id}")
    if lease is None:  # a run gets its lease a moment after its row
        return "gone" if now - run.created > _BIRTH else "unknown"
    alive = owner_alive(lease.owner)
    if alive is None:
        return "unknown" if lease.expires > now else "gone"
    return "alive" if alive and lease.expires > now - 60 else "gone"


def duration_of(run: RunRecord, now: float) -> float | None:
    """Seconds the last session took, or takes so far; None when its driver died without a word."""
    if run.finished is not None:
        return max(0.0, run.finished - run.started)
    return max(0.0, now - run.started) if run.state is RunState.RUNNING else None


def plain_param(param: Param) -> Any:
    """The value of a parameter where its text is JSON, else the text."""
    try:
        return msgspec.json.decode(param.text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return param.text


def parse_where(text: str) -> tuple[str, str, float | str]:
    """``metrics.accuracy > 0.9`` as the condition of a ``RunFilter``.

    Raises:
        UsageError: it is not a condition.
    """
    for index, char in enumerate(text):
        if char in "=!<>":
            operator = text[index : index + 2] if text[index + 1 : index + 2] == "=" else char
            subject, value = text[:index].strip(), text[index + len(operator) :].strip()
            if subject and value and operator != "!":
                return subject, "=" if operator == "==" else operator, _unquoted(value)
            break
    raise UsageError(f"{text!r} is not a condition; write one such as 'metrics.accuracy > 0.9' or 'params.depth = 4'")


def _unquoted(value: str) -> float | str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    try:
        return float(value)
    except ValueError:
        return value


def parse_states(names: Sequence[str]) -> tuple[RunState, ...]:
    """States by name.

    Raises:
        UsageError: there is no such state.
    """
    try:
        return tuple(RunState(name.lower()) for one in names for name in one.split(",") if name)
    except ValueError:
        raise UsageError(f"{', '.join(names)}: the states are {', '.join(RunState)}") from None
