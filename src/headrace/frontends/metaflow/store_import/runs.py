"""``headrace import metaflow``: the runs of a Metaflow store as runs of Headrace.

A run keeps its id, which is its number here, and its tasks theirs. What is here already is left alone, unless it had
not ended when it came in and has gone on since.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.frontends.metaflow.authoring.graphforms import plain
from headrace.frontends.metaflow.client.runfacts import keep_facts
from headrace.frontends.metaflow.client.tags import IMPORTED, RESUMED, SYSTEM
from headrace.frontends.metaflow.store_import.folder import (
    RunFolder,
    TaskFolder,
    UnreadableError,
    find_store,
    run_folders,
)
from headrace.frontends.metaflow.store_import.report import ImportReport, Report
from headrace.frontends.metaflow.store_import.tasks import OF_METAFLOW, TaskWriter
from headrace.frontends.metaflow.store_import.values import ForeachFrame, Stored, Values, shown
from headrace.frontends.metaflow.store_import.walk import Found, Walk
from headrace.model.records import Input, Param, RunDetails, RunRecord, Tag
from headrace.model.states import RunState
from headrace.services.run_import import Adoption, is_partial
from headrace.services.stores import Stores
from headrace.stores.metadata.protocol import NewRun, RunChange, Write

#: A commit holds about so many rows, or so many bytes of logs.
_ROWS = 2_000
_BYTES = 8 << 20
#: Of how many flows artifacts are remembered.
_FLOWS = 4


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What an import is asked for. ``trusted``: unpickle artifacts, which runs code that they name."""

    flow: str | None = None
    trusted: bool = True
    dry_run: bool = False


def import_store(
    path: Path, stores: Stores, options: Options, progress: Callable[[int, int], None] = lambda done, total: None
) -> ImportReport:
    """Bring all runs of the Metaflow store at ``path`` in. ``progress`` hears how many tasks came in, and of how many.

    Raises:
        UsageError: there is no store, or it has no such flow.
        RunBusyError: another process is importing.
        StoreError: Headrace's own stores cannot do their work.
    """
    began = time.monotonic()
    root = find_store(path)
    problems: list[str] = []
    folders = run_folders(root, options.flow, problems)
    planned = [(folder, _standing(stores, folder)) for folder in folders]
    wanted = [(folder, old) for folder, old in planned if old is None or _is_behind(old, folder)]
    total = sum(_count(folder) for folder, _ in wanted)
    report = Report(lambda: progress(report.tasks, total))
    report.problems += problems
    new: list[str] = []
    renewed: list[str] = []
    if options.dry_run:
        new = [folder.name for folder, old in wanted if old is None or is_partial(old)]
        renewed = [folder.name for folder, old in wanted if old is not None and not is_partial(old)]
    elif wanted:
        progress(0, total)
        _Importer(root, stores, options, report).run(wanted, new, renewed)
    return ImportReport(
        store=str(root),
        dry_run=options.dry_run,
        new=new,
        renewed=renewed,
        here=len(planned) - len(wanted),
        left_out=len(problems) + len(wanted) - len(new) - len(renewed),
        tasks=report.tasks,
        artifacts=report.artifacts,
        kept=report.kept,
        seconds=round(time.monotonic() - began, 3),
        problems=report.problems,
    )


def _count(folder: RunFolder) -> int:
    """How many tasks a run has, for showing how far the import is."""
    try:
        return folder.count()
    except UnreadableError:  # said when the run is read
        return 0


def _standing(stores: Stores, folder: RunFolder) -> RunRecord | None:
    return stores.metadata.run(folder.flow, folder.number, stores.project)


def _is_behind(here: RunRecord, folder: RunFolder) -> bool:
    """Whether a run came in by halves, or had not ended and has gone on since; not when it was resumed here."""
    if is_partial(here):
        return True
    if here.state is RunState.SUCCEEDED or here.session > 1:
        return False
    try:
        return folder.last_sign() > (here.finished or 0.0) + 0.001
    except UnreadableError:
        return True  # said when the run is read


class _Importer:
    """Brings the runs of one store in."""

    def __init__(self, root: Path, stores: Stores, options: Options, report: Report) -> None:
        self._root = root
        self._stores = stores
        self._options = options
        self._report = report
        self._values: dict[str, Values] = {}

    def run(self, wanted: Sequence[tuple[RunFolder, RunRecord | None]], new: list[str], renewed: list[str]) -> None:
        """Bring in ``wanted``; names of runs go to ``new`` and ``renewed`` as they are in."""
        home = str(self._root.parent)
        sys.path.append(home)  # modules beside the flow, whose classes are in artifacts
        try:
            with Adoption(self._stores) as adoption:
                for folder, _ in wanted:
                    old = _standing(self._stores, folder)  # it may have changed since
                    if old is not None and not _is_behind(old, folder):
                        continue
                    if self._bring(adoption, folder, old):
                        (new if old is None or is_partial(old) else renewed).append(folder.name)
        finally:
            sys.path.remove(home)

    def _bring(self, adoption: Adoption, folder: RunFolder, old: RunRecord | None) -> bool:
        try:
            facts = folder.facts()
            one = _Run(folder, facts, self._values_of(folder.flow), self._stores, self._report)
            new = NewRun(
                project=self._stores.project,
                flow=folder.flow,
                dialect="metaflow",
                entry=one.entry,
                created=facts["ts_epoch"] / 1000,
                user=str(facts.get("user_name") or ""),
                number=folder.number,
            )
            adoption.bring(new, one.parts, old)
        except UnreadableError as error:
            self._report.problem(f"{error} (run {folder.name} is left out)")
            return False
        return True

    def _values_of(self, flow: str) -> Values:
        if flow not in self._values:
            if len(self._values) >= _FLOWS:
                del self._values[next(iter(self._values))]
            self._values[flow] = Values(self._root / flow, self._stores.artifacts, trusted=self._options.trusted)
        return self._values[flow]


class _Run:
    """One run as it comes in."""

    def __init__(
        self, folder: RunFolder, facts: dict[str, Any], values: Values, stores: Stores, report: Report
    ) -> None:
        self._folder = folder
        self._facts = facts
        self._values = values
        self._stores = stores
        self._report = report
        self._base: dict[str, Stored] = {}
        self._graph: dict[str, Any] = {}
        self._read_start(folder.parameters())
        self._found = self._find()  # now, because what was here of the run goes before it comes in again
        self.entry = self._entry()

    def _read_start(self, task: TaskFolder | None) -> None:
        """Parameters, constants and the graph; raises UnreadableError."""
        if task is None:
            return
        for name, (sha, kind, encoding) in task.objects(task.done_attempt() or 0).items():
            if name == "_graph_info":
                graph = self._values.plain(sha)
                self._graph = graph if isinstance(graph, dict) else {}
            elif name not in OF_METAFLOW:
                try:
                    self._base[name] = self._values.stored(sha, kind, encoding)
                except UnreadableError as error:
                    self._report.problem(f"{error} (parameter or constant {name} of {self._folder.name})")

    def _entry(self) -> str:
        """How the flow is loaded again: its file where it was, else beside the store, whether it is there or not."""
        steps = self._graph.get("steps", {})
        home = self._folder.root.parent
        named = [str(step.get("source_file") or "") for step in steps.values()] + [str(self._graph.get("file") or "")]
        places = [home / name for name in named if name]
        found = [place for place in places if place.is_file()] or places[-1:]
        return f"{found[0] if found else ''}:{self._folder.flow}"

    def parts(self, run_id: int) -> Iterator[list[Write]]:
        """All records of the run, in pieces."""
        writer = TaskWriter(run_id, self._folder, self._values, self._stores.artifacts, self._report)
        writer.writes += self._tags(run_id)
        writer.writes += self._params(run_id)
        for _ in self._walk().visit(writer.look):
            if len(writer.writes) > _ROWS or writer.log_bytes > _BYTES:
                yield writer.writes
                writer.writes, writer.log_bytes = [], 0
        yield [*writer.writes, self._change(run_id, writer)]

    def _walk(self) -> Walk:
        steps = self._graph.get("steps", {})
        joins = frozenset(name for name, step in steps.items() if step.get("type") == "join")
        start = str(self._graph.get("start_step") or "start")
        base = {name: one.value for name, one in self._base.items()}
        return Walk(joins, start, base, self._found, self._stores.artifacts)

    def _find(self) -> Found:
        found = Found()
        for step in self._folder.steps():
            for task in self._folder.tasks(step):
                found.add(task, self._indices(task))
        return found

    def _indices(self, task: TaskFolder) -> tuple[int, ...]:
        """The foreach indices of a task."""
        try:
            noted = task.indices()
            if noted is not None:
                return noted
            done = task.done_attempt()
            stack = task.objects(done).get("_foreach_stack") if done is not None else None
            frames = self._values.plain(stack[0]) if stack is not None else []
            return tuple(frame.at for frame in frames if isinstance(frame, ForeachFrame))
        except UnreadableError:  # said where the task is read
            return ()

    # --- what describes the run --------------------------------------------------------------------------------

    def _tags(self, run_id: int) -> list[Write]:
        tags: list[Write] = [Tag(run_id, IMPORTED, str(self._folder.root))]
        for text in self._facts.get("system_tags") or ():
            name, _, value = str(text).partition(":")
            tags.append(Tag(run_id, name, value) if name in SYSTEM and value else Tag(run_id, str(text)))
        tags += [Tag(run_id, str(text)) for text in self._facts.get("tags") or ()]
        origin = self._origin()
        return [*tags, Tag(run_id, RESUMED, origin)] if origin else tags

    def _origin(self) -> str:
        """The run that this one resumed."""
        for step in self._folder.steps():
            for task in self._folder.tasks(step)[:1]:
                try:
                    origin = task.fact("origin-run-id")
                except UnreadableError:  # said where the task is read
                    continue
                if origin:
                    return str(origin) if str(origin).isdigit() else ""
        return ""

    def _params(self, run_id: int) -> list[Write]:
        names = [str(one.get("name")) for one in self._graph.get("parameters") or () if isinstance(one, dict)]
        return [Param(run_id, name, shown(self._base[name])) for name in names if name in self._base]

    def _change(self, run_id: int, writer: TaskWriter) -> RunChange:
        end = str(self._graph.get("end_step") or "end")
        state, finished, error, failed = RunState.SUCCEEDED, writer.ended.get(end), "", ""
        if finished is None:
            finished = self._folder.last_sign() or self._facts["ts_epoch"] / 1000
            state, error = RunState.INTERRUPTED, "it had not ended when it was imported"
        if state is not RunState.SUCCEEDED and writer.failed:
            state, failed = RunState.FAILED, str(writer.failed[0][0])
            error = writer.failed[0][1]
        versions = dict(text.partition(":")[::2] for text in map(str, self._facts.get("system_tags") or ()))
        details = RunDetails(python=versions.get("python_version", ""))
        return RunChange(
            run_id=run_id,
            state=state,
            finished=finished,
            entry=self.entry,
            inputs=(
                *(Input(name, one.value) for name, one in sorted(self._base.items())),
                keep_facts(plain(self._graph), [], self._stores.artifacts),
            ),
            details=msgspec.msgpack.encode(details),
            error=error,
            failed_task=failed,
        )


__all__ = ["Options", "import_store"]
