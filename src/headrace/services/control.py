"""Acting on runs from outside of the process that drives them: cancel, answer, remove."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from headrace.model.actors import Actor
from headrace.model.errors import NotFoundError, RunBusyError, UsageError
from headrace.model.records import Request, RunRecord, Tag
from headrace.model.states import RunState
from headrace.services.describe import QuestionView, open_questions
from headrace.services.leases import awaits_driver, make_way, take_lease
from headrace.services.run_rows import driver_of
from headrace.stores.metadata.protocol import MetadataStore, RunChange, Untag


def request_cancel(metadata: MetadataStore, run: RunRecord, actor: Actor, now: float) -> RunRecord:
    """Ask the driver of ``run`` to stop it, for ``actor``; where the driver is gone, record the run as cancelled.

    Returns the run as it is now: still running, until its driver has ended all its tasks.

    Raises:
        UsageError: the run is over.
    """
    if run.state is not RunState.RUNNING:
        raise UsageError(f"{run.name} is not running, it is {run.state}")
    metadata.commit([requested(run, actor, "cancel", "", now)])
    waits = awaits_driver(metadata, run) and make_way(metadata, run)
    if not waits and driver_of(metadata, run) != "gone":
        metadata.send(run.id, "cancel", "", b"", str(actor), now)
        return run
    lease = take_lease(metadata, run)
    try:
        change = RunChange(
            run_id=run.id,
            state=RunState.CANCELLED,
            finished=now,
            error=f"cancelled by {actor} " + ("before its driver began" if waits else "after its driver was gone"),
        )
        metadata.commit([change], lease)
    finally:
        metadata.release(lease)
    return metadata.run_by_id(run.id) or run


def end_undriven(metadata: MetadataStore, run: RunRecord, why: str) -> None:
    """Record that a run which was left to another driver has failed, since there is none: ``why``."""
    make_way(metadata, run)
    lease = take_lease(metadata, run)
    try:
        change = RunChange(run_id=run.id, state=RunState.FAILED, finished=time.time(), error=why)
        metadata.commit([change], lease)
    finally:
        metadata.release(lease)


def wait_until_over(metadata: MetadataStore, run: RunRecord, seconds: float) -> RunRecord:
    """``run`` once it is no longer running, or as it is after ``seconds``."""
    end = time.monotonic() + seconds
    while True:
        current = metadata.run_by_id(run.id) or run
        if current.state is not RunState.RUNNING or time.monotonic() >= end:
            return current
        time.sleep(0.1)


def send_answer(metadata: MetadataStore, run: RunRecord, name: str, value: Any, actor: Actor, now: float) -> None:
    """Answer the question ``name`` of ``run``, for ``actor``; the run takes it now or when it is resumed.

    Raises:
        NotFoundError: the run does not ask that.
    """
    questions = open_questions(metadata, run.id, now)
    if name not in {question.name for question in questions}:
        raise NotFoundError(f"{run.name} does not ask {name!r}{_asked(questions)}")
    metadata.commit([requested(run, actor, "answer", name, now)])
    metadata.send(run.id, "answer", name, msgspec.msgpack.encode(value), str(actor), now)


def _asked(questions: list[QuestionView]) -> str:
    if not questions:
        return "; it waits for no answer"
    return "; it asks " + ", ".join(repr(question.name) for question in questions)


def add_tag(metadata: MetadataStore, run: RunRecord, tag: tuple[str, str], actor: Actor, now: float) -> None:
    """Tag ``run``, for ``actor``: a name and a value; a tag of that name gets the new value."""
    name, value = tag
    detail = f"{name}={value}" if value else name
    metadata.commit([Tag(run.id, name, value), requested(run, actor, "tag", detail, now)])


def remove_tag(metadata: MetadataStore, run: RunRecord, name: str, actor: Actor, now: float) -> None:
    """Take a tag off ``run``, for ``actor``; nothing happens when it is not there."""
    metadata.commit([Untag(run.id, name), requested(run, actor, "untag", name, now)])


def delete_run(metadata: MetadataStore, run: RunRecord, actor: Actor, now: float) -> None:
    """Forget ``run`` with all that belongs to it, for ``actor``; that it was there, and who deleted it, stays."""
    metadata.commit([requested(run, actor, "delete", "", now)])
    metadata.delete_run(run.id)


def requested(run: RunRecord, actor: Actor, action: str, detail: str, now: float) -> Request:
    """The row that says who changed something of ``run``."""
    return Request(run.id, run.project, run.name, action, detail, str(actor), now)


def check_removable(metadata: MetadataStore, run: RunRecord) -> None:
    """Refuse to remove a run that has a live driver, or is pinned.

    Raises:
        RunBusyError: it is running, or may be.
        UsageError: it is pinned.
    """
    if any(one.pinned for one in metadata.flags([run.id])):
        raise UsageError(f"{run.name} is pinned, which keeps it from being removed: headrace mark {run.name} --unpin")
    if driver_of(metadata, run) not in ("", "gone"):
        raise RunBusyError(f"{run.name} is running; stop it first: headrace cancel {run.name}")
