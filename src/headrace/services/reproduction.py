"""Running a run again as it is recorded: what the record lacks for that, and how the second run compares to the first.

Nothing is unpickled here: artifacts are compared by digest. Who may load values says how they differ (``How``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from headrace.model.actors import Actor
from headrace.model.environments import EnvironmentLock
from headrace.model.errors import NotFoundError, UsageError
from headrace.model.records import FLOW_TASK, UNLISTED, ArtifactRecord, RunDetails, RunRecord, TaskId, TaskRecord
from headrace.model.states import TaskState
from headrace.model.workers import LOCAL
from headrace.runtime.containers.found import find_engine
from headrace.services import control, provenance
from headrace.services.code.recorded_code import code_of
from headrace.services.describe import details_of
from headrace.services.environments.locking import is_of_this_platform
from headrace.services.environments.records import locks_of_run
from headrace.services.names import Name, find_step, find_task, task_name
from headrace.services.paging import each_artifact
from headrace.services.run_rows import driver_of
from headrace.services.session import Reproduces
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore

if TYPE_CHECKING:
    from headrace.services.environments.service import Environments

#: The tag of a run that was reproduced; its value is the name of the run that did.
TAG = "reproduced"
#: Packages that differ which a line names.
_NAMED = 6

#: Says how two artifacts differ, in lines.
How = Callable[[ArtifactRecord, ArtifactRecord], list[str]]


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the record lacks to reproduce the run, or that is another here.

    ``kind``: code, randomness, secrets, environment, image, python, platform, place, folder, sessions or answers.
    """

    kind: str
    text: str


class ArtifactComparison(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact of both runs: digests in hexadecimal, empty where a run has none; ``how`` they differ.

    ``same_inputs`` says whether the tasks that made them had equal inputs, so that the step itself made the difference.
    """

    name: str
    task: str
    step: str
    equal: bool
    same_inputs: bool
    before: str
    now: str
    type: str
    how: list[str]


class StepComparison(msgspec.Struct, frozen=True, kw_only=True):
    """A step of both runs: tasks in the first run, artifacts compared, how many are equal; tasks that are missing now.

    ``verdict``: ``equal``, ``differs`` (with equal inputs), ``follows`` (with other inputs), ``missing`` (did not run).
    """

    step: str
    tasks: int
    artifacts: int
    equal: int
    missing: list[str]
    verdict: str


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """How a run compares to the one that it runs again.

    ``first`` names the first task, in the order of the original, whose inputs were equal and whose outcome was not; the
    run itself if that is its flow function; empty if there is none.
    """

    original: str
    run: str
    equal: bool
    first: str
    state_before: str
    state: str
    artifacts: list[ArtifactComparison]
    steps: list[StepComparison]
    gaps: list[Gap]
    verified: bool = False

    @property
    def differences(self) -> list[ArtifactComparison]:
        """The artifacts that differ."""
        return [one for one in self.artifacts if not one.equal]


# --- before it starts ---------------------------------------------------------------------------------------------


def what_to_run(metadata: MetadataStore, run: RunRecord, name: Name) -> Reproduces:
    """What of ``run`` is to run again: all of it, or the tasks of the step, or the task, that ``name`` says.

    Raises:
        UsageError: the run is going on, or ``name`` names an artifact.
        NotFoundError: there is no such step or task, or it did not succeed.
    """
    if driver_of(metadata, run) not in ("", "gone"):
        raise UsageError(f"{run.name} is still running; wait for its end, or stop it: headrace cancel {run.name}")
    if run.dialect == "track":
        raise UsageError(
            f"{run.name} was tracked in a program of its own; Headrace did not run it and cannot run it again"
        )
    if name.output:
        raise UsageError(f"{name.output!r} is an artifact; name its task: {run.name}/{name.step}/{name.task}")
    if not name.step:
        return Reproduces(run=run)
    if name.task is not None:
        task = find_task(metadata, run, name)
        if task.state not in (TaskState.SUCCEEDED, TaskState.FAILED):
            raise NotFoundError(f"{task_name(run, task.id)} is {task.state}: there is no outcome to compare with")
        return Reproduces(run=run, part=str(task.id), tasks=frozenset([task.id]))
    states = (TaskState.SUCCEEDED, TaskState.FAILED)
    tasks = find_step(metadata, run, name.step, states=states)
    if not tasks:
        raise NotFoundError(f"no task of step {name.step!r} of {run.name} ended: there is no outcome to compare with")
    return Reproduces(run=run, part=name.step, tasks=frozenset(one.id for one in tasks))


def gaps(metadata: MetadataStore, artifacts: ArtifactStore, run: RunRecord) -> list[Gap]:
    """What the record of ``run`` lacks to reproduce it here, or is another here; it can be tried nevertheless.

    Raises:
        UsageError: it cannot even be tried: there is no code, or a parameter is gone.
        BlobError: the code package is gone or damaged.
    """
    details = details_of(run)
    found = [*_code_gaps(artifacts, run, details)]
    _check_inputs(artifacts, run)
    if details.seed is None:
        text = "the run had no seed, so what its tasks drew by chance is another now"
        found.append(Gap(kind="randomness", text=text))
    found += _secret_gaps(metadata, run, details)
    found += _machine_gaps(details, _locks(metadata, artifacts, run))
    found += _history_gaps(metadata, run)
    return found


def _code_gaps(artifacts: ArtifactStore, run: RunRecord, details: RunDetails) -> Iterable[Gap]:
    code = code_of(run, artifacts)
    if not code.files or (details.code is not None and code.entry.startswith(":")):
        why = details.left_out.get(run.entry.rpartition(":")[0].rpartition("/")[2], "")
        raise UsageError(
            f"{run.name} cannot be run again: it kept no code that its flow can be loaded from"
            + (f" ({why})" if why else "; it was started in a notebook or at a prompt")
        )
    missing = artifacts.missing(code.files.values())
    if missing:
        raise UsageError(f"{run.name} cannot be run again: {len(missing)} files of its code are gone from the store")
    if details.code is None:
        yield Gap(kind="code", text="an older Headrace kept source files alone, so modules that steps import may lack")
        if run.git_dirty:
            yield Gap(kind="code", text=f"the working tree had changes that are not in commit {run.git_commit[:12]}")
    for path, reason in sorted(details.left_out.items()):
        if path not in ("git diff", "surroundings"):
            yield Gap(kind="code", text=f"{path} is not in the code package: it {reason}")


def _check_inputs(artifacts: ArtifactStore, run: RunRecord) -> None:
    for one in run.inputs:
        if artifacts.missing(one.value.blobs):
            name = one.name.lstrip("/*")
            raise UsageError(
                f"{run.name} cannot be run again: the value of its parameter {name!r} is gone from the store"
            )


def _secret_gaps(metadata: MetadataStore, run: RunRecord, details: RunDetails) -> Iterable[Gap]:
    names = [*details.secrets]
    names += [one.name for one in metadata.params([run.id]) if not one.logged and one.text.startswith("Secret(")]
    if names:
        text = f"values of secrets are not recorded, so those that are here are used: {', '.join(names)}"
        yield Gap(kind="secrets", text=text)


#: Locks by step; None where tasks of the step had no environment of their own.
_Locks = dict[str, list[EnvironmentLock] | None]


def _locks(metadata: MetadataStore, artifacts: ArtifactStore, run: RunRecord) -> _Locks:
    steps = list(dict.fromkeys(one.step for one in metadata.step_counts(run.id) if one.step))
    found = locks_of_run(metadata, artifacts, run.id, steps)
    return {step: list(found[step].values()) if step in found else None for step in steps}


def _machine_gaps(details: RunDetails, locks: _Locks) -> Iterable[Gap]:
    here = provenance.here()
    for step, locked in locks.items():
        for lock in locked or ():
            if lock.image:
                yield from _image_gaps(step, lock)
            elif not is_of_this_platform(lock):
                text = f"the environment of step {step} was locked for {lock.platform}; it is resolved anew here"
                yield Gap(kind="environment", text=text)
    open_ = [step for step, locked in locks.items() if locked is None]
    if locks and not open_:  # the session's own environment made nothing but calls
        return
    if details.python and details.python != here.python:
        yield Gap(kind="python", text=f"the run had Python {details.python}, and here it is {here.python}")
    before, now = _system(details.platform), _system(here.platform)
    if before and before != now:
        yield Gap(kind="platform", text=f"the run was made on {before}, and this is {now}")
    changed = _changed_packages(details.packages, here.packages)
    if changed:
        more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
        listed = ", ".join(changed[:_NAMED])
        whose = "" if len(open_) == len(locks) else f" of steps {', '.join(open_)}"
        text = f"the environment{whose} was not locked, and packages differ: {listed}{more}"
        yield Gap(kind="environment", text=text)


def _image_gaps(step: str, lock: EnvironmentLock) -> Iterable[Gap]:
    """Raises EnvironmentSetupError where nothing runs containers."""
    if not find_engine().known_image(lock.image):
        text = f"{lock.label} of step {step} was {lock.image[:19]}, which is not here: what its name means now is used"
        yield Gap(kind="image", text=text)


def build_environments(
    metadata: MetadataStore, artifacts: ArtifactStore, origin: Reproduces, environments: Environments
) -> None:
    """Build the recorded environments of the steps that run again, those that are for machines of this kind.

    Raises:
        EnvironmentSetupError: one cannot be built here; the message names the step.
    """
    wanted = {task.step for task in origin.tasks}
    found: list[tuple[str, EnvironmentLock]] = []
    for step, locked in _locks(metadata, artifacts, origin.run).items():
        if step in wanted or not origin.part:
            fitting = [lock for lock in locked or () if not lock.image and environments.fits(lock)]
            found += [(f"step {step!r}", lock) for lock in fitting]
    if found:
        environments.build_all(found)


def place_of(run: RunRecord, known: Iterable[str]) -> tuple[str, list[Gap]]:
    """The place where the run's tasks ran that named none, if it is among those ``known`` here; else a gap."""
    place = details_of(run).place
    if not place or place == LOCAL or place in known:
        return place, []
    text = f"tasks ran in place {place!r}, which the settings here do not describe: they run on this machine"
    return "", [Gap(kind="place", text=text)]


def _system(platform: str) -> str:
    """``Linux x86_64``, of ``Linux-6.1.0-x86_64``: the version of the kernel computes nothing."""
    parts = platform.split("-")
    return f"{parts[0]} {parts[-1]}" if len(parts) > 1 else platform


def _changed_packages(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """``pandas 2.2.3 before, absent here`` for each that is another; packages that came to it change nothing."""
    return [
        f"{name} {version} before, {now.get(name, 'absent')} here"
        for name, version in before.items()
        if name != "headrace" and now.get(name) != version
    ]


def _history_gaps(metadata: MetadataStore, run: RunRecord) -> Iterable[Gap]:
    if run.session > 1:
        text = f"the run went on {run.session - 1} times: tasks of earlier sessions may have had other code"
        yield Gap(kind="sessions", text=text)
    cached = sum(bool(task.reused_from) for task in metadata.tasks(run.id) if task.state is TaskState.SUCCEEDED)
    if cached:
        text = f"{cached} task{'s' * (cached != 1)} took results of other runs from the cache, and run here themselves"
        yield Gap(kind="sessions", text=text)
    answers = [one.name for one in metadata.waits(run.id) if one.kind == "answer" and not one.done]
    if answers:
        yield Gap(kind="answers", text=f"nobody answered {', '.join(map(repr, answers))}: the run will ask again")


# --- afterwards ---------------------------------------------------------------------------------------------------


class _Side:
    """One run, as the comparison sees it."""

    def __init__(self, metadata: MetadataStore, run: RunRecord, only: frozenset[TaskId] | None) -> None:
        self.run = run
        tasks = [one for one in metadata.tasks(run.id) if one.state is not TaskState.STALE]
        self.tasks = sorted((one for one in tasks if only is None or one.id in only), key=lambda one: one.created)
        self.by_key = {one.key: one for one in tasks}
        self.made: dict[TaskId, dict[str, ArtifactRecord]] = {}
        for one in each_artifact(metadata, run.id):
            if one.kind not in UNLISTED and not one.name.startswith("_"):
                self.made.setdefault(TaskId(one.step, one.number), {})[one.name] = one


def compare(
    metadata: MetadataStore, origin: Reproduces, run: RunRecord, known: Sequence[Gap] = (), how: How | None = None
) -> Reproduction:
    """How ``run`` compares to what it runs again, artifact by artifact; ``known`` are the gaps that were told before.

    Tasks are compared that had equal inputs; where inputs differ, tasks of a step in the order of their calls.
    """
    before = _Side(metadata, origin.run, origin.tasks or None)
    now = _Side(metadata, run, None)
    pairs = _pairs(before, now)
    artifacts: list[ArtifactComparison] = []
    steps: dict[str, list[tuple[TaskRecord, TaskRecord | None, list[ArtifactComparison]]]] = {}
    first = ""
    for task, other in pairs:
        same = _same_inputs(task, other)
        found = _artifacts(before, now, task.id, None if other is None else other.id, same_inputs=same, how=how)
        artifacts += found
        steps.setdefault(task.step, []).append((task, other, found))
        is_cause = _same_inputs(task, other) and not _is_equal(task, other, found)
        if is_cause and not first:
            first = task_name(origin.run, task.id)
    if not origin.part:
        whole = _artifacts(before, now, FLOW_TASK, FLOW_TASK, same_inputs=not first, how=how)
        artifacts += whole
        if not first and not all(one.equal for one in whole):
            first = origin.run.name
    same_end = bool(origin.part) or _end(origin.run) == _end(run)
    equal = same_end and all(_is_equal(*one) for group in steps.values() for one in group)
    return Reproduction(
        original=origin.name,
        run=run.name,
        equal=equal and all(one.equal for one in artifacts),
        first=first,
        state_before=str(origin.run.state),
        state=str(run.state),
        artifacts=artifacts,
        steps=[_step(origin.run, step, group) for step, group in steps.items()],
        gaps=list(known),
    )


def _end(run: RunRecord) -> tuple[str, str]:
    return str(run.state), run.failed_task.rpartition("/")[0]


def _pairs(before: _Side, now: _Side) -> list[tuple[TaskRecord, TaskRecord | None]]:
    """Each task of the first run with that of the second: of equal key, else the next of its step that is left over."""
    keys = {one.key for one in before.by_key.values()}
    left: dict[str, list[TaskRecord]] = {}
    for one in now.tasks:
        if one.key not in keys:
            left.setdefault(one.step, []).append(one)
    pairs: list[tuple[TaskRecord, TaskRecord | None]] = []
    for task in before.tasks:
        other = now.by_key.get(task.key)
        if other is None and (rest := left.get(task.step)):
            other = rest.pop(0)
        pairs.append((task, other))
    return pairs


def _same_inputs(task: TaskRecord, other: TaskRecord | None) -> bool:
    return other is not None and other.key == task.key


def _is_equal(task: TaskRecord, other: TaskRecord | None, found: list[ArtifactComparison]) -> bool:
    return other is not None and task.state == other.state and all(one.equal for one in found)


def _artifacts(
    before: _Side, now: _Side, task: TaskId, other: TaskId | None, *, same_inputs: bool, how: How | None
) -> list[ArtifactComparison]:
    left = before.made.get(task, {})
    right = now.made.get(other, {}) if other is not None else {}
    found = []
    for name, some in {**right, **left}.items():
        one, two = left.get(name), right.get(name)
        equal = one is not None and two is not None and one.value.digest == two.value.digest
        lines: list[str] = []
        if one is not None and two is not None and not equal and how is not None:
            lines = how(one, two)
        elif not equal and other is not None:
            lines = ["there is none now" if two is None else "there was none before"]
        found.append(
            ArtifactComparison(
                name=name,
                task=task_name(before.run, task),
                step=task.step,
                equal=equal,
                same_inputs=same_inputs,
                before=one.value.digest.hex() if one is not None else "",
                now=two.value.digest.hex() if two is not None else "",
                type=some.preview.type,
                how=lines,
            )
        )
    return found


def _step(
    run: RunRecord, step: str, group: list[tuple[TaskRecord, TaskRecord | None, list[ArtifactComparison]]]
) -> StepComparison:
    found = [one for _, _, some in group for one in some]
    missing = [task_name(run, task.id) for task, other, _ in group if other is None]
    unequal = [(task, other) for task, other, some in group if not _is_equal(task, other, some)]
    verdict = "equal"
    if any(_same_inputs(*pair) for pair in unequal):
        verdict = "differs"
    elif len(missing) == len(unequal) and missing:
        verdict = "missing"
    elif unequal:
        verdict = "follows"
    return StepComparison(
        step=step,
        tasks=len(group),
        artifacts=len(found),
        equal=sum(one.equal for one in found),
        missing=missing,
        verdict=verdict,
    )


def mark(metadata: MetadataStore, origin: Reproduces, found: Reproduction, actor: Actor, now: float) -> Reproduction:
    """Tag the original as reproduced by the run, if all of it is equal; whether it was is in ``verified``.

    Raises:
        UsageError: only a part of the run was run again.
    """
    if origin.part:
        raise UsageError("--verify marks a whole run; leave the step or task out")
    if not found.equal:
        return found
    control.add_tag(metadata, origin.run, (TAG, found.run), actor, now)
    return msgspec.structs.replace(found, verified=True)
