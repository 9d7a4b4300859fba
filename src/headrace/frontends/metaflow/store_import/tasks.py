"""One task of a Metaflow store as records: task, attempts, artifacts, logs, cards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.frontends.metaflow.authoring.splits import Transition
from headrace.frontends.metaflow.exceptions import MetaflowExceptionWrapper
from headrace.frontends.metaflow.names import ATTEMPT, CARD, SUCCESS, TRANSITION
from headrace.frontends.metaflow.store_import.folder import Attempt, RunFolder, TaskFolder, UnreadableError
from headrace.frontends.metaflow.store_import.report import Report
from headrace.frontends.metaflow.store_import.values import Stored, Values
from headrace.frontends.metaflow.store_import.walk import Expected, Outcome
from headrace.frontends.metaflow.taskids import task_number
from headrace.identity import keys
from headrace.model.messages import Output
from headrace.model.records import AttemptRecord, Edge, Input, LogChunk, TaskId, TaskRecord
from headrace.model.states import AttemptState, Failure, TaskState
from headrace.model.values import Packed, Preview
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import Write

#: What Metaflow stores with the artifacts of a task for itself.
OF_METAFLOW = frozenset(
    {
        *("_graph_info", "_transition", "_task_ok", "_success", "_exception", "_catch_exception"),
        *("_configs_processed", "_current_step", "_iteration_stack", "_cached_input", "_unbounded_foreach"),
        *("_foreach_num_splits", "_foreach_stack", "_foreach_values", "_foreach_var", "_parallel_ubf_iter"),
        *("_control_mapper_tasks", "_control_task_is_mapper_zero"),
    }
)
#: Lines of a log within so many seconds are kept together, up to so many bytes.
_TOGETHER = 0.1
_CHUNK = 1 << 16
_STREAMS = {"stdout": "out", "stderr": "err"}

Objects = Mapping[str, tuple[str, str, str]]


class TaskWriter:
    """Makes the records of the tasks of one run. ``ended`` is the time at which ``end`` ended, once it was met."""

    def __init__(self, run_id: int, run: RunFolder, values: Values, store: ArtifactStore, report: Report) -> None:
        self._run_id = run_id
        self._run = run
        self._values = values
        self._store = store
        self._report = report
        self._equal: Counter[tuple[str, bytes]] = Counter()
        self.writes: list[Write] = []
        self.log_bytes = 0
        self.ended: dict[str, float] = {}  # step -> when a task of it last succeeded
        self.failed: list[tuple[TaskId, str]] = []

    def look(self, folder: TaskFolder, expected: Expected) -> Outcome:
        """Put the records of a task into ``writes``; what came of it."""
        task = TaskId(folder.step, folder.number)
        try:
            done, current, created = folder.done_attempt(), folder.current_attempt(), folder.created()
        except UnreadableError as error:
            self._report.problem(str(error))
            return Outcome(task, {})
        objects = self._objects(folder, done)
        state, finished = self._state(folder, objects, done, current)
        stored = self._artifacts(objects, folder)
        inputs = expected.inputs(frozenset(stored), self._store)
        attempts = self._attempts(folder, current, state, created)
        self._task(task, folder, state, inputs, (created, finished), attempts)
        transition = self._transition(folder.step, objects) if state is TaskState.SUCCEEDED else None
        packed = codecs.pack(None if transition is None else transition.as_list(), self._store)
        was_caught = state is TaskState.SUCCEEDED and self._plain(objects, "_success") is False
        caught = _store_plain(False, self._store) if was_caught else None
        outputs = _changed(stored, expected)
        when = finished or created
        if state is TaskState.SUCCEEDED:
            for name, one in outputs.items():
                self._artifact(task, name, one, when)
            self._artifact(task, TRANSITION, Stored(packed, Preview("list")), when)
            if caught is not None:
                self._artifact(task, SUCCESS, caught, when)
        else:
            self._log_artifacts(task, "", outputs, objects, when)
        for attempt in range(current):
            failed = self._objects(folder, attempt)
            mark = f"{ATTEMPT}{attempt}_"
            self._log_artifacts(task, mark, _changed(self._artifacts(failed, folder), expected), failed, when)
        self._cards(task, folder, current, when)
        self._logs(task, folder, current)
        made = {name: one.value for name, one in outputs.items()}
        return Outcome(task, made, transition, packed, caught.value if caught is not None else None)

    # --- artifacts ---------------------------------------------------------------------------------------------

    def _objects(self, folder: TaskFolder, attempt: int | None) -> Objects:
        try:
            return folder.objects(attempt) if attempt is not None else {}
        except UnreadableError as error:
            self._report.problem(str(error))
            return {}

    def _plain(self, objects: Objects, name: str) -> Any:
        """A value of Metaflow's own; None where it has none, or one that cannot be read."""
        if name not in objects:
            return None
        try:
            return self._values.plain(objects[name][0])
        except UnreadableError as error:
            self._report.problem(str(error))
            return None

    def _artifacts(self, objects: Objects, folder: TaskFolder) -> dict[str, Stored]:
        stored = {}
        for name, (sha, kind, encoding) in objects.items():
            if name in OF_METAFLOW or name.startswith("__"):
                continue
            try:
                stored[name] = one = self._values.stored(sha, kind, encoding)
            except UnreadableError as error:
                self._report.problem(f"{error} (artifact {name} of {self._run.name}/{folder.step}/{folder.name})")
                continue
            self._report.artifact(kept=one.kept)
        return stored

    def _artifact(self, task: TaskId, name: str, one: Stored, when: float, kind: str = "output") -> None:
        self.writes.append(Output(name, one.value, one.preview).recorded(self._run_id, task, when, kind))

    def _log_artifacts(
        self, task: TaskId, mark: str, made: Mapping[str, Stored], objects: Objects, when: float
    ) -> None:
        """What an attempt that failed had made, with its exception, under names that begin with ``mark``."""
        for name, one in made.items():
            self._artifact(task, mark + name, one, when, "logged")
        if self._plain(objects, "_exception") is not None:
            exception = self._values.stored(*objects["_exception"])
            self._artifact(task, f"{mark}_exception", exception, when, "logged")

    def _cards(self, task: TaskId, folder: TaskFolder, attempt: int, when: float) -> None:
        for at, path in enumerate(self._run.cards(folder.step, folder.name)):
            try:
                page = path.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                self._report.problem(f"{path}: {error.strerror or error}")
                continue
            place = (("attempt", str(attempt)), ("number", str(at)))
            card = Stored(codecs.pack(page, self._store), Preview("html", path.stem, facts=place))
            self._artifact(task, f"{CARD}{path.name}", card, when, "logged")

    def _transition(self, step: str, objects: Objects) -> Transition | None:
        """Where a task led."""
        read = self._plain(objects, "_transition")
        if not isinstance(read, (tuple, list)) or not read or not read[0]:
            return None
        targets = [str(one) for one in read[0]]
        var = read[1] if len(read) > 1 else None
        if var is None:
            condition = self._condition_of(step, objects)
            return Transition(targets) if condition is None else Transition(targets, "switch", condition)
        splits = self._plain(objects, "_foreach_num_splits")
        if isinstance(splits, int):
            return Transition(targets, "foreach", str(var), splits)
        gang = getattr(self._plain(objects, str(var)), "num_parallel", 0)
        return Transition(targets, "parallel", str(var), int(gang))

    def _condition_of(self, step: str, objects: Objects) -> str | None:
        """What a switch decides by; None of a step that is none."""
        graph = self._plain(objects, "_graph_info")
        known = graph.get("steps", {}).get(step, {}) if isinstance(graph, dict) else {}
        return str(known.get("condition") or "") if known.get("type") == "split-switch" else None

    # --- the task and its attempts -----------------------------------------------------------------------------

    def _state(
        self, folder: TaskFolder, objects: Objects, done: int | None, current: int
    ) -> tuple[TaskState, float | None]:
        """How a task ended, and when it said so."""
        well = self._plain(objects, "_task_ok")
        try:
            finished = folder.stored_at(done) if done is not None else None
            last = folder.attempt(current)
        except UnreadableError as error:
            self._report.problem(str(error))
            return TaskState.CANCELLED, None
        if well is True:
            return TaskState.SUCCEEDED, finished or last.started
        if last.killed:
            return TaskState.CANCELLED, finished
        failed = well is False or last.exit_code is not None
        return (TaskState.FAILED if failed else TaskState.CANCELLED), finished

    def _task(
        self,
        task: TaskId,
        folder: TaskFolder,
        state: TaskState,
        inputs: tuple[Input, ...],
        times: tuple[float, float | None],
        attempts: list[AttemptRecord],
    ) -> None:
        digest = keys.inputs_digest(inputs)
        occurrence = self._equal[task.step, digest]
        self._equal[task.step, digest] += 1
        error = attempts[-1].error if state is not TaskState.SUCCEEDED else ""
        if state is TaskState.SUCCEEDED:
            self.ended[task.step] = max(times[1] or times[0], self.ended.get(task.step, 0.0))
        elif state is TaskState.FAILED:
            self.failed.append((task, error))
        self.writes.append(
            TaskRecord(
                run_id=self._run_id,
                step=task.step,
                number=task.number,
                key=keys.task_key(task.step, digest, occurrence),
                state=state,
                inputs=inputs,
                occurrence=occurrence,
                code=b"",
                reused_from=self._origin(folder),
                attempts=len(attempts),
                created=times[0],
                started=attempts[0].started,
                finished=times[1],
                error=error,
            )
        )
        self.writes += attempts
        parents = {(source.step, source.number) for one in inputs for source in one.sources}
        self.writes += [Edge(self._run_id, *parent, task.step, task.number) for parent in sorted(parents)]
        self._report.task()

    def _origin(self, folder: TaskFolder) -> str:
        """The task that a resumed run took it over from, or nothing."""
        try:
            run, task = folder.fact("origin-run-id"), folder.fact("origin-task-id")
        except UnreadableError as error:
            self._report.problem(str(error))
            return ""
        number = task_number(str(task))
        return f"{self._run.flow}/{run}/{folder.step}/{number}" if run and number is not None else ""

    def _attempts(self, folder: TaskFolder, current: int, state: TaskState, created: float) -> list[AttemptRecord]:
        found = []
        for number in range(current + 1):
            try:
                known = folder.attempt(number)
            except UnreadableError as error:
                self._report.problem(str(error))
                known = Attempt(number, None, None, None, False)
            succeeded = number == current and state is TaskState.SUCCEEDED
            left = {} if succeeded else self._objects(folder, number)
            wrapped = self._plain(left, "_exception")
            how, failure = (AttemptState.SUCCEEDED, "") if succeeded else _how(known, wrapped, left)
            said, trace = _said(wrapped, known) if not succeeded else ("", "")
            found.append(
                AttemptRecord(
                    run_id=self._run_id,
                    step=folder.step,
                    number=folder.number,
                    attempt=number + 1,
                    state=how,
                    started=known.started or created,
                    finished=known.finished,
                    failure=failure,
                    exit_code=None if succeeded else known.exit_code,
                    error=said,
                    traceback=trace,
                )
            )
        return found

    # --- logs --------------------------------------------------------------------------------------------------

    def _logs(self, task: TaskId, folder: TaskFolder, current: int) -> None:
        for attempt in range(current + 1):
            lines = []
            for stream, short in _STREAMS.items():
                try:
                    lines += [(time, short, line) for time, line in folder.log(attempt, stream)]
                except UnreadableError as error:
                    self._report.problem(str(error))
            lines.sort(key=lambda line: line[0])
            for seq, (stream, time, data) in enumerate(_chunks(lines)):
                self.log_bytes += len(data)
                self.writes.append(
                    LogChunk(
                        run_id=self._run_id,
                        step=task.step,
                        number=task.number,
                        attempt=attempt + 1,
                        seq=seq,
                        stream=stream,
                        time=time,
                        data=data,
                    )
                )


def _store_plain(value: Any, store: ArtifactStore) -> Stored:
    packed: Packed = codecs.pack(value, store)
    return Stored(packed, codecs.preview(value, packed))


def _changed(stored: Mapping[str, Stored], expected: Expected) -> dict[str, Stored]:
    """The artifacts that a task did not take over as they were."""
    changed = {}
    for name, one in sorted(stored.items()):
        where = expected.table.get(name)
        before = None if where is None else where if isinstance(where, Packed) else where.value
        if before is None or before.digest != one.value.digest:
            changed[name] = one
    return changed


def _how(known: Attempt, wrapped: Any, left: Objects) -> tuple[AttemptState, str]:
    """How an attempt ended that did not succeed, and why; ``left`` are the artifacts it stored."""
    if known.killed:
        return AttemptState.CANCELLED, ""
    if wrapped is not None:
        return AttemptState.FAILED, str(Failure.ERROR)
    if known.exit_code is None:
        return AttemptState.LOST, ""
    if known.exit_code < 0:
        return AttemptState.FAILED, str(Failure.KILLED if known.exit_code == -9 else Failure.CRASH)
    return AttemptState.FAILED, str(Failure.EXIT if left else Failure.CRASH)


def _said(wrapped: Any, known: Attempt) -> tuple[str, str]:
    """The error of an attempt in a line, and its traceback."""
    if isinstance(wrapped, MetaflowExceptionWrapper):
        kind = str(getattr(wrapped, "type", "")).removeprefix("builtins.")
        return f"{kind}: {getattr(wrapped, 'exception', '')}", str(getattr(wrapped, "stacktrace", "") or "")
    if known.killed:
        return "stopped, because another task failed", ""
    if known.exit_code is None:
        return "it had not ended when the run was imported", ""
    return f"its process ended with exit code {known.exit_code}", ""


def _chunks(lines: list[tuple[float, str, bytes]]) -> Iterator[tuple[str, float, bytes]]:
    """Stream, time and bytes of pieces of a log: lines that came together."""
    held: list[bytes] = []
    stream, began, size = "", 0.0, 0
    for time, name, line in lines:
        if held and (name != stream or time - began > _TOGETHER or size > _CHUNK):
            yield stream, began, b"".join(held)
            held, size = [], 0
        if not held:
            stream, began = name, time
        held.append(line + b"\n")
        size += len(line) + 1
    if held:
        yield stream, began, b"".join(held)
