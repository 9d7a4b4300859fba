"""Handing a run over to a driver elsewhere: what only this machine knows is recorded here, and nothing runs."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, NoReturn

import msgspec

from headrace._base.process import host_name, process_owner
from headrace.model.environments import DESCRIBED
from headrace.model.errors import EnvironmentSetupError, HeadraceError, UsageError
from headrace.model.records import LEASE_SECONDS, CodeRecord, Lease, Param, RunDetails, RunRecord, Tag
from headrace.model.states import RunState
from headrace.services.code.package import CodeOfRun
from headrace.services.leases import leave_to_heir, take_lease
from headrace.services.places import Places
from headrace.services.provenance import begun_diff
from headrace.services.resumable import check_kept
from headrace.services.retrying_store import waiting
from headrace.services.session import NewSession, Resume, recorded_details
from headrace.services.store_wait import StoreWait
from headrace.services.stores import Stores
from headrace.services.surroundings import Surroundings
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import NewRun, RunChange, Write

if TYPE_CHECKING:
    from headrace.services.environments.service import Environments


class HandedOver(HeadraceError):
    """The run is committed, and a driver in ``place`` is to be started: by ``headrace resume`` with ``words``."""

    def __init__(self, run: RunRecord, place: str, words: tuple[str, ...]) -> None:
        super().__init__(f"run {run.name} was handed over to a driver in place {place!r}")
        self.run = run
        self.place = place
        self.words = words

    def tell(self, file: str) -> None:
        """Write down what was handed over, for the process that has started this one."""
        told = {"run": self.run.name, "place": self.place, "words": self.words}
        with open(file, "wb") as out:  # noqa: PTH123
            out.write(msgspec.json.encode(told))


def hand_over(stores: Stores, places: Places, new: NewSession, resume: Resume | None = None) -> NoReturn:
    """Record a new run, or that ``resume`` goes on, for a driver in the default place.

    Raises:
        HandedOver: it is done.
        RunBusyError: another process drives the run; StoreAwayError: a store did not answer in time.
        UsageError: the run cannot be driven elsewhere.
    """
    if new.reproduces is not None:
        raise UsageError("a run that reproduces another one has its driver here: add --driver here")
    place = places.default
    code = CodeOfRun(new.entry, new.code, new.files)
    stores = waiting(stores, StoreWait(new.store_wait))
    metadata = stores.metadata
    kept = code.store(stores.artifacts)
    run, lease = _opened(stores, new, resume)
    try:
        known = recorded_details(run)
        details = _details(known if code.installed else RunDetails(), known.seed, new, code, kept, place)
        writes: list[Write] = [_begun(run, new, details)]
        writes += [Param(run.id, name, text) for name, text in new.params]
        writes += [Tag(run.id, name, value) for name, value in new.tags]
        writes += _locks(run, new, places.environments, stores.artifacts)
        surroundings: list[RunChange] = []
        file, diff = (None, None) if code.installed else (new.file, begun_diff(new.file))
        look = Surroundings(run.id, stores.artifacts, file, details, surroundings.append, diff)
        look.start()
        look.finish(ran=60.0)  # the driver cannot look here again
        metadata.commit([*writes, *surroundings], lease, LEASE_SECONDS)
        leave_to_heir(metadata, run, lease.owner, place)
    except BaseException:
        metadata.release(lease)
        raise
    raise HandedOver(metadata.run_by_id(run.id) or run, place, _words(place, new, resume))


def _opened(stores: Stores, new: NewSession, resume: Resume | None) -> tuple[RunRecord, Lease]:
    if resume is not None:
        check_kept(stores.metadata, resume.run)
        lease = take_lease(stores.metadata, resume.run)
        return stores.metadata.run_by_id(resume.run.id) or resume.run, lease
    made = NewRun(
        project=stores.project,
        flow=new.flow,
        dialect=new.dialect,
        entry=new.entry,
        created=time.time(),
        inputs=msgspec.msgpack.encode(new.inputs),
        user=stores.actor.user,
        host=host_name(),
        pid=os.getpid(),
    )
    return stores.metadata.open_run(made, process_owner(), LEASE_SECONDS)


def _details(
    before: RunDetails, seed: int | None, new: NewSession, code: CodeOfRun, kept: CodeRecord, place: str
) -> RunDetails:
    return msgspec.structs.replace(
        before,
        seed=new.seed if seed is None else seed,
        code=kept,
        sources={},
        left_out=code.left_out,
        place=place,
        environment=new.given_environment,
        secrets=new.secrets,
        titles=new.titles,
    )


def _locks(run: RunRecord, new: NewSession, environments: Environments, artifacts: ArtifactStore) -> list[Write]:
    """This machine's locks of what the flow may ask for: the driver may have neither an index nor that Python."""
    from headrace.services.environments.records import handed_lock_record

    folder = os.path.dirname(new.file) or os.getcwd()  # noqa: PTH109, PTH120
    found: list[Write] = []
    for one in tuple(DESCRIBED):
        with contextlib.suppress(EnvironmentSetupError):  # the driver tells of it, where a step needs it
            lock = environments.known(one, folder)
            if lock is not None:
                found.append(handed_lock_record(run.id, lock, artifacts))
    return found


def _begun(run: RunRecord, new: NewSession, details: RunDetails) -> RunChange:
    """The run goes on as if it had just begun: who looks at it sees it run."""
    return RunChange(
        run_id=run.id,
        state=RunState.RUNNING,
        started=time.time(),
        finished=None,
        inputs=new.inputs,
        error="",
        traceback="",
        failed_task="",
        details=msgspec.msgpack.encode(details),
    )


def _words(place: str, new: NewSession, resume: Resume | None) -> tuple[str, ...]:
    """Options of ``headrace resume`` that have not been recorded."""
    words = ["--on", place]
    if new.max_parallel:
        words += ["--max-parallel", str(new.max_parallel)]
    if not new.use_cache:
        words.append("--no-cache")
    if new.keep_going:
        words.append("--keep-going")
    if resume is not None:
        words += [word for step in resume.again for word in ("--from", step)]
        if resume.reuse_changed:
            words.append("--reuse-changed")
    return tuple(words)
