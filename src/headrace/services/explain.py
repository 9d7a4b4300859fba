"""Why a task ran or was reused: the parts of its key, and which of them changed against another task."""

from __future__ import annotations

import msgspec

from headrace.identity.keys import input_digest
from headrace.model.records import AttemptRecord, RunRecord, TaskRecord
from headrace.model.states import AttemptState, TaskState
from headrace.services.codeparts import CodeParts, code_of_step
from headrace.services.describe import was_reused
from headrace.services.environment_changes import contents_of_tasks, differences
from headrace.services.names import task_name
from headrace.services.tasks import InputView, view_inputs
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore, RunFilter


class PartChange(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a key in two tasks: ``part`` is ``step``, ``argument NAME``, ``occurrence``, ``code`` or
    ``environment``; ``left`` is the other task's, ``right`` the explained one's. ``details`` name what differs inside.
    """

    part: str
    same: bool
    left: str
    right: str
    details: list[str]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of the key of ``task``, another task, beside those of the explained one."""

    task: str
    parts: list[PartChange]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why ``task`` stands where it does.

    ``verdict``: ``ran``, ``ran again``, ``reused``, ``cached``, ``not run``, ``stale``. ``place`` is where its last
    attempt ran, on ``host``; empty if none did. ``code_parts``: name ->
    digest of the user code its step reaches. ``code_changed``: parts that changed since its previous attempt.
    """

    task: str
    state: str
    verdict: str
    reason: str
    place: str
    host: str
    step: str
    occurrence: int
    inputs: list[InputView]
    code: str
    code_parts: dict[str, str]
    code_changed: list[str]
    environment: str
    environment_label: str
    key: str
    cache_key: str
    compared: Comparison | None


class _Sources(msgspec.Struct, frozen=True):
    """Where to look things up."""

    metadata: MetadataStore
    artifacts: ArtifactStore


def explain_task(
    metadata: MetadataStore,
    artifacts: ArtifactStore,
    run: RunRecord,
    task: TaskRecord,
    other: tuple[RunRecord, TaskRecord] | None = None,
) -> Explanation:
    """Explain ``task`` of ``run``, beside ``other`` or, when that is None, the task it most likely compares with."""
    where = _Sources(metadata, artifacts)
    versions = code_of_step(metadata, artifacts, run.id, task.step)
    parts = next((one.parts for one in versions if one.digest == task.code), {})
    attempts = metadata.attempts(run.id, task.id)
    changed = changed_since(versions, task, attempts, run)
    verdict, reason = verdict_of(run, task, attempts, changed)
    if other is None:
        other = _counterpart(metadata, run, task)
    return Explanation(
        task=task_name(run, task.id),
        state=str(task.state),
        verdict=verdict,
        reason=reason,
        place=attempts[-1].place if attempts else "",
        host=attempts[-1].host if attempts else "",
        step=task.step,
        occurrence=task.occurrence,
        inputs=view_inputs(metadata, artifacts, run, task.inputs),
        code=task.code.hex(),
        code_parts=parts,
        code_changed=changed or [],
        environment=task.environment.hex(),
        environment_label=contents_of_tasks(metadata, artifacts, run, task.step, task.environment).label,
        key=task.key.hex(),
        cache_key=task.cache_key.hex(),
        compared=None if other is None else _compare(where, *other, run, task),
    )


# --- why ----------------------------------------------------------------------------------------------------------


def changed_since(
    versions: list[CodeParts], task: TaskRecord, attempts: list[AttemptRecord], run: RunRecord
) -> list[str] | None:
    """Parts that changed between the last attempt of an earlier session and the code of now; None: nothing known."""
    earlier = [one for one in attempts if one.started < run.started]
    if not earlier:
        return None
    now = next((one for one in versions if one.digest == task.code), None)
    before = [one for one in versions if one.seen <= earlier[-1].started and one.digest != task.code]
    if now is None or not before or now.seen <= earlier[-1].started:
        return None
    return differing_parts(before[-1].parts, now.parts)


def differing_parts(left: dict[str, str], right: dict[str, str]) -> list[str]:
    """Names of code that changed, came or went."""
    found = []
    for name in dict.fromkeys([*left, *right]):
        if name not in left:
            found.append(f"{name} (new)")
        elif name not in right:
            found.append(f"{name} (gone)")
        elif left[name] != right[name]:
            found.append(name)
    return found


def verdict_of(
    run: RunRecord, task: TaskRecord, attempts: list[AttemptRecord], changed: list[str] | None
) -> tuple[str, str]:
    """Why ``task`` ran or not: a verdict as in ``Explanation``, and a sentence.

    Args:
        attempts: all of the task.
        changed: as ``changed_since`` says.
    """
    if task.state is TaskState.STALE:
        return "stale", f"the last session of {run.name} did not call it, so its outputs are not part of the result"
    if task.reused_from and not task.cache_key:
        reason = "had finished it with the same inputs; resuming that run as a new one took it over, edited or not"
        return "reused", f"{task.reused_from} {reason}"
    if task.reused_from:
        return "cached", f"{task.reused_from} had the same step, code, inputs and environment; its outputs were taken"
    if was_reused(run, task):
        return "reused", "an earlier session of this run had finished it with the same inputs"
    current = [one for one in attempts if one.started >= run.started]
    earlier = [one for one in attempts if one.started < run.started]
    if not current and not earlier:
        return "not run", f"it is {task.state}" + (f": {task.error}" if task.error else "")
    if not current:
        return "not run", f"this session of the run did not come to it; it is {task.state}"
    if earlier:
        return "ran again", _why_again(earlier[-1], changed)
    reason = "this run had not been asked for these inputs before"
    if run.session > 1:
        reason = "no earlier session of this run had been asked for these inputs"
    if task.cache_key:
        reason += ", and the cache held no result for its step, code, inputs and environment"
    else:
        reason += "; its step takes nothing from the cache"
        reason += " (cache=True would)" if run.dialect == "native" else ""
    return "ran", reason


def _why_again(last: AttemptRecord, changed: list[str] | None) -> str:
    if last.state is AttemptState.FAILED:
        why = f"attempt {last.attempt}, in an earlier session, had failed: {last.error}"
        return why + (f" (and the code of its step changed: {', '.join(changed)})" if changed else "")
    if last.state is AttemptState.CANCELLED:
        return f"attempt {last.attempt}, in an earlier session, was stopped"
    if last.state in (AttemptState.LOST, AttemptState.RUNNING):
        return f"attempt {last.attempt} was lost with the process that ran it"
    if changed:
        return f"the code of its step changed: {', '.join(changed)}"
    if changed is not None:
        return "the code of its step changed"
    return "it was asked for (--from), its outputs were gone, or the code of its step changed"


# --- beside another task ------------------------------------------------------------------------------------------


def _counterpart(metadata: MetadataStore, run: RunRecord, task: TaskRecord) -> tuple[RunRecord, TaskRecord] | None:
    """The task to compare with: what an earlier session had in its place, else the same one of the run before."""
    stale = [one for one in metadata.tasks(run.id, task.step, states=("stale",)) if one.id != task.id]
    if stale and task.state is not TaskState.STALE:
        return run, max(stale, key=lambda one: _likeness(one, task))
    before = metadata.runs(RunFilter(project=run.project, flow=run.flow, before_id=run.id, limit=1))
    for record in before:
        tasks = metadata.tasks(record.id, task.step, limit=500)
        same = [one for one in tasks if one.key == task.key] or [one for one in tasks if one.number == task.number]
        if same:
            return metadata.run_by_id(record.id) or record, same[0]
    return None


def _likeness(one: TaskRecord, other: TaskRecord) -> tuple[int, bool]:
    mine = {item.name: input_digest(item) for item in one.inputs}
    equal = sum(mine.get(item.name) == input_digest(item) for item in other.inputs)
    return equal, one.number == other.number


def _compare(where: _Sources, run: RunRecord, other: TaskRecord, own_run: RunRecord, task: TaskRecord) -> Comparison:
    metadata, artifacts = where.metadata, where.artifacts
    left = {one.name: one for one in view_inputs(metadata, artifacts, run, other.inputs)}
    right = {one.name: one for one in view_inputs(metadata, artifacts, own_run, task.inputs)}
    parts = [_part("step", other.step, task.step)]
    for name in dict.fromkeys([*left, *right]):
        a, b = left.get(name), right.get(name)
        # What only one call wrote out may be the default, which both had.
        same = a.digest == b.digest if a is not None and b is not None else other.key == task.key
        parts.append(PartChange(part=f"argument {name}", same=same, left=_shown(a), right=_shown(b), details=[]))
    parts.append(_part("occurrence", str(other.occurrence), str(task.occurrence)))
    parts.append(
        _part("code", other.code.hex()[:12], task.code.hex()[:12], _code_details(where, run, other, own_run, task))
    )
    parts.append(_environment_part(where, run, other, own_run, task))
    if task.cache_key:
        parts.append(_part("cache", "on" if other.cache_key else "off", "on"))
    return Comparison(task=task_name(run, other.id), parts=parts)


def _part(name: str, left: str, right: str, details: list[str] | None = None) -> PartChange:
    return PartChange(part=name, same=left == right, left=left, right=right, details=details or [])


def _shown(view: InputView | None) -> str:
    if view is None:
        return "(not given)"
    return view.text or f"{view.type or view.codec} {view.digest[:12]}"


def _code_details(
    where: _Sources, run: RunRecord, other: TaskRecord, own_run: RunRecord, task: TaskRecord
) -> list[str]:
    if other.code == task.code:
        return []
    found = []
    for owner, one in ((run, other), (own_run, task)):
        versions = code_of_step(where.metadata, where.artifacts, owner.id, one.step)
        found.append(next((version.parts for version in versions if version.digest == one.code), None))
    left, right = found
    return differing_parts(left, right) if left is not None and right is not None else []


def _environment_part(
    where: _Sources, run: RunRecord, other: TaskRecord, own_run: RunRecord, task: TaskRecord
) -> PartChange:
    found: list[str] = []
    if other.environment != task.environment:
        sides = [
            contents_of_tasks(where.metadata, where.artifacts, owner, one.step, one.environment)
            for owner, one in ((run, other), (own_run, task))
        ]
        found = differences(*sides)
    return _part("environment", other.environment.hex()[:12], task.environment.hex()[:12], found)
