"""What users do to runs: cancel, answer, tag, name, pin, archive, delete and restore. The services are those of the
command line; the audit log and the run's own requests say who did it."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec

from headrace.model.records import RunRecord
from headrace.server.call import Call
from headrace.server.read.paths import RUN, RunPath, run_of
from headrace.server.routes import change
from headrace.services import control, marks
from headrace.services.describe import QuestionView, open_questions
from headrace.services.run_rows import RunRow, rows_of
from headrace.wiring import Scope

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Text = Annotated[str, msgspec.Meta(max_length=10_000)]


class SwitchPath(RunPath, frozen=True, kw_only=True):
    """A run, and whether the mark is to be there."""

    on: bool = True


class TagPath(RunPath, frozen=True, kw_only=True):
    """A tag of a run."""

    name: _Name


class Rename(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What people are to call a run; an empty text takes the name away."""

    name: Annotated[str, msgspec.Meta(max_length=200)]


class TagValue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The value of a tag; a plain tag has an empty one."""

    value: _Text = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the flow is told: any JSON value."""

    value: Any


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is about to go: until ``until``, in seconds since 1970, it can be restored."""

    run: str
    until: float


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What a run still asks, after an answer was sent."""

    questions: list[QuestionView]


def row_of(scope: Scope, run: RunRecord) -> RunRow:
    """The run as it is now."""
    return rows_of(scope.metadata, [scope.metadata.run_by_id(run.id) or run], time.time())[0]


def _cancel(call: Call[RunPath, None]) -> RunRow:
    scope, run = run_of(call)
    control.request_cancel(scope.metadata, run, scope.actor, time.time())
    return row_of(scope, run)


def _answer(call: Call[TagPath, Answer]) -> Waiting:
    scope, run = run_of(call)
    now = time.time()
    control.send_answer(scope.metadata, run, call.params.name, call.body.value, scope.actor, now)
    return Waiting(questions=open_questions(scope.metadata, run.id, now))


def _rename(call: Call[RunPath, Rename]) -> RunRow:
    scope, run = run_of(call)
    marks.rename(scope.metadata, run, call.body.name, scope.actor, time.time())
    return row_of(scope, run)


def _pin(call: Call[SwitchPath, None]) -> RunRow:
    scope, run = run_of(call)
    marks.pin(scope.metadata, run, scope.actor, time.time(), on=call.params.on)
    return row_of(scope, run)


def _archive(call: Call[SwitchPath, None]) -> RunRow:
    scope, run = run_of(call)
    marks.archive(scope.metadata, run, scope.actor, time.time(), on=call.params.on)
    return row_of(scope, run)


def _delete(call: Call[RunPath, None]) -> Deletion:
    scope, run = run_of(call)
    return Deletion(run=run.name, until=marks.delete_soon(scope.metadata, run, scope.actor, time.time()))


def _restore(call: Call[RunPath, None]) -> RunRow:
    scope, run = run_of(call)
    marks.restore(scope.metadata, run, scope.actor, time.time())
    return row_of(scope, run)


def _tag(call: Call[TagPath, TagValue]) -> RunRow:
    scope, run = run_of(call)
    control.add_tag(scope.metadata, run, (call.params.name, call.body.value), scope.actor, time.time())
    return row_of(scope, run)


def _untag(call: Call[TagPath, None]) -> RunRow:
    scope, run = run_of(call)
    control.remove_tag(scope.metadata, run, call.params.name, scope.actor, time.time())
    return row_of(scope, run)


_OF_RUN: dict[str, Any] = {"params": RunPath, "result": RunRow, "tag": "actions"}
_SWITCH: dict[str, Any] = {**_OF_RUN, "params": SwitchPath}

ROUTES = (
    change("POST", RUN + "/cancel", _cancel, "Stop a run", action="run.cancel", **_OF_RUN),
    change(
        "POST",
        RUN + "/waits/{name}/answer",
        _answer,
        "Answer a question of a run",
        params=TagPath,
        body=Answer,
        result=Waiting,
        tag="actions",
        action="run.answer",
    ),
    change("POST", RUN + "/rename", _rename, "Name a run", body=Rename, action="run.rename", **_OF_RUN),
    change("POST", RUN + "/pin", _pin, "Keep a run from being removed", action="run.pin", **_SWITCH),
    change("POST", RUN + "/archive", _archive, "Leave a run out of lists", action="run.archive", **_SWITCH),
    change(
        "POST",
        RUN + "/delete",
        _delete,
        "Delete a run, which can be undone for a while",
        params=RunPath,
        result=Deletion,
        tag="actions",
        action="run.delete",
    ),
    change("POST", RUN + "/restore", _restore, "Take back that a run was deleted", action="run.restore", **_OF_RUN),
    change(
        "PUT",
        RUN + "/tags/{name}",
        _tag,
        "Tag a run",
        params=TagPath,
        body=TagValue,
        result=RunRow,
        tag="actions",
        action="run.tag",
    ),
    change(
        "DELETE",
        RUN + "/tags/{name}",
        _untag,
        "Take a tag off a run",
        params=TagPath,
        result=RunRow,
        tag="actions",
        action="run.untag",
    ),
)
