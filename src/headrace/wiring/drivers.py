"""Drivers of runs in a cluster: starting one from here, and asking for the next one there."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.model.errors import UsageError
from headrace.model.records import RunRecord
from headrace.services.control import end_undriven
from headrace.services.places import KubernetesPlace, drives_there
from headrace.services.session import recorded_details
from headrace.settings import settings_file
from headrace.wiring.driver_pods import BAKED, IDENTITY, DriverPod, check_driver_place
from headrace.wiring.scopes import Scope

if TYPE_CHECKING:
    from headrace.executors.kubernetes.client import ClusterClient
    from headrace.executors.kubernetes.driver_jobs import DriverJobs


class StartedDriver:
    """A driver Job that was started from here."""

    def __init__(self, jobs: DriverJobs, name: str) -> None:
        self._jobs = jobs
        self.name = name

    def trouble(self) -> tuple[str, bool]:
        """Why it does not drive at the moment (empty: it will soon), and whether it never will."""
        from headrace.executors.kubernetes.client import ClusterError

        try:
            return self._jobs.trouble(self.name)
        except ClusterError as error:
            return str(error), False

    def delete(self) -> None:
        """Take it away, with all that belongs to it."""
        self._jobs.delete(self.name)


def place_of(scope: Scope, name: str) -> KubernetesPlace:
    """The settings of a cluster's place.

    Raises:
        UsageError: there is none of that name.
    """
    found = next((one for one in scope.settings.places if one.name == name), None)
    if not isinstance(found, KubernetesPlace):
        raise UsageError(f"place {name!r} is not a cluster of [tool.headrace.places] in pyproject.toml")
    return found


def _name(run: RunRecord) -> str:
    from headrace.executors.kubernetes.driver_jobs import job_name

    return job_name(run.name, _key(run), run.session)


def _key(run: RunRecord) -> str:
    return f"{run.id}@{run.created!r}"


def forget_driver(scope: Scope, run: RunRecord) -> None:
    """Take the Job of a run away that was cancelled before its driver began; nothing happens where there is none."""
    place = recorded_details(run).place
    where = next((one for one in scope.settings.places if one.name == place), None)
    if not isinstance(where, KubernetesPlace):
        return
    from headrace.executors.kubernetes.client import ClusterError

    with contextlib.suppress(ClusterError, UsageError):
        _jobs(where).delete(_name(run))


def trouble_in_cluster(scope: Scope, run: RunRecord) -> Callable[[], tuple[str, bool] | None] | None:
    """What says why the driver of a run in a cluster does not drive; None: it is in none that the settings here know.

    What it says is never final: whoever follows a run that others have started may see less of the cluster than they.
    """
    from headrace.model.errors import HeadraceError

    place = recorded_details(run).place
    where = next((one for one in scope.settings.places if one.name == place), None)
    if not isinstance(where, KubernetesPlace) or not drives_there(where, ""):
        return None
    try:
        jobs = _jobs(where)
    except (HeadraceError, ImportError):  # no way to the cluster from here
        return None

    def trouble() -> tuple[str, bool] | None:
        from headrace.executors.kubernetes.client import ClusterError

        try:
            name = jobs.newest(run.name, _key(run))
            return (jobs.trouble(name)[0], False) if name else None
        except ClusterError:
            return None

    return trouble


def client_of(where: KubernetesPlace) -> ClusterClient:
    """A client of the API server of a place."""
    from headrace.executors.kubernetes.access import Access
    from headrace.executors.kubernetes.client import ClusterClient

    return ClusterClient(Access(where.kubeconfig, where.context), where.namespace)


def _jobs(where: KubernetesPlace) -> DriverJobs:
    from headrace.executors.kubernetes.driver_jobs import DriverJobs

    return DriverJobs(client_of(where))


def start_driver(scope: Scope, run: RunRecord, place: str, words: tuple[str, ...]) -> StartedDriver:
    """Start a driver of a run that was handed over, in a pod of ``place``. Where that cannot be, the run has failed.

    Raises:
        UsageError: the place lacks settings, or the cluster refuses it; the message says what to do.
    """
    from headrace.executors.kubernetes.client import ClusterError

    try:
        return _started(scope, run, place, words)
    except (UsageError, ClusterError) as error:
        advice = "" if isinstance(error, UsageError) else f"; `headrace place check {place}` says what it lacks"
        text = f"no driver can be started in place {place!r}: {error}{advice}"
        end_undriven(scope.metadata, run, text)
        raise UsageError(f"{text}. Once that is mended: headrace resume {run.name} --code recorded") from None


def _started(scope: Scope, run: RunRecord, place: str, words: tuple[str, ...]) -> StartedDriver:
    from headrace.executors.kubernetes.driver_jobs import DriverJob
    from headrace.services.environments.baking import noted

    where = place_of(scope, place)
    check_driver_place(where)
    file = settings_file()
    driver = DriverJob(
        run=run.name,
        key=_key(run),
        session=run.session,
        place=place,
        image=where.image_of_drivers,
        words=(run.name, *words),
        secret=where.secret,
        variables={**dict(where.variables), "HEADRACE_PROJECT": run.project, "LOGNAME": run.user or "headrace"},
        files={
            IDENTITY: os.urandom(32).hex(),
            BAKED: json.dumps(noted(scope.workspace.environments.cache)),
            "pyproject.toml": file.read_text() if file else "",
        },
        account=where.driver_account,
        settings=where.pod,
    )
    jobs = _jobs(where)
    jobs.start(driver)
    return StartedDriver(jobs, driver.name)


def hand_on(pod: DriverPod) -> Callable[[], None]:
    """What lets the Job of this pod start its next one."""
    from headrace.executors.kubernetes.access import IN_CLUSTER, Access
    from headrace.executors.kubernetes.client import ClusterClient
    from headrace.executors.kubernetes.driver_jobs import DriverJobs

    def hand_on_to_next() -> None:
        with ClusterClient(Access("", IN_CLUSTER), pod.namespace) as client:
            DriverJobs(client).hand_on(pod.job)

    return hand_on_to_next
