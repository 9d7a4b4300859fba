"""From decorators to what the engine understands: policies, definitions, fingerprints of steps."""

from __future__ import annotations

import pickle
from typing import Any

from blake3 import blake3

from headrace.frontends.metaflow.decorators import find
from headrace.frontends.metaflow.exceptions import MetaflowException, NotSupportedException
from headrace.frontends.metaflow.graph import FlowGraph, graph_of
from headrace.frontends.metaflow.task import StepSpec, timeout_seconds
from headrace.model.messages import Define
from headrace.model.policy import Resources, Retry, StepPolicy
from headrace.worker import registry

#: Attempts after the real ones, in case the process of a step with ``@catch`` dies.
_FALLBACKS = 3
#: Seconds that a step with ``@timeout`` has to react before its worker is killed.
_TIMEOUT_GRACE = 30
_REMOTE = ("batch", "kubernetes", "conda", "pypi")


class StepPlan:
    """One step, as the runtime submits it."""

    def __init__(self, spec: StepSpec, policy: StepPolicy, code: bytes) -> None:
        self.spec = spec
        self.policy = policy
        self.code = code

    def define(self, number: int) -> Define:
        """How a worker finds the step."""
        return Define(
            step=number,
            name=self.spec.step,
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
    room: Resources,
    workers: int,
) -> dict[str, StepPlan]:
    """The steps of a flow by name. ``room`` is what the machine has, ``workers`` how many tasks may run at once.

    Raises:
        MetaflowException: a decorator cannot be honoured.
    """
    graph = graph_of(cls)
    slot = registry.register(cls)
    share = codes_of(cls)
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
        )
        plans[node.name] = StepPlan(spec, _policy(node.name, function, retries, room, workers), share(function))
    return plans


def _times(function: Any) -> int:
    retry = find(function, "retry")
    if retry is None:
        return 0
    times = int(retry.attributes["times"])
    if times < 0:
        raise MetaflowException(f"@retry of step *{function.name}*: times is {times}, it cannot be negative")
    return times


def _policy(step: str, function: Any, retries: int, room: Resources, workers: int) -> StepPolicy:
    retry = find(function, "retry")
    wait = float(retry.attributes["minutes_between_retries"]) * 60 if retry is not None else 0.0
    count = retries + (_FALLBACKS if find(function, "catch") is not None else 0)
    timeout = find(function, "timeout")
    seconds = timeout_seconds(timeout.attributes) if timeout is not None else 0
    if timeout is not None and seconds <= 0:
        raise MetaflowException(f"Specify a duration for @timeout of step *{step}*.")
    environment = find(function, "environment")
    variables = environment.attributes["vars"] if environment is not None else {}
    for name, value in variables.items():
        if not isinstance(value, str):
            raise MetaflowException(f"@environment of step *{step}*: the value of {name} is {value!r}, not a string")
    return StepPolicy(
        resources=_resources(step, function, room, workers),
        retry=Retry(count=count, delay=wait, backoff=1.0, max_delay=max(wait, 1.0)),
        timeout=float(seconds + _TIMEOUT_GRACE) if seconds else 0.0,
        env=tuple(variables.items()),
    )


def _resources(step: str, function: Any, room: Resources, workers: int) -> Resources:
    """What a step occupies: what it asks for, as far as the machine has it; else its share among ``workers``."""
    asked = find(function, "resources")
    given = asked.given if asked is not None else {}
    try:
        cpu = float(given["cpu"]) if given.get("cpu") else min(1.0, room.cpu / max(1, workers))
        memory = int(float(given["memory"]) * 2**20) if given.get("memory") else 0
        gpu = int(given["gpu"]) if given.get("gpu") else 0
    except (TypeError, ValueError):
        raise MetaflowException(f"@resources of step *{step}*: {given} are not all numbers") from None
    if gpu > room.gpu:
        raise NotSupportedException(
            f"Step *{step}* asks for {gpu} GPUs with @resources, but this machine has {room.gpu}."
        )
    return Resources(min(cpu, room.cpu), 0 if memory >= room.memory else memory, gpu)


def codes_of(cls: Any) -> Any:
    """A function from a step's function to the fingerprint of its code, that of the flow's other methods included."""
    from types import FunctionType

    from headrace.engine.fingerprint import fingerprint

    shared = blake3()
    for name in sorted(dir(cls)):
        value = getattr(cls, name, None)
        if isinstance(value, FunctionType) and not getattr(value, "is_step", False):
            if value.__module__.startswith("headrace."):
                continue
            shared.update(name.encode() + fingerprint(value).digest)
    base = shared.digest()

    def code(function: Any) -> bytes:
        return blake3(base + fingerprint(function).digest).digest()

    return code


def unsupported_notes(graph: FlowGraph) -> list[str]:
    """What the flow's decorators ask for that is recorded only, one line per decorator."""
    notes = []
    for name in _REMOTE:
        steps = [node.name for node in graph if any(one.name == name for one in node.decorators)]
        if steps:
            notes.append(f"@{name} of {', '.join(steps)} is recorded; the steps run on this machine as it is")
    return notes
