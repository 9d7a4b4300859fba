"""Which runs can be gone on with, and which one ``resume`` without a name means."""

from __future__ import annotations

from headrace.model.errors import NotFoundError, UsageError
from headrace.model.records import RunRecord
from headrace.model.states import RunState
from headrace.services.describe import details_of
from headrace.services.run_rows import driver_of
from headrace.stores.metadata.protocol import MetadataStore, RunFilter

_ENDED = (RunState.FAILED, RunState.INTERRUPTED, RunState.CANCELLED, RunState.RUNNING)


def newest_resumable(metadata: MetadataStore, project: str) -> RunRecord:
    """The newest run that ended without success: failed, stopped, cancelled, or left behind by a killed driver.

    Raises:
        NotFoundError: there is none.
    """
    for run in metadata.runs(RunFilter(project=project, states=_ENDED, marks=("!deleted",), limit=100)):
        if run.state is not RunState.RUNNING or driver_of(metadata, run) == "gone":
            found = metadata.run_by_id(run.id) or run
            if not details_of(found).reproduces:
                return found
    raise NotFoundError("there is no run to go on with: all succeeded or are running; name one to resume it anyway")


def check_kept(metadata: MetadataStore, run: RunRecord) -> None:
    """Refuse to go on with a run that is to be deleted.

    Raises:
        UsageError: it is.
    """
    if any(one.deleted is not None for one in metadata.flags([run.id])):
        raise UsageError(
            f"{run.name} was deleted and will be gone in a moment; restore it: headrace mark {run.name} --restore"
        )
