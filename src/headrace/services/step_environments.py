"""What the steps of one run run in: locks of their environments and images, and what is built ahead for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace._base.lazy import lazy
from headrace.model.environments import Environment, EnvironmentLock
from headrace.model.errors import UsageError
from headrace.model.policy import StepPolicy
from headrace.model.records import RunRecord
from headrace.services.places import Places
from headrace.services.stores import Stores
from headrace.stores.metadata.protocol import Write

if TYPE_CHECKING:
    from headrace.services.environments.construction import Construction
    from headrace.services.environments.images import Images


class Given(msgspec.Struct, frozen=True):
    """What a run says of environments: the ``default`` of its steps, the run that it runs again (``origin``), the
    ``folder`` where relative paths start, and whether earlier results ``may_answer`` calls."""

    default: Environment | None
    origin: RunRecord | None
    folder: str
    may_answer: bool


class StepEnvironments:
    """See the module. ``run`` is the run, in its present session."""

    def __init__(self, places: Places, stores: Stores, run: RunRecord, given: Given) -> None:
        self._places = places
        self._stores = stores
        self._run = run
        self._given = given
        #: The run whose locks are used, if it had environments: the one that is run again.
        self._origin = self._with_locks(given.origin)
        self._recorded: set[tuple[str, bytes]] = set()  # steps and digests of locks
        self._ahead: list[Construction] = []
        self._images: dict[str, Images] = {}  # by their places; those of this machine by an empty name

    def images(self, place: str) -> Images:
        """The images of the run's steps in a place."""
        from headrace.services.environments.images import Images

        source = self._places.images(place or self._places.default)
        key = "" if source is None else place or self._places.default
        if key not in self._images:
            self._images[key] = Images(source)
        return self._images[key]

    def are_asked_for(self, policy: StepPolicy) -> bool:
        """Whether a step with this policy may run in something else than the environment of the run."""
        return bool(policy.image or policy.environment or self._given.default or self._origin is not None)

    def locked(self, step: str, policy: StepPolicy, *, command: bool) -> tuple[StepPolicy, Write | None]:
        """``policy`` with the lock of its environment or image, and the record of that lock if it is a new one.

        An environment that the step needs whatever comes begins to be built.

        Raises:
            EnvironmentSetupError: it cannot be resolved; UsageError: its pods would have no image. Both name the step.
        """
        if not self.are_asked_for(policy):
            self._check_image(step, policy)
            return policy, None
        from headrace.services.environments.records import lock_record

        lock = self._lock(step, policy, command)
        if lock is None:
            self._check_image(step, policy)
            return policy, None
        record = None
        if (step, lock.digest) not in self._recorded:
            if self._is_needed(lock, policy):
                self._ahead.append(self._places.environments.begin(lock, f"step {step!r}"))
            self._recorded.add((step, lock.digest))
            record = lock_record(self._run.id, step, lock, self._stores.artifacts)
        policy = msgspec.structs.replace(policy, lock=lock)
        self._check_image(step, policy)
        return policy, record

    def _check_image(self, step: str, policy: StepPolicy) -> None:
        """Refuse a step whose pods would have no image.

        Raises:
            UsageError: the message names the step.
        """
        place = policy.place or self._places.default
        if place not in self._places.clusters:
            return
        try:
            self._places.open(place).spec(policy)
        except UsageError as error:
            raise UsageError(f"step {step!r}: {error}") from None

    def _lock(self, step: str, policy: StepPolicy, command: bool) -> EnvironmentLock | None:
        from headrace.services.environments.records import locks_of_step

        stores, environments = self._stores, self._places.environments
        owner = self._origin or (self._run.id if self._run.session > 1 else None)
        recorded = [] if owner is None else [*locks_of_step(stores.metadata, stores.artifacts, owner, step).values()]
        if policy.image:
            return self.images(policy.place).lock(policy.image, step, recorded, command=command)
        if self._origin is not None and len(recorded) == 1 and environments.fits(recorded[0]):
            return recorded[0]  # whatever is asked for here, as by settings
        environment = policy.environment or self._given.default
        if environment is None:
            return None
        return environments.lock(environment, f"step {step!r}", self._given.folder, [*self._handed, *recorded])

    @lazy
    def _handed(self) -> list[EnvironmentLock]:
        """The locks that came with the run from the machine that handed it over."""
        from headrace.services.environments.records import handed_locks

        if self._run.session == 1:
            return []
        return handed_locks(self._stores.metadata, self._stores.artifacts, self._run.id)

    def _is_needed(self, lock: EnvironmentLock, policy: StepPolicy) -> bool:
        """Whether a worker in ``lock`` will be needed on this machine: no earlier result can answer the call."""
        answered = self._run.session > 1 or (policy.cache and self._given.may_answer)
        here = self._places.builds_here(policy.place or self._places.default)
        return here and not answered and bool(lock.python) and not self._places.environments.is_there(lock)

    def _with_locks(self, origin: RunRecord | None) -> int | None:
        if origin is None:
            return None
        from headrace.services.environments.records import locks_of_run

        metadata = self._stores.metadata
        steps = [one.step for one in metadata.step_counts(origin.id)]
        return origin.id if locks_of_run(metadata, self._stores.artifacts, origin.id, steps) else None

    def close(self) -> None:
        """The run is over: what is built for it alone is given up."""
        for one in self._ahead:
            one.leave()
        self._ahead.clear()
