"""Two runs side by side: parameters, code, packages, metrics, and outputs by digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from headrace.model.records import FLOW_TASK, ArtifactRecord, RunDetails, RunRecord, TaskId, TaskRecord
from headrace.model.states import TaskState
from headrace.model.values import Blob
from headrace.services.code.package import sources_of
from headrace.services.describe import details_of
from headrace.services.environment_changes import contents_of_tasks, differences
from headrace.services.names import task_name
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something that differs: None on the side that lacks it."""

    name: str
    left: str | None
    right: str | None


class MetricChange(msgspec.Struct, frozen=True, kw_only=True):
    """The last value of a metric on both sides; ``change`` is right minus left."""

    name: str
    left: float | None
    right: float | None
    change: float | None


class StepChange(msgspec.Struct, frozen=True, kw_only=True):
    """A step: tasks on both sides, those called with equal inputs, and which of these made different outputs.

    ``code_changed`` is None where the code of a side is not known, as that of imported runs is not. ``environment``:
    what differs between the environments of the first tasks, where the step has one of its own.
    """

    step: str
    left: int
    right: int
    equal_inputs: int
    equal_outputs: int
    different: list[str]
    code_changed: bool | None
    environment: list[str]


class RunDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between two runs; lists hold differences only, ``steps`` all steps.

    ``outputs`` compares steps that have one task on both sides, by ``STEP/NAME``. ``result`` is ``same``,
    ``different``, or ``missing`` when not both runs have one.
    """

    left: str
    right: str
    facts: list[Change]
    params: list[Change]
    files: list[Change]
    packages: list[Change]
    metrics: list[MetricChange]
    steps: list[StepChange]
    outputs: list[Change]
    result: str


#: Larger files are not compared line by line.
_COMPARED = 1 << 20
_Tasks = dict[str, dict[bytes, TaskRecord]]
_Digests = dict[TaskId, dict[str, bytes]]


def compare_runs(metadata: MetadataStore, artifacts: ArtifactStore, left: RunRecord, right: RunRecord) -> RunDiff:
    """What differs between ``left`` and ``right``, both with their details (``run_by_id``).

    Raises:
        BlobError: a code package is gone or damaged.
    """
    before, after = details_of(left), details_of(right)
    params: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for param in metadata.params([left.id, right.id]):
        for side, run in enumerate((left, right)):
            if param.run_id == run.id:
                params[side][param.name] = param.text
    sides = [_by_step(metadata.tasks(run.id)) for run in (left, right)]
    environments = _environments(metadata, artifacts, (left, right), sides)
    made = [[one for one in metadata.artifacts(run.id) if one.kind == "output"] for run in (left, right)]
    return RunDiff(
        left=left.name,
        right=right.name,
        facts=_changes(_facts(left, before), _facts(right, after)),
        params=_changes(*params),
        files=_files(artifacts, before, after),
        packages=_known(before.packages, after.packages),
        metrics=_metrics(metadata, left.id, right.id),
        steps=_steps(sides, [_digests(one) for one in made], right, environments),
        outputs=_outputs(sides, made),
        result=_result(metadata, left.id, right.id),
    )


def _facts(run: RunRecord, details: RunDetails) -> dict[str, str]:
    return {
        "state": str(run.state),
        "file": run.entry,
        "git": run.git_commit[:12] + (" with local changes" if run.git_dirty else ""),
        "code": details.code.package.hex[:12] if details.code is not None else "",
        "seed": "" if details.seed is None else str(details.seed),
        "python": details.python,
        "host": run.host,
    }


def _files(artifacts: ArtifactStore, before: RunDetails, after: RunDetails) -> list[Change]:
    if before.code is not None and after.code is not None and before.code.package == after.code.package:
        return []
    sides = [sources_of(details, artifacts) for details in (before, after)]
    left, right = [{name: blob.hex[:12] for name, blob in side.items()} for side in sides]
    return _known(left, right)


def _code_changed(left: set[bytes], right: set[bytes]) -> bool | None:
    if not left or not right:
        return False
    return None if b"" in left | right else left != right


def _known(left: Mapping[str, str], right: Mapping[str, str]) -> list[Change]:
    """Changes, where it is known of both sides what they had."""
    return _changes(left, right) if left and right else []


def _changes(left: Mapping[str, str], right: Mapping[str, str]) -> list[Change]:
    return [
        Change(name=name, left=left.get(name), right=right.get(name))
        for name in dict.fromkeys([*left, *right])
        if left.get(name) != right.get(name)
    ]


def _metrics(metadata: MetadataStore, left: int, right: int) -> list[MetricChange]:
    values: dict[str, dict[int, float]] = {}
    for summary in metadata.metric_summaries([left, right]):
        values.setdefault(summary.name, {})[summary.run_id] = summary.last
    found = []
    for name, sides in values.items():
        a, b = sides.get(left), sides.get(right)
        if a != b:
            found.append(MetricChange(name=name, left=a, right=b, change=None if a is None or b is None else b - a))
    return found


def _steps(
    sides: list[_Tasks], digests: list[_Digests], right: RunRecord, environments: Mapping[str, list[str]]
) -> list[StepChange]:
    found = []
    for step in dict.fromkeys([*sides[0], *sides[1]]):
        a, b = sides[0].get(step, {}), sides[1].get(step, {})
        common = [key for key in a if key in b]
        different = [
            task_name(right, b[key].id) for key in common if digests[0].get(a[key].id) != digests[1].get(b[key].id)
        ]
        found.append(
            StepChange(
                step=step,
                left=len(a),
                right=len(b),
                equal_inputs=len(common),
                equal_outputs=len(common) - len(different),
                different=different,
                code_changed=_code_changed({one.code for one in a.values()}, {one.code for one in b.values()}),
                environment=environments.get(step, []),
            )
        )
    return found


def _environments(
    metadata: MetadataStore, artifacts: ArtifactStore, runs: tuple[RunRecord, RunRecord], sides: list[_Tasks]
) -> dict[str, list[str]]:
    """What differs between the environments of steps that are in both runs and have one of their own in one of them."""
    found = {}
    for step in sides[0]:
        if step in sides[1]:
            tasks = [next(iter(side[step].values())) for side in sides]
            if tasks[0].environment != tasks[1].environment:
                contents = [
                    contents_of_tasks(metadata, artifacts, run, step, task.environment)
                    for run, task in zip(runs, tasks, strict=True)
                ]
                if contents[0].label or contents[1].label:
                    found[step] = differences(*contents)
    return found


def _by_step(tasks: Iterable[TaskRecord]) -> _Tasks:
    found: _Tasks = {}
    for task in sorted(tasks, key=lambda one: one.created):
        if task.state is not TaskState.STALE:
            found.setdefault(task.step, {})[task.key] = task
    return found


def _digests(made: list[ArtifactRecord]) -> _Digests:
    found: _Digests = {}
    for one in made:
        found.setdefault(TaskId(one.step, one.number), {})[one.name] = one.value.digest
    return found


def _outputs(sides: list[_Tasks], made: list[list[ArtifactRecord]]) -> list[Change]:
    """What steps that have one task on both sides made differently."""
    single = {step for step in sides[0] if len(sides[0][step]) == len(sides[1].get(step, ())) == 1}
    current = [{task.id for tasks in side.values() for task in tasks.values()} for side in sides]
    found: list[dict[tuple[str, str], ArtifactRecord]] = [
        {
            (one.step, one.name): one
            for one in artifacts
            if one.step in single and TaskId(one.step, one.number) in ids and not one.name.startswith("_")
        }
        for ids, artifacts in zip(current, made, strict=True)
    ]
    changes = []
    place = {step: number for number, step in enumerate(sides[0])}
    for name in sorted(dict.fromkeys([*found[0], *found[1]]), key=lambda one: place[one[0]]):
        a, b = found[0].get(name), found[1].get(name)
        if a is None or b is None or a.value.digest != b.value.digest:
            left, right = _text_of(a), _text_of(b)
            changes.append(
                Change(name="/".join(name), left=left, right=f"{right}, other content" if left == right else right)
            )
    return changes


def _text_of(one: ArtifactRecord | None) -> str | None:
    return None if one is None else one.preview.text or one.preview.type or one.value.codec


def _result(metadata: MetadataStore, left: int, right: int) -> str:
    digests = [
        next((one.value.digest for one in metadata.artifacts(run, FLOW_TASK) if one.name == "result"), None)
        for run in (left, right)
    ]
    if None in digests:
        return "missing"
    return "same" if digests[0] == digests[1] else "different"


def source_diff(artifacts: ArtifactStore, left: RunRecord, right: RunRecord) -> str:
    """What source files differ in, as a unified diff.

    Raises:
        BlobError: a file's content is gone or damaged.
    """
    from difflib import unified_diff

    before, after = [sources_of(details_of(run), artifacts) for run in (left, right)]
    lines: list[str] = []
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            old, new = _text(artifacts, before.get(name)), _text(artifacts, after.get(name))
            lines += unified_diff(old, new, f"{left.name}/{name}", f"{right.name}/{name}")
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def _text(artifacts: ArtifactStore, blob: Blob | None) -> list[str]:
    if blob is None:
        return []
    if blob.size > _COMPARED:
        return [f"a file of {blob.size} bytes, {blob.hex[:12]}\n"]
    return bytes(artifacts.get(blob)).decode(errors="replace").splitlines(keepends=True)
