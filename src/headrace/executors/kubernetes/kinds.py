"""Kinds of pods: what the pods are like in which the attempts of a policy run."""

from __future__ import annotations

import msgspec

from headrace.executors.kubernetes.group_manifests import GroupKind
from headrace.executors.kubernetes.manifests import PodKind, rounded
from headrace.executors.kubernetes.options import KubernetesOptions
from headrace.model.environments import EnvironmentLock
from headrace.model.errors import UsageError
from headrace.model.pods import merge
from headrace.model.policy import StepPolicy
from headrace.model.workers import WorkerSpec

#: Policies of steps whose specs are kept.
_KNOWN = 1_000


class PodKinds:
    """The kinds of pods of a place by their names. ``locks`` are told of environments, by their digests."""

    def __init__(self, place: str, options: KubernetesOptions, locks: dict[str, EnvironmentLock]) -> None:
        self._place = place
        self._options = options
        self._locks = locks
        self._kinds: dict[str, PodKind] = {}
        self._specs: dict[int, tuple[StepPolicy, WorkerSpec]] = {}  # by the identity of the policy

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __getitem__(self, name: str) -> PodKind:
        return self._kinds[name]

    def spec(self, policy: StepPolicy) -> WorkerSpec:
        """See ``Executor``.

        Raises:
            UsageError: neither the place nor the step has an image.
        """
        known = self._specs.get(id(policy))
        if known is not None and known[0] is policy:
            return known[1]
        lock = policy.lock
        environment = ""
        within = policy.image
        if lock is not None and lock.python:
            lock = lock.baked(self._options.baked)
            environment = lock.digest.hex()
            self._locks[environment] = lock
        if lock is not None and (not within or "@" in lock.image):
            within = lock.image
        image = (self._options.beside or within) if within else self._options.image
        if not image:
            own = "its environment, which headrace image build makes" if environment else "its own: image=..."
            raise UsageError(
                f"place {self._place!r} has no image for it: set image of [tool.headrace.places.{self._place}] to an "
                f"image that has Headrace, or give the step an image of {own}"
            )
        kind = PodKind(
            image=image,
            within=within,
            python=bool(within and environment),
            resources=rounded(policy.resources),
            settings=merge(self._options.pod, policy.pod),
        )
        name = kind.digest
        self._kinds[name] = kind
        spec = WorkerSpec(
            place=self._place, environment=environment, image=name, resources=kind.resources, isolated=policy.isolated
        )
        if len(self._specs) >= _KNOWN:
            self._specs.clear()
        self._specs[id(policy)] = policy, spec
        return spec

    def group(self, spec: WorkerSpec, size: int) -> tuple[WorkerSpec, GroupKind]:
        """The group that the pods of a spec are for a gang of that size, and the spec of its workers."""
        kind = GroupKind(self._kinds[spec.image], size, self._options.gangs)
        return msgspec.structs.replace(spec, image=kind.digest), kind
