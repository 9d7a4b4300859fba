"""From decorators to what the engine understands: policies, definitions, fingerprints of steps."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from blake3 import blake3

from headrace._base.usercode import main_name
from headrace.frontends.metaflow.authoring.decorators import find, flow_decorators
from headrace.frontends.metaflow.authoring.gangs import is_gang
from headrace.frontends.metaflow.authoring.graph import graph_of
from headrace.frontends.metaflow.authoring.packages import OLDEST, PACKAGED, asked_python, environment_of, is_too_old
from headrace.frontends.metaflow.exceptions import (
    InvalidEnvironmentException,
    MetaflowException,
    NotSupportedException,
    PackagesException,
)
from headrace.frontends.metaflow.running.console import Console
from headrace.frontends.metaflow.running.kubernetes import pods_of
from headrace.frontends.metaflow.running.task import StepSpec, timeout_seconds
from headrace.model.errors import EnvironmentSetupError
from headrace.model.messages import Define
from headrace.model.policy import Resources, Retry, StepPolicy
from headrace.model.values import Packed
from headrace.runtime import registry

if TYPE_CHECKING:
    from headrace.model.calls import StepInfo
    from headrace.model.workers import ClusterAddress
    from headrace.services.places import Places
    from headrace.services.session import Session

#: Attempts after the real ones, in case the process of a step with ``@catch`` dies.
_FALLBACKS = 3
#: Seconds that a step with ``@timeout`` has to react before its worker is killed.
_TIMEOUT_GRACE = 30
#: Decorators that have no say in what a step makes of its inputs, or whose say is in its environment.
_WITHOUT_EFFECT = frozenset({"retry", "timeout", "resources", "batch", "kubernetes", *PACKAGED})
_REMOTE = ("batch", "kubernetes")


class Ground(NamedTuple):
    """What a flow runs on: what the machine has (None: it is not known yet which machines there will be), how many
    tasks may run at once, whether results are taken from the cache; ``within`` stands before the names of its steps
    when it is part of another run; ``called`` is what its file calls the class with; ``warm``: whether tasks share
    processes; ``environment``: what ``--environment`` says; ``place``: where steps run that name no place, and
    ``clusters``: the places whose workers are pods."""

    room: Resources | None
    workers: int
    cache: bool = False
    within: str = ""
    called: Packed | None = None
    warm: bool = False
    environment: str = "local"
    place: str = ""
    clusters: Mapping[str, ClusterAddress] = MappingProxyType({})


class StepPlan:
    """One step of a run, as the runtime submits it."""

    def __init__(self, name: str, spec: StepSpec, policy: StepPolicy, code: bytes, within: str = "") -> None:
        self.name = name
        self.counter = f"{within}*"  # tasks are numbered over the run
        self.spec = spec
        self.policy = policy
        self.code = code
        self._info: StepInfo | None = None

    def info(self, session: Session) -> StepInfo:
        """The step as the engine knows it in the run of this plan."""
        if self._info is None:
            self._info = session.step(self.name, self.policy, self.code, self._define, counter=self.counter)
        return self._info

    def _define(self, number: int) -> Define:
        """How a worker finds the step."""
        return Define(
            step=number,
            name=self.name,
            body=pickle.dumps(self.spec),
            env=self.policy.env,
            threads=max(1, int(self.policy.resources.cpu)),
            raw=True,
        )


def make_plans(
    cls: Any,
    constants: tuple[str, ...],
    facts: dict[str, Any],
    decorators: tuple[str, ...],
    ground: Ground,
) -> dict[str, StepPlan]:
    """The steps of a flow by name.

    Raises:
        MetaflowException: a decorator cannot be honoured.
    """
    graph = graph_of(cls)
    slot = slot_of(cls)
    share = codes_of(cls, ground.called)
    main = main_name() if sys.modules.get(main_name()) is sys.modules["__main__"] else ""
    plans = {}
    for node in graph:
        function = node.function
        retries = _times(function)
        spec = StepSpec(
            step=node.name,
            flow=graph.name,
            home=registry.HOME,
            slot=slot,
            module=cls.__module__,
            qualname=cls.__qualname__,
            constants=constants,
            retries=retries,
            targets=tuple(node.out_funcs[:1] if node.condition else node.out_funcs),
            facts=facts,
            decorators=decorators,
            configs=vars(cls).get("_config_values", {}),
            main=main,
            environment=ground.environment,
            called=ground.called,
            alone=not ground.warm,
        )
        policy = _policy(node.name, function, retries, ground)
        plans[node.name] = StepPlan(ground.within + node.name, spec, policy, share(function), ground.within)
    return plans


def slot_of(cls: Any) -> int:
    """Where workers forked after the first call for ``cls`` find it; see ``runtime.registry``."""
    if "_headrace_slot" not in vars(cls):
        cls._headrace_slot = registry.register(cls)
    slot: int = cls._headrace_slot
    return slot


def _times(function: Any) -> int:
    retry = find(function, "retry")
    if retry is None:
        return 0
    times = int(retry.attributes["times"])
    if times < 0:
        raise MetaflowException(f"@retry of step *{function.name}*: times is {times}, it cannot be negative")
    return times


def _policy(step: str, function: Any, retries: int, ground: Ground) -> StepPolicy:
    retry = find(function, "retry")
    # Only what the file or --with says: Metaflow has a default of two minutes, and does not wait on one machine.
    wait = float(retry.given.get("minutes_between_retries") or 0) * 60 if retries and retry is not None else 0.0
    count = retries + (_FALLBACKS if find(function, "catch") is not None else 0)
    timeout = find(function, "timeout")
    seconds = timeout_seconds(timeout.attributes) if timeout is not None else 0
    if timeout is not None and seconds <= 0:
        raise MetaflowException(f"Specify a duration for @timeout of step *{step}*.")
    environment = find(function, "environment")
    if find(function, "secrets") is not None:
        from headrace.frontends.metaflow.authoring.secrets import check_sources

        check_sources(step, function)
    variables = _variables(step, environment.attributes["vars"]) if environment is not None else {}
    policy = StepPolicy(
        resources=_resources(step, function, ground.room, ground.workers),
        retry=Retry(count=count, delay=wait, backoff=1.0, max_delay=max(wait, 1.0)),
        timeout=float(seconds + _TIMEOUT_GRACE) if seconds else 0.0,
        env=tuple(variables.items()),
        cache=ground.cache,
        environment=environment_of(function),
        isolated=not ground.warm,
    )
    return _in_pods(step, function, ground, policy)


def _in_pods(step: str, function: Any, ground: Ground, policy: StepPolicy) -> StepPolicy:
    """``policy`` with what ``@kubernetes`` says, if the step runs in a cluster."""
    kubernetes = find(function, "kubernetes")
    place = cluster_of(ground.place, ground.clusters)
    if kubernetes is None or not place:
        return policy
    resources = find(function, "resources")
    given = resources.given if resources is not None else {}
    asked = pods_of(step, kubernetes.given, given, ground.clusters[place].namespace)
    if asked.image and policy.environment is not None:
        raise NotSupportedException(
            f"@kubernetes of step *{step}*: image cannot be honoured beside @conda or @pypi: their environment "
            "is built in the image of the place."
        )
    return msgspec.structs.replace(
        policy,
        place="" if place == ground.place else place,
        resources=asked.resources,
        pod=asked.settings,
        image=asked.image,
        env=tuple({**asked.variables, **dict(policy.env)}.items()),
    )


def cluster_of(place: str, clusters: Collection[str]) -> str:
    """Where steps with ``@kubernetes`` run: in the place of the run if its workers are pods, else in the one cluster.

    Of several clusters it is the one that is called ``kubernetes``. Empty: there is none.

    Raises:
        MetaflowException: there are several, and none is called so.
    """
    if place in clusters or not clusters:
        return place if place in clusters else ""
    if len(clusters) > 1 and "kubernetes" not in clusters:
        raise MetaflowException(
            f"Steps with @kubernetes could run in {', '.join(sorted(clusters))}: call one of them 'kubernetes', "
            "or run the flow with --on PLACE."
        )
    return "kubernetes" if len(clusters) > 1 else next(iter(clusters))


def _variables(step: str, given: Any) -> dict[str, str]:
    """What ``@environment`` sets; None sets nothing.

    Raises:
        MetaflowException: it is not a dictionary of texts.
    """
    if not isinstance(given, dict):
        raise MetaflowException(f"@environment of step *{step}*: vars must be a dictionary, not {given!r}")
    for name, value in given.items():
        if not isinstance(name, str) or not name or "=" in name:
            raise MetaflowException(f"@environment of step *{step}*: {name!r} is not the name of a variable")
        if value is not None and not isinstance(value, str):
            raise MetaflowException(f"@environment of step *{step}*: the value of {name} is {value!r}, not a string")
    return {name: value for name, value in given.items() if value is not None}


def _resources(step: str, function: Any, room: Resources | None, workers: int) -> Resources:
    """What a step occupies: what it asks for, as far as this machine has it; else its share among ``workers``.

    Flows write what a machine in a cloud is to have: memory decides what runs at once, and no step is ended for it.
    Where tasks run on other machines (``room`` is None), they wait for one that has what they ask for.
    """
    asked = find(function, "resources")
    given = asked.given if asked is not None else {}
    if is_gang(function) and room is not None:  # what a node asks for of a machine of its own; here all run at once
        given = {name: value for name, value in given.items() if name == "gpu"}
    try:
        share = 1.0 if room is None else min(1.0, room.cpu / max(1, workers))
        cpu = float(given["cpu"]) if given.get("cpu") else share
        memory = int(float(given["memory"]) * 2**20) if given.get("memory") else 0
        gpu = int(given["gpu"]) if given.get("gpu") else 0
    except (TypeError, ValueError):
        raise MetaflowException(f"@resources of step *{step}*: {given} are not all numbers") from None
    if room is None:
        return Resources(cpu, memory, gpu, enforced=False)
    if gpu > room.gpu:
        raise NotSupportedException(
            f"Step *{step}* asks for {gpu} GPUs with @resources, but this machine has {room.gpu}."
        )
    return Resources(min(cpu, room.cpu), min(memory, room.memory), gpu, enforced=False)


def codes_of(cls: Any, called: Packed | None = None) -> Any:
    """A function from a step's function to the fingerprint of its code, that of the flow's other methods included.

    What the file calls the class with counts as code of it.
    """
    from types import FunctionType

    from headrace.identity.fingerprint import fingerprint

    shared = blake3()
    for name in sorted(dir(cls)):
        value = getattr(cls, name, None)
        if isinstance(value, FunctionType) and not getattr(value, "is_step", False):
            if value.__module__.startswith("headrace."):
                continue
            shared.update(name.encode() + fingerprint(value).digest)
    if called is not None:
        shared.update(called.digest)
    base = shared.digest()

    def code(function: Any) -> bytes:
        hasher = blake3(base + fingerprint(function).digest)
        for one in function.decorators:
            if one.name not in _WITHOUT_EFFECT:
                hasher.update(f"{one.name}{sorted(one.given.items())}".encode())
        for wrapper in function.wrappers:
            what = getattr(type(wrapper), "_function", type(wrapper))
            hasher.update(fingerprint(what).digest + repr((wrapper._args, sorted(wrapper._kwargs.items()))).encode())
        return hasher.digest()

    return code


def check_environment(cls: Any, environment: str, added: Sequence[str] = ()) -> None:
    """Refuse decorators that want packages when an environment with packages was not asked for.

    ``added`` are the names of decorators that ``--with`` puts on all steps.

    Raises:
        InvalidEnvironmentException: ``--environment`` names no such environment.
    """
    if environment in PACKAGED:
        return
    for name in ("conda", "pypi"):
        where = [f"step *{step}*" for step, function in cls._steps.items() if find(function, name) is not None]
        where += ["--with"] if name in added else []
        where += ["the flow"] if flow_decorators(cls, f"{name}_base") else []
        if where:
            full = f"{name}_base" if where == ["the flow"] else name
            raise InvalidEnvironmentException(
                f"@{full} of {where[0]} requires --environment=conda or --environment=pypi before the command, or "
                f"METAFLOW_ENVIRONMENT={name}; `headrace run` asks for it by itself."
            )


def set_up(plans: Mapping[str, StepPlan], places: Places, folder: str, *, quiet: bool) -> None:
    """Lock and build the environments that steps ask for, before the run begins.

    Raises:
        PackagesException: one cannot be had; the message names the step and has what uv says.
    """
    wanted = {plan.name: plan.policy.environment for plan in plans.values() if plan.policy.environment is not None}
    if not wanted:
        return
    console = Console("", quiet=quiet)
    console.say("Bootstrapping virtual environment(s) ...")
    try:
        found = places.environments
        found.build_all([(step, found.lock(environment, step, folder)) for step, environment in wanted.items()])
    except EnvironmentSetupError as error:
        raise PackagesException(str(error)) from None
    console.say("Virtual environment(s) bootstrapped!")


def unsupported_notes(cls: Any, *, cluster: str = "") -> list[str]:
    """What the flow's decorators ask for that is recorded only, one line per decorator.

    ``cluster`` is the place where steps with ``@kubernetes`` run; empty: they run where others do.
    """
    notes = []
    for name in _REMOTE if not cluster else ("batch",):
        steps = [step for step, function in cls._steps.items() if find(function, name) is not None]
        if steps:
            notes.append(f"@{name} of {', '.join(steps)} is recorded; the steps run on this machine as it is")
    old = {step: python for step, function in cls._steps.items() if is_too_old(python := asked_python(function))}
    for python in dict.fromkeys(old.values()):
        steps = [step for step, asked in old.items() if asked == python]
        notes.append(f"Python {python} of {', '.join(steps)} is too old for Headrace; the steps run on {OLDEST}")
    return notes
