"""The messages of a compiled pipeline, as they stand in its YAML: ``PipelineSpec`` and ``PlatformSpec`` of KFP v2.

Field names are those of ``pipeline_spec.proto`` (kubeflow/pipelines, api/v2alpha1), in snake case here and in camel
case in the file. ``pipeline_file`` reads a file into a ``Pipeline``; nothing here looks at more than one message.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What all messages share: names in camel case, and no field that this version does not know."""


ParameterType = Literal[
    "PARAMETER_TYPE_ENUM_UNSPECIFIED",
    "NUMBER_DOUBLE",
    "NUMBER_INTEGER",
    "STRING",
    "BOOLEAN",
    "LIST",
    "STRUCT",
    "TASK_FINAL_STATUS",
    "TASK_CONFIG",
]


class ArtifactType(Message, frozen=True):
    """A type of artifacts: ``system.Dataset`` in ``schema_title``, or a schema as text."""

    schema_title: str = ""
    schema_uri: str = ""
    instance_schema: str = ""
    schema_version: str = ""


class InputParameter(Message, frozen=True):
    """A parameter that a component takes. ``default_value`` is ``UNSET`` where there is none."""

    parameter_type: ParameterType = "PARAMETER_TYPE_ENUM_UNSPECIFIED"
    default_value: Any = msgspec.UNSET
    is_optional: bool = False
    description: str = ""
    literals: tuple[Any, ...] = ()


class InputArtifact(Message, frozen=True):
    """An artifact, or a list of artifacts, that a component takes."""

    artifact_type: ArtifactType = ArtifactType()
    is_artifact_list: bool = False
    is_optional: bool = False
    description: str = ""


class OutputParameter(Message, frozen=True):
    """A parameter that a component gives."""

    parameter_type: ParameterType = "PARAMETER_TYPE_ENUM_UNSPECIFIED"
    description: str = ""


class OutputArtifact(Message, frozen=True):
    """An artifact, or a list of artifacts, that a component gives."""

    artifact_type: ArtifactType = ArtifactType()
    metadata: dict[str, Any] = {}
    properties: dict[str, Any] = {}  # deprecated
    custom_properties: dict[str, Any] = {}  # deprecated
    is_artifact_list: bool = False
    description: str = ""


class InputDefinitions(Message, frozen=True):
    """What a component takes, by name."""

    parameters: dict[str, InputParameter] = {}
    artifacts: dict[str, InputArtifact] = {}


class OutputDefinitions(Message, frozen=True):
    """What a component gives, by name."""

    parameters: dict[str, OutputParameter] = {}
    artifacts: dict[str, OutputArtifact] = {}


class RuntimeValue(Message, frozen=True):
    """A constant, or the name of a run's parameter. ``constant`` is ``UNSET`` where there is none."""

    constant: Any = msgspec.UNSET
    runtime_parameter: str = ""


class TaskOutputParameter(Message, frozen=True):
    """An output parameter of a task in the same DAG."""

    producer_task: str
    output_parameter_key: str


class TaskOutputArtifact(Message, frozen=True):
    """An output artifact of a task in the same DAG."""

    producer_task: str
    output_artifact_key: str


class TaskFinalStatus(Message, frozen=True):
    """How a task in the same DAG ended."""

    producer_task: str


class TaskParameter(Message, frozen=True):
    """Where an input of a task comes from: one of four; ``parameter_expression_selector`` takes a part of it."""

    runtime_value: RuntimeValue | None = None
    component_input_parameter: str | None = None
    task_output_parameter: TaskOutputParameter | None = None
    task_final_status: TaskFinalStatus | None = None
    parameter_expression_selector: str = ""


class TaskArtifact(Message, frozen=True):
    """Where an input artifact of a task comes from: one of the two."""

    component_input_artifact: str | None = None
    task_output_artifact: TaskOutputArtifact | None = None


class TaskInputs(Message, frozen=True):
    """The inputs of a task, by name."""

    parameters: dict[str, TaskParameter] = {}
    artifacts: dict[str, TaskArtifact] = {}


class TaskInfo(Message, frozen=True):
    """The name of a task for people."""

    name: str = ""


class ComponentRef(Message, frozen=True):
    """The component that a task runs."""

    name: str


class CachingOptions(Message, frozen=True):
    """Whether results of a task may be taken from the cache, and under which key instead of its fingerprint."""

    enable_cache: bool = False
    cache_key: str = ""


class TriggerPolicy(Message, frozen=True):
    """When a task runs: a CEL expression over its inputs, and which states of its upstream tasks."""

    condition: str = ""
    strategy: Literal[
        "TRIGGER_STRATEGY_UNSPECIFIED", "ALL_UPSTREAM_TASKS_SUCCEEDED", "ALL_UPSTREAM_TASKS_COMPLETED"
    ] = "TRIGGER_STRATEGY_UNSPECIFIED"


class ParameterItems(Message, frozen=True):
    """The items of a loop: JSON text, or the name of an input of the same task."""

    raw: str | None = None
    input_parameter: str | None = None


class ParameterIterator(Message, frozen=True):
    """A loop over a list; each iteration gets its item as the input ``item_input``."""

    items: ParameterItems
    item_input: str


class ArtifactItems(Message, frozen=True):
    """The artifacts of a loop: the name of an input of the same task."""

    input_artifact: str


class ArtifactIterator(Message, frozen=True):
    """A loop over a list of artifacts."""

    items: ArtifactItems
    item_input: str


class IteratorPolicy(Message, frozen=True):
    """How many iterations run at once; 0: all."""

    parallelism_limit: int = 0


class RetryPolicy(Message, frozen=True):
    """How often a failed task runs again; durations are texts such as ``"30s"``."""

    max_retry_count: int = 0
    backoff_duration: str = "0s"
    backoff_factor: float = 2.0
    backoff_max_duration: str = "3600s"


class Task(Message, frozen=True):
    """A task of a DAG."""

    component_ref: ComponentRef
    task_info: TaskInfo = TaskInfo()
    inputs: TaskInputs = TaskInputs()
    dependent_tasks: tuple[str, ...] = ()
    caching_options: CachingOptions = CachingOptions()
    trigger_policy: TriggerPolicy = TriggerPolicy()
    parameter_iterator: ParameterIterator | None = None
    artifact_iterator: ArtifactIterator | None = None
    iterator_policy: IteratorPolicy = IteratorPolicy()
    retry_policy: RetryPolicy = RetryPolicy()


class ParameterSelector(Message, frozen=True):
    """An output parameter of a task of the DAG."""

    producer_subtask: str
    output_parameter_key: str


class OneOfParameters(Message, frozen=True):
    """The first of several that is there."""

    parameter_selectors: tuple[ParameterSelector, ...] = ()


class DagOutputParameter(Message, frozen=True):
    """Where an output parameter of a DAG comes from: one of the two."""

    value_from_parameter: ParameterSelector | None = None
    value_from_oneof: OneOfParameters | None = None


class ArtifactSelector(Message, frozen=True):
    """An output artifact of a task of the DAG."""

    producer_subtask: str
    output_artifact_key: str


class DagOutputArtifact(Message, frozen=True):
    """Where an output artifact of a DAG comes from: the first task of the list that succeeded."""

    artifact_selectors: tuple[ArtifactSelector, ...] = ()


class DagOutputs(Message, frozen=True):
    """What a DAG gives, by name."""

    parameters: dict[str, DagOutputParameter] = {}
    artifacts: dict[str, DagOutputArtifact] = {}


class Dag(Message, frozen=True):
    """A graph of tasks, by their names."""

    tasks: dict[str, Task] = {}
    outputs: DagOutputs = DagOutputs()


class TaskConfigPassthrough(Message, frozen=True):
    """A setting of a task that its component hands on instead of applying it."""

    field: str = ""
    apply_to_task: bool = False


class Component(Message, frozen=True):
    """What a task runs: a DAG, or an executor."""

    input_definitions: InputDefinitions = InputDefinitions()
    output_definitions: OutputDefinitions = OutputDefinitions()
    dag: Dag | None = None
    executor_label: str = ""
    task_config_passthroughs: tuple[TaskConfigPassthrough, ...] = ()
    single_platform_specs: tuple[dict[str, Any], ...] = ()


class EnvironmentVariable(Message, frozen=True):
    """A variable of a container."""

    name: str
    value: str = ""


class Accelerator(Message, frozen=True):
    """Accelerators that a container asks for; the ``resource_`` fields are newer and may hold placeholders."""

    type: str = ""
    count: float | str = 0  # an int64, which the SDK writes as a text
    resource_type: str = ""
    resource_count: str = ""


class ContainerResources(Message, frozen=True):
    """What a container asks for; the ``resource_`` fields are newer and may hold placeholders."""

    cpu_limit: float = 0
    memory_limit: float = 0
    cpu_request: float = 0
    memory_request: float = 0
    accelerator: Accelerator | None = None
    resource_cpu_limit: str = ""
    resource_memory_limit: str = ""
    resource_cpu_request: str = ""
    resource_memory_request: str = ""


class Container(Message, frozen=True):
    """A command in an image."""

    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvironmentVariable, ...] = ()
    lifecycle: dict[str, Any] = {}
    resources: ContainerResources = ContainerResources()


class ArtifactUri(Message, frozen=True):
    """The URI of an importer: a constant, or the name of an input of its component."""

    constant: str | None = None
    runtime_parameter: str = ""


class Importer(Message, frozen=True):
    """Takes an artifact by its URI."""

    artifact_uri: ArtifactUri
    type_schema: ArtifactType = ArtifactType()
    metadata: dict[str, Any] = {}
    properties: dict[str, Any] = {}  # deprecated
    custom_properties: dict[str, Any] = {}  # deprecated
    reimport: bool = False
    download_to_workspace: bool = False


class Executor(Message, frozen=True):
    """How a component runs: one of the two; the others are of services that are gone."""

    container: Container | None = None
    importer: Importer | None = None
    resolver: dict[str, Any] | None = None
    custom_job: dict[str, Any] | None = None


class Deployment(Message, frozen=True):
    """The executors, by their labels."""

    executors: dict[str, Executor] = {}


class PipelineInfo(Message, frozen=True):
    """The pipeline's name and what it is for."""

    name: str = ""
    display_name: str = ""
    description: str = ""


class PipelineSpec(Message, frozen=True):
    """The first document of the file."""

    pipeline_info: PipelineInfo
    root: Component
    components: dict[str, Component] = {}
    deployment_spec: Deployment = Deployment()
    schema_version: str = ""
    sdk_version: str = ""
    default_pipeline_root: str = ""


class PlatformDeployment(Message, frozen=True):
    """Settings of executors on a platform, by their labels."""

    executors: dict[str, dict[str, Any]] = {}


class Platform(Message, frozen=True):
    """Settings of one platform."""

    deployment_spec: PlatformDeployment = PlatformDeployment()
    pipeline_config: dict[str, Any] = {}
    platform: str = ""
    version: str = ""
    config: dict[str, Any] = {}


class PlatformSpec(Message, frozen=True):
    """The second document of the file, by platform; the only one that exists is ``kubernetes``."""

    platforms: dict[str, Platform] = {}


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled pipeline: both documents."""

    spec: PipelineSpec
    platform: PlatformSpec = PlatformSpec()

    @property
    def name(self) -> str:
        """The name in the file, which is the name of the flow."""
        return self.spec.pipeline_info.name

    @property
    def kubernetes(self) -> Platform:
        """The settings for Kubernetes; empty ones where there are none."""
        return self.platform.platforms.get("kubernetes", Platform())
