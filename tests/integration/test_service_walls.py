"""What services answer about a run of another project: what they answer about a run that does not exist.

Every public function of ``headrace.services`` that takes a metadata store or ``Stores`` stands in one of the tables
here, new ones too. The stores are those of project ``theirs``, the run is one of ``ours``, got by whatever mistake.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.integration.walls import fill_two_projects

from headrace import services, wiring
from headrace.model.actors import Actor
from headrace.model.errors import HeadraceError
from headrace.model.records import RunRecord, TaskId
from headrace.services import (
    archive,
    codeparts,
    control,
    describe,
    drivers,
    environment_changes,
    explain,
    garbage,
    leases,
    live_counts,
    logs,
    marks,
    names,
    objects,
    paging,
    pods,
    reproduction,
    resumable,
    run_diff,
    run_explanation,
    run_graph,
    run_rows,
    start,
    summary,
    tasks,
    value_lineage,
)
from headrace.services.environments import records
from headrace.services.names import Name
from headrace.services.session import NewSession, Reproduces, Resume
from headrace.services.stores import Stores
from headrace.settings import Settings
from headrace.stores.metadata.protocol import RunFilter
from headrace.testing._metadata_samples import attempt, digest, task

GHOST = 10**9
NOW = 1_000.0
ME = Actor("me", "here")


class NoPlaces:
    hands_over = False


class NoWorkers:
    def close(self) -> None:
        """They are given up when the run cannot be had."""


Ask = Callable[[Stores, RunRecord], Any]

#: By module and name, how each is asked about a run that the caller holds.
ABOUT_A_RUN: dict[str, Ask] = {
    "archive.export_run": lambda s, run: archive.export_run(s.metadata, s.artifacts, run, Path("out.run")),
    "codeparts.code_of_step": lambda s, run: codeparts.code_of_step(s.metadata, s.artifacts, run.id, "fit"),
    "control.request_cancel": lambda s, run: control.request_cancel(s.metadata, run, ME, NOW),
    "control.wait_until_over": lambda s, run: control.wait_until_over(s.metadata, run, 0.0).session,
    "control.send_answer": lambda s, run: control.send_answer(s.metadata, run, "ok", True, ME, NOW),
    "control.add_tag": lambda s, run: control.add_tag(s.metadata, run, ("seen", ""), ME, NOW),
    "control.remove_tag": lambda s, run: control.remove_tag(s.metadata, run, "t", ME, NOW),
    "control.end_undriven": lambda s, run: control.end_undriven(s.metadata, run, "its driver could not be started"),
    "control.delete_run": lambda s, run: control.delete_run(s.metadata, run, ME, NOW),
    "control.check_removable": lambda s, run: control.check_removable(s.metadata, run),
    "describe.describe_run": lambda s, run: describe.describe_run(s.metadata, run, NOW),
    "describe.steps_of": lambda s, run: describe.steps_of(s.metadata, run, NOW),
    "describe.failure_of": lambda s, run: describe.failure_of(
        s.metadata, msgspec.structs.replace(run, failed_task="fit/1", error="x")
    ),
    "describe.open_questions": lambda s, run: describe.open_questions(s.metadata, run.id, 2.0),
    "drivers.driver_view": lambda s, run: bool(drivers.driver_view(s.metadata, run)),
    "environment_changes.contents_of_tasks": lambda s, run: environment_changes.contents_of_tasks(
        s.metadata, s.artifacts, run, "fit", b"e"
    ),
    "environments.records.locks_of_run": lambda s, run: records.locks_of_run(s.metadata, s.artifacts, run.id, ["fit"]),
    "environments.records.locks_of_step": lambda s, run: records.locks_of_step(s.metadata, s.artifacts, run.id, "fit"),
    "environments.records.handed_locks": lambda s, run: records.handed_locks(s.metadata, s.artifacts, run.id),
    "explain.explain_task": lambda s, run: explain.explain_task(s.metadata, s.artifacts, run, task(run.id)),
    "garbage.named_blobs": lambda s, run: list(garbage.named_blobs(s.metadata, s.artifacts, run.id)),
    "live_counts.totals_of": lambda s, run: live_counts.totals_of(s.metadata, run, gone=False),
    "live_counts.running_attempts": lambda s, run: live_counts.running_attempts(s.metadata, run, NOW),
    "live_counts.waits_of": lambda s, run: live_counts.waits_of(s.metadata, run),
    "logs.read_logs": lambda s, run: list(logs.read_logs(s.metadata, s.artifacts, run.id)),
    "logs.follow_logs": lambda s, run: next(
        logs.follow_logs((s.metadata, s.artifacts), run, logs.LogFilter(), pause=lambda _: None), "nothing"
    ),
    "logs.is_over": lambda s, run: logs.is_over(s.metadata, run),
    "marks.flags_of": lambda s, run: marks.flags_of(s.metadata, run).pinned,
    "marks.pin": lambda s, run: marks.pin(s.metadata, run, ME, NOW),
    "marks.archive": lambda s, run: marks.archive(s.metadata, run, ME, NOW),
    "marks.rename": lambda s, run: marks.rename(s.metadata, run, "best", ME, NOW),
    "marks.delete_soon": lambda s, run: marks.delete_soon(s.metadata, run, ME, NOW),
    "marks.restore": lambda s, run: marks.restore(s.metadata, run, ME, NOW),
    "resumable.check_kept": lambda s, run: resumable.check_kept(s.metadata, run),
    "names.find_task": lambda s, run: names.find_task(s.metadata, run, Name("train", 1, "fit", 1)).step,
    "names.find_step": lambda s, run: len(names.find_step(s.metadata, run, "fit")),
    "objects.list_artifacts": lambda s, run: objects.list_artifacts(s.metadata, run, Name("train", 1)),
    "objects.find_artifact": lambda s, run: objects.find_artifact(s.metadata, run, Name("train", 1, "fit", 1)).name,
    "paging.each_artifact": lambda s, run: list(paging.each_artifact(s.metadata, run.id)),
    "paging.each_attempt": lambda s, run: list(paging.each_attempt(s.metadata, run.id)),
    "paging.each_edge": lambda s, run: list(paging.each_edge(s.metadata, run.id)),
    "paging.each_metric_chunk": lambda s, run: list(paging.each_metric_chunk(s.metadata, run.id)),
    "paging.each_segment": lambda s, run: list(paging.each_segment(s.metadata, run.id)),
    "pods.pod_of": lambda s, run: pods.pod_of(s.metadata, attempt(run.id, host="pod-1 on node-1", place="cluster")),
    "reproduction.what_to_run": lambda s, run: (
        reproduction.what_to_run(s.metadata, run, Name("train", 1, "fit", 1)).part
    ),
    "reproduction.build_environments": lambda s, run: reproduction.build_environments(
        s.metadata,
        s.artifacts,
        Reproduces(run=run),
        None,  # type: ignore[arg-type]  # not asked where no step has an environment
    ),
    "reproduction.gaps": lambda s, run: reproduction.gaps(s.metadata, s.artifacts, run),
    "reproduction.compare": lambda s, run: reproduction.compare(s.metadata, Reproduces(run=run), run),
    "value_lineage.uses_in": lambda s, run: list(value_lineage.uses_in(s.metadata, run, digest(1))),
    "run_explanation.explain_run": lambda s, run: run_explanation.explain_run(s.metadata, s.artifacts, run),
    "run_diff.compare_runs": lambda s, run: run_diff.compare_runs(s.metadata, s.artifacts, run, run),
    "run_graph.step_edges": lambda s, run: run_graph.step_edges(s.metadata, run.id),
    "run_graph.lineage_of": lambda s, run: run_graph.lineage_of(s.metadata, run, TaskId("fit", 1), 10),
    "run_graph.origins_of": lambda s, run: run_graph.origins_of(s.metadata, run),
    "run_rows.rows_of": lambda s, run: run_rows.rows_of(s.metadata, [run], NOW),
    "run_rows.state_of": lambda s, run: run_rows.state_of(s.metadata, run),
    "run_rows.driver_of": lambda s, run: run_rows.driver_of(s.metadata, run),
    "start.reopen_session": lambda s, run: start.reopen_session(
        s,
        NoPlaces(),  # type: ignore[arg-type]  # not asked for more before the lease is there
        NewSession(flow="train", entry=""),
        Resume(run=run),
        NoWorkers(),  # type: ignore[arg-type]
    ),
    "leases.take_lease": lambda s, run: leases.take_lease(s.metadata, run),
    "leases.awaits_driver": lambda s, run: leases.awaits_driver(s.metadata, run),
    "leases.note_driver_wait": lambda s, run: leases.note_driver_wait(
        s.metadata, run, leases.DriverWait("no room", 1.0)
    ),
    "leases.make_way": lambda s, run: leases.make_way(s.metadata, run),
    "start.load_recorded": lambda s, run: len(start.load_recorded(s, run.id)),
    "summary.summarize": lambda s, run: summary.summarize(s.metadata, run, {}, 0).artifacts_size,
    "tasks.describe_task": lambda s, run: tasks.describe_task(s.metadata, s.artifacts, run, task(run.id)),
    "tasks.environment_label": lambda s, run: tasks.environment_label(s.metadata, run, task(run.id)),
    "tasks.view_inputs": lambda s, run: tasks.view_inputs(s.metadata, s.artifacts, run, task(run.id).inputs),
}
#: Answers that say nothing about the run, beyond the record that the caller holds, in its own project too.
SAME_FOR_ANY = {
    "control.wait_until_over",
    "codeparts.code_of_step",
    "leases.awaits_driver",
    "leases.note_driver_wait",
    "live_counts.running_attempts",
    "live_counts.waits_of",
    "pods.pod_of",
    "environment_changes.contents_of_tasks",
    "environments.records.locks_of_run",
    "environments.records.locks_of_step",
    "environments.records.handed_locks",
    "reproduction.build_environments",
    "reproduction.gaps",
    "marks.flags_of",
    "marks.restore",
    "resumable.check_kept",
    "run_diff.compare_runs",
    "run_graph.origins_of",
    "tasks.environment_label",
    "tasks.view_inputs",
}
#: Those that find runs by name or condition; the test of listings has them.
OF_A_PROJECT = {"names.find_run", "resumable.newest_resumable", "garbage.choose_runs", "run_rows.as_recorded"}
#: Those that concern the whole database, by design; those that write a run which they, or a door above, have opened in
#: their own project.
OTHERS = {
    "reproduction.mark",  # adds a tag, as control.add_tag does
    *("garbage.plan", "garbage.collect", "garbage.live_runs", "garbage.referenced_blobs"),
    *("archive.import_run", "run_import.Adoption", "start.open_session", "tracking.open_tracked", "stores.Stores"),
    *("session.Session", "tracking.RunLog", "tracking.TrackedRun", "log_segments.LogSegments", "flowlog.FlowOutput"),
    "marks.purge",  # what is due, of all projects
    *("leases.leave_to_heir", "driver_keeper.DriverKeeper"),  # of the run that they drive
    "handing_over.hand_over",  # which makes a run, or takes the lease of one
    "step_environments.StepEnvironments",  # of the run that its session drives
    "accounts.login.Opened",  # of users, who are of no project
    *("retrying_store.driver_store", "retrying_store.waiting", "log_segments.chunks_of"),
}


def takes_a_store(thing: Any) -> bool:
    if not (inspect.isfunction(thing) or inspect.isclass(thing)):
        return False
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(name in str(one.annotation) for one in parameters for name in ("MetadataStore", "Stores", "Session"))


def public_functions() -> set[str]:
    found = set()
    for module in pkgutil.walk_packages(services.__path__, "headrace.services."):
        loaded = importlib.import_module(module.name)
        for name, thing in vars(loaded).items():
            own = getattr(thing, "__module__", "") == module.name and not name.startswith("_")
            if own and not getattr(thing, "_is_protocol", False) and takes_a_store(thing):
                found.add(f"{module.name.removeprefix('headrace.services.')}.{name}")
    return found


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[wiring.Workspace]:
    """Two projects in one database; the run of ``ours`` has one of everything, and a driver on another machine."""
    monkeypatch.chdir(tmp_path)
    with wiring.Workspace(Settings(home=str(tmp_path))) as opened:
        store = opened.metadata
        made = fill_two_projects(store, "elsewhere:1:1", 3600.0)
        store.commit([task(made.id)])
        yield opened


def outcome(ask: Ask, stores: Stores, run: RunRecord) -> Any:
    """What is answered, or how the question is refused."""
    try:
        return ask(stores, run)
    except HeadraceError as error:
        return type(error)


def test_every_public_function_has_its_wall() -> None:
    assert public_functions() == {*ABOUT_A_RUN, *OF_A_PROJECT, *OTHERS}


@pytest.mark.parametrize("function", sorted(ABOUT_A_RUN))
def test_run_of_another_project_is_answered_as_one_that_is_not_there(
    workspace: wiring.Workspace, function: str
) -> None:
    run = workspace.metadata_of("ours").run("train", 1)
    assert run is not None
    ghost = msgspec.structs.replace(run, id=GHOST)
    before = dict(workspace.metadata.export(run.id)), workspace.metadata.signals(run.id)
    ours, theirs = (Stores(workspace.metadata_of(name), workspace.artifacts, name, ME) for name in ("ours", "theirs"))
    ask = ABOUT_A_RUN[function]
    assert outcome(ask, theirs, run) == outcome(ask, theirs, ghost)
    assert (dict(workspace.metadata.export(run.id)), workspace.metadata.signals(run.id)) == before
    if function not in SAME_FOR_ANY:
        assert outcome(ask, ours, run) != outcome(ask, theirs, run), "else the question shows nothing"


def test_listings_are_of_one_project(workspace: wiring.Workspace) -> None:
    theirs = workspace.metadata_of("theirs")
    for project in ("ours", "theirs"):
        found = outcome(lambda *_: names.find_run(theirs, project, "train/1").project, None, None)  # type: ignore[arg-type]
        assert found == "theirs" or (project == "ours" and issubclass(found, HeadraceError))
    assert resumable.newest_resumable(theirs, "theirs").project == "theirs"
    assert garbage.choose_runs(theirs, "ours", garbage.Policy(keep=0), NOW) == []
    want = run_rows.as_recorded(theirs, RunFilter(project="ours"), run_rows.parse_states(()))
    assert theirs.runs(want) == []
    assert theirs.task(1, TaskId("fit", 1)) is None
