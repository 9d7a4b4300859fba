"""``--trigger``: a run started as if the end of other runs had started it, to try ``@trigger_on_finish`` here."""

from __future__ import annotations

from typing import Any

from headrace.frontends.metaflow.client.runs import Run, Trigger
from headrace.frontends.metaflow.exceptions import MetaflowException


def events_of_runs(pathspecs: tuple[str, ...]) -> list[dict[str, Any]]:
    """The ends of runs as events, in the form that a run keeps: times are numbers.

    Raises:
        MetaflowException: one is no run that succeeded; MetaflowNotFound: there is none.
    """
    runs = []
    for pathspec in pathspecs:
        if pathspec.count("/") != 1:
            raise MetaflowException(
                f"Incorrect format for run pathspec for *--trigger*: {pathspec!r} is not flow_name/run_id."
            )
        run = Run(pathspec, _namespace_check=False)
        if not run.successful:
            raise MetaflowException(f"*--trigger* does not support runs that are not successful yet: {pathspec}.")
        runs.append(run)
    return [{**one._asdict(), "timestamp": one.timestamp.timestamp()} for one in Trigger.from_runs(runs)]
