"""Why the tasks of a run ran or were reused, gathered by step: what ``explain`` says of each, counted."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headrace.model.records import AttemptRecord, RunRecord, TaskRecord
from headrace.services.codeparts import code_of_step
from headrace.services.explain import changed_since, verdict_of
from headrace.services.names import task_name
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore

#: Tasks of a step that are looked at, the first ones; and attempts that are read at once.
MOST_TASKS = 2_000
_PAGE = 2_000


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks of a step with the same verdict for the same reason: how many, and the first of them.

    ``verdict`` is one of those of ``Explanation``.
    """

    verdict: str
    reason: str
    tasks: int
    example: str


class StepExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a run. ``verdicts`` counts its tasks; of more than ``looked_at`` tasks, those were counted alone."""

    step: str
    total: int
    looked_at: int
    verdicts: dict[str, int]
    reasons: list[Reason]
    code_changed: list[str]


class RunExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why the tasks of ``run`` ran or were reused, by step in the order in which steps were first called."""

    run: str
    session: int
    verdicts: dict[str, int]
    steps: list[StepExplanation]


def explain_run(metadata: MetadataStore, artifacts: ArtifactStore, run: RunRecord) -> RunExplanation:
    """Explain the tasks of ``run``, at most ``MOST_TASKS`` of each step."""
    totals: dict[str, int] = {}
    for one in metadata.step_counts(run.id):
        if one.step:
            totals[one.step] = totals.get(one.step, 0) + one.count
    steps = [_explain_step(metadata, artifacts, run, step, total) for step, total in totals.items()]
    verdicts: dict[str, int] = {}
    for step_view in steps:
        for verdict, count in step_view.verdicts.items():
            verdicts[verdict] = verdicts.get(verdict, 0) + count
    return RunExplanation(run=run.name, session=run.session, verdicts=verdicts, steps=steps)


def _explain_step(
    metadata: MetadataStore, artifacts: ArtifactStore, run: RunRecord, step: str, total: int
) -> StepExplanation:
    tasks = metadata.tasks(run.id, step, limit=MOST_TASKS)
    versions = code_of_step(metadata, artifacts, run.id, step)
    verdicts: dict[str, int] = {}
    reasons: dict[tuple[str, str], Reason] = {}
    code_changed: dict[str, None] = {}
    for task, attempts in _with_attempts(metadata, run, step, tasks):
        changed = changed_since(versions, task, attempts, run)
        code_changed.update(dict.fromkeys(changed or ()))
        verdict, reason = verdict_of(run, task, attempts, changed)
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
        known = reasons.get((verdict, reason))
        if known is None:
            known = Reason(verdict=verdict, reason=reason, tasks=0, example=task_name(run, task.id))
        reasons[verdict, reason] = msgspec.structs.replace(known, tasks=known.tasks + 1)
    return StepExplanation(
        step=step,
        total=total,
        looked_at=len(tasks),
        verdicts=verdicts,
        reasons=sorted(reasons.values(), key=lambda one: -one.tasks)[:20],
        code_changed=list(code_changed),
    )


def _with_attempts(
    metadata: MetadataStore, run: RunRecord, step: str, tasks: list[TaskRecord]
) -> Iterator[tuple[TaskRecord, list[AttemptRecord]]]:
    """Tasks of one step by number, each with its attempts, which are read in pages."""
    by_number: dict[int, list[AttemptRecord]] = {}
    last, after, more = -1, (step, 0, 0), True
    for task in tasks:
        while more and last <= task.number:  # the attempts of one task may lie in two pages
            page = metadata.attempts(run.id, after=after, limit=_PAGE)
            own = [one for one in page if one.step == step]
            for one in own:
                by_number.setdefault(one.number, []).append(one)
            more = len(own) == _PAGE
            if own:
                after = (step, own[-1].number, own[-1].attempt)
                last = own[-1].number
        yield task, by_number.pop(task.number, [])
