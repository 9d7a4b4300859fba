"""A pod in which a task is looked at: with the image, stores and rights of pods of its place."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from headrace.model.errors import UsageError
from headrace.model.records import RunRecord
from headrace.wiring.drivers import client_of, place_of
from headrace.wiring.scopes import Scope

_LOOK = 0.3


def debug_in_pod(
    scope: Scope, run: RunRecord, place: str, words: Sequence[str], tell: Callable[[str], None], *, terminal: bool
) -> int:
    """Run ``headrace debug`` with ``words`` in a pod of ``place`` that is made for it; returns its exit code.

    ``tell`` is told why the pod has not begun.

    Raises:
        UsageError: the place lacks settings; ClusterError: the cluster refuses it.
    """
    from headrace.executors.kubernetes.driver_jobs import CONTAINER, POD, DriverJob, debug_pod_of, reason_of_pod
    from headrace.executors.kubernetes.pod_programs import run_in_pod

    where = place_of(scope, place)
    if not where.image_of_workers:
        raise UsageError(
            f"place {place!r} has no image for a pod in which a task is looked at: set image of "
            f"[tool.headrace.places.{place}] to an image that has Headrace; or look at it here, without --on"
        )
    driver = DriverJob(
        run=run.name,
        key=f"debug {os.urandom(8).hex()}",
        session=run.session,
        place=place,
        image=where.image_of_workers,
        words=(),
        secret=where.secret,
        variables={**dict(where.variables), "HEADRACE_PROJECT": run.project, "LOGNAME": scope.actor.user},
        settings=where.pod,
    )
    pod = debug_pod_of(driver)
    name = pod["metadata"]["name"]
    with client_of(where) as client:
        client.create(pod)
        try:
            said, until = "", time.monotonic() + float(where.start_timeout)
            while (seen := client.get(POD, name))["status"].get("phase") != "Running":
                why = reason_of_pod(client, seen)
                if why != said:
                    tell(why)
                said = why
                if time.monotonic() > until:
                    raise UsageError(
                        f"the pod has not begun within {where.start_timeout:g} s: {said or 'no reason told'}"
                    )
                time.sleep(_LOOK)
            command = ["python", "-m", "headrace", "debug", *words]
            with client_of(where) as streams:  # of its own: its connection serves nothing else afterwards
                return run_in_pod(streams, name, CONTAINER, command, terminal=terminal)
        finally:
            client.delete(POD, name, grace=0)
