"""Which run ``resume`` goes on from, and the parameters it had."""

from __future__ import annotations

from typing import Any

from headrace.frontends.metaflow.authoring.configs import wrap
from headrace.frontends.metaflow.client.tags import RESUMED
from headrace.frontends.metaflow.exceptions import CommandException, MetaflowException
from headrace.frontends.metaflow.taskids import run_number
from headrace.model.errors import NotFoundError
from headrace.model.records import RunRecord
from headrace.services.names import parse_name
from headrace.services.reproduction import what_to_run
from headrace.services.session import Reproduces
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import RunFilter
from headrace.wiring import Scope, check_exists


def origin_of(cls: Any, run_id: str | None, scope: Scope) -> RunRecord:
    """The run to go on from: the one named, else the newest that was not itself made by ``resume``.

    Raises:
        CommandException: there is none.
    """
    try:
        check_exists(scope.settings)
    except NotFoundError as error:
        raise CommandException(f"There is nothing to resume: {error}") from None
    metadata, flow = scope.metadata, cls.__name__
    if run_id is not None:
        number = run_number(run_id)
        found = metadata.run(flow, number, scope.project) if number is not None else None
        if found is None:
            raise MetaflowException(
                f"Could not find the run *{run_id}* of flow *{flow}* to resume. See `headrace runs --flow {flow}`."
            )
        return metadata.run_by_id(found.id) or found
    runs = metadata.runs(RunFilter(project=scope.project, flow=flow, limit=100))
    resumed = {tag.run_id for tag in metadata.tags([run.id for run in runs]) if tag.name == RESUMED}
    for run in runs:
        if run.id not in resumed:
            return metadata.run_by_id(run.id) or run
    raise CommandException("A previous run id was not found. Specify --origin-run-id.")


def check_resume(run_id: str | None, reentrant: bool, identifier: str | None) -> None:
    """Refuse what schedulers say of a resume that does not hold here, where every call of it makes a run of its own.

    Raises:
        CommandException: it says something wrong, or gives the new run a name.
    """
    if run_id is not None and run_id.isdigit():
        raise CommandException(f"run-id {run_id} cannot be an integer")
    if run_id is not None:
        raise CommandException(f"--run-id {run_id}: runs are numbered here; leave it out and use --tag to find the run")
    if reentrant and not identifier:
        raise CommandException("--reentrant wants --resume-identifier: give it a name for this call")


def reproduced(origin: RunRecord, part: str, scope: Scope) -> Reproduces:
    """What of a run is to run again: ``all``, ``STEP`` or ``STEP/TASK``."""
    name = parse_name(origin.name if part == "all" else f"{origin.name}/{part}")
    return what_to_run(scope.metadata, origin, name)


def values_of(cls: Any, origin: RunRecord, store: ArtifactStore) -> dict[str, Any]:
    """The parameters of a run, by attribute; those that it did not know are left out."""
    known = cls._parameters()
    return {one.name: codecs.unpack(one.value, store) for one in origin.inputs if one.name in known}


def configs_of(cls: Any, origin: RunRecord, store: ArtifactStore) -> dict[str, Any]:
    """The configs of a run, by attribute."""
    known = cls._configs()
    return {one.name: wrap(codecs.unpack(one.value, store)) for one in origin.inputs if one.name in known}
