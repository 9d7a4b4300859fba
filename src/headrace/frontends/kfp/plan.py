"""From tasks of a pipeline to what the engine understands: steps, policies, fingerprints, calls."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from blake3 import blake3

from headrace._base.sizes import parse_duration
from headrace.frontends.kfp.component_task import TASK_UUID, ComponentTask
from headrace.frontends.kfp.contract import ComponentStep, JobFacts
from headrace.frontends.kfp.errors import TaskInputError
from headrace.frontends.kfp.executors.needs import PODS, Needs, check_container, needs_of
from headrace.frontends.kfp.executors.volume_claims import is_claim
from headrace.frontends.kfp.graph import Node
from headrace.frontends.kfp.ir import Component, ContainerResources, Executor, Pipeline
from headrace.frontends.kfp.placeholders import find
from headrace.frontends.kfp.pods import pod_of
from headrace.frontends.kfp.resources import filled, resources_of
from headrace.model.calls import Call, PendingInput, StepInfo
from headrace.model.messages import Define
from headrace.model.policy import Resources, Retry, StepPolicy
from headrace.model.workers import LOCAL, ClusterAddress
from headrace.services.notices import print_notice

if TYPE_CHECKING:
    from headrace.services.session import Session


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What the run's surroundings say of all its steps.

    ``room`` is what the machine has, None where tasks run elsewhere; ``containers`` as in ``ComponentStep``; ``home``
    is a folder for lists of requirements.
    """

    @property
    def pods(self) -> bool:
        """Whether tasks run in pods."""
        return self.cluster is not None

    room: Resources | None
    use_cache: bool = True
    containers: str = "auto"
    home: str
    cluster: ClusterAddress | None = None  # where tasks have pods
    workspace_claim: str = ""  # the volume claim that is the workspace in pods
    secrets: dict[str, tuple[str, ...]] = {}  # by label of the executor: names of environment variables


class _Asked(NamedTuple):
    """What one task asks for: its executor, what it occupies, values of placeholders, settings for Kubernetes."""

    executor: Executor
    resources: Resources
    values: dict[str, Any]
    platform: dict[str, Any]


class Planner:
    """Makes calls of tasks. A step is made known to the session when it is first called."""

    def __init__(self, pipeline: Pipeline, session: Session, job: JobFacts, conditions: Conditions) -> None:
        self._session = session
        self._pipeline = pipeline
        self._job = job
        self._conditions = conditions
        self._steps: dict[tuple[str, int, str], StepInfo] = {}

    def call(
        self,
        path: str,
        node: Node,
        inputs: tuple[PendingInput, ...],
        values: dict[str, Any],
        platform: dict[str, Any] | None = None,
    ) -> Call:
        """The call of a task whose component has an executor.

        ``values`` are what placeholders in the resources of the task stand for, ``platform`` its settings for
        Kubernetes where it runs in pods.

        Raises:
            TaskInputError: something that it asks for is not as it must be.
        """
        info = self._step(path, node, values, platform)
        key = node.task.caching_options.cache_key
        if key and info.policy.cache:  # the key stands for the inputs: they are left out, as defaults are
            left_out = {one.name: _digest(one) for one in inputs}
            info = msgspec.structs.replace(info, defaults=left_out)
        return Call(info, inputs)

    def _step(self, path: str, node: Node, values: dict[str, Any], platform: dict[str, Any] | None = None) -> StepInfo:
        executor = self._pipeline.spec.deployment_spec.executors[node.component.executor_label]
        asked = resources_of(executor.container, values, self._conditions.room, pods=self._conditions.pods)
        known = (path, id(node.task), f"{asked} {values} {platform}" if values or platform else repr(asked))
        info = self._steps.get(known)
        if info is None:
            made = _Asked(executor, asked, values, platform or {})
            info = self._steps[known] = self._make(path, node, made)
        return info

    def _make(self, path: str, node: Node, found: _Asked) -> StepInfo:
        executor, asked, values, resolved = found
        label = node.component.executor_label
        platform = self._pipeline.kubernetes.deployment_spec.executors.get(label, {})
        needs = self._needs(path, executor)
        policy = self._policy(node, platform, asked)
        claim = self._conditions.workspace_claim
        pod = pod_of(resolved, executor.container, claim) if self._conditions.pods else None
        image = filled(needs.image, values)
        policy = msgspec.structs.replace(policy, environment=needs.environment, image=image, pod=pod)
        if is_claim(executor):  # asked of the cluster by this machine, and never taken from another run
            policy = msgspec.structs.replace(policy, place=LOCAL, pod=None, cache=False)
        step = ComponentStep(
            task=node.key,
            path=path,
            component=node.component,
            executor=executor,
            job=self._job,
            platform=platform,
            containers=self._conditions.containers,
            as_command=needs.as_command,
            cluster=self._conditions.cluster,
        )
        body = pickle.dumps(ComponentTask(step))

        def define(number: int) -> Define:
            return Define(
                step=number,
                name=path,
                body=body,
                env=policy.env,
                threads=max(1, int(policy.resources.cpu)),
                raw=True,
                secrets=policy.secrets,
            )

        return self._session.step(path, policy, code_of(node, executor), define, in_image=needs.as_command)

    def prepare(self, nodes: Iterable[tuple[str, Node]]) -> None:
        """Find what would keep components from running, before anything runs: build environments, look for images.

        Raises:
            EnvironmentSetupError: a package, a Python, an image or a command is missing; the message names the task.
        """
        for path, node in nodes:
            executor = self._pipeline.spec.deployment_spec.executors[node.component.executor_label]
            if not self._conditions.pods:  # whose nodes fetch images
                check_container(executor, self._conditions.containers, path)
            needs = self._needs(path, executor)
            if needs.note:
                print_notice(needs.note)
            if needs.environment is not None or (needs.image and "{{$" not in needs.image):
                with contextlib.suppress(TaskInputError):  # what it asks for of the machine is not known yet
                    self._step(path, node, {})  # builds the environment

    def _needs(self, path: str, executor: Executor) -> Needs:
        mode = PODS if self._conditions.pods else self._conditions.containers
        return needs_of(executor, mode, self._conditions.home, path)

    def _policy(self, node: Node, platform: dict[str, Any], asked: Resources) -> StepPolicy:
        retry, task = node.task.retry_policy, node.task
        return StepPolicy(
            resources=asked,
            retry=Retry(
                count=max(0, retry.max_retry_count),
                delay=seconds(retry.backoff_duration),
                backoff=max(1.0, retry.backoff_factor),
                max_delay=seconds(retry.backoff_max_duration) or 3600.0,
            ),
            timeout=float(platform.get("activeDeadlineSeconds", 0)),
            # An exit task is there for what it does, and its inputs seldom differ.
            cache=task.caching_options.enable_cache and self._conditions.use_cache and not node.is_exit,
            secrets=self._conditions.secrets.get(node.component.executor_label, ()),
        )


def seconds(text: str) -> float:
    """The seconds of a duration such as ``"1.5s"``; 0 for an empty text.

    Raises:
        ValueError: it is not a duration.
    """
    return float(parse_duration(text)) if text else 0.0


def code_of(node: Node, executor: Executor) -> bytes:
    """The fingerprint of what a task runs: its component and executor, without what it asks for of the machine.

    Where the task has a cache key, that key within the component instead.
    """
    if node.task.caching_options.cache_key:
        told: Any = [node.task.component_ref.name, node.task.caching_options.cache_key]
    else:
        container = executor.container
        if container is not None:
            container = msgspec.structs.replace(container, resources=ContainerResources(), lifecycle={})
        told = [_definitions(node.component), msgspec.structs.replace(executor, container=container)]
    return blake3(b"kfp" + msgspec.json.encode(told, order="sorted")).digest()


def _definitions(component: Component) -> list[Any]:
    return [component.input_definitions, component.output_definitions]


def _digest(one: PendingInput) -> bytes:
    if one.sources and one.value is None:
        return one.sources[0].task.output(one.sources[0].output).digest
    assert one.value is not None
    if one.sources:
        from headrace.identity.keys import template_digest

        return template_digest(one.value.digest, (at.task.output(at.output).digest for at in one.sources))
    return one.value.digest


def wants_task_uuid(executor: Executor) -> bool:
    """Whether a component asks for the id of its task by a placeholder."""
    container = executor.container
    texts = [] if container is None else [*container.command, *container.args, *[one.value for one in container.env]]
    return any(path == (TASK_UUID,) for path in find(texts))
