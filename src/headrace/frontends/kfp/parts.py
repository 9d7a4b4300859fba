"""``load``: a pipeline, or one of its components, as a part of a native run. Its tasks are tasks of that run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from headrace.client.default import default_scope
from headrace.frontends.kfp import arguments, kubernetes, validation
from headrace.frontends.kfp.artifacts import to_stored
from headrace.frontends.kfp.contract import ArtifactValue
from headrace.frontends.kfp.errors import PipelineError
from headrace.frontends.kfp.graph import node_at
from headrace.frontends.kfp.interpreter import Interpreter
from headrace.frontends.kfp.interrupts import InterruptGate
from headrace.frontends.kfp.ir import (
    ArtifactSelector,
    Component,
    ComponentRef,
    Dag,
    DagOutputArtifact,
    DagOutputParameter,
    DagOutputs,
    InputArtifact,
    ParameterSelector,
    Pipeline,
    Task,
    TaskArtifact,
    TaskInputs,
    TaskParameter,
)
from headrace.frontends.kfp.launch import PipelineFailedError, job_facts, planner_of, share_secrets
from headrace.frontends.kfp.pipeline_file import read_pipeline
from headrace.frontends.kfp.plan import Conditions, Planner
from headrace.frontends.kfp.references import Out, Ref, Several
from headrace.frontends.kfp.scope import FAILED, Ending
from headrace.frontends.kfp.workspaces import Workspace, made_workspace
from headrace.model.errors import UsageError
from headrace.services.current import Calls, running
from headrace.services.session import Session
from headrace.settings import read_settings
from headrace.stores.codecs import File, Folder


class Part:
    """A pipeline, or a component of one, to be called within a native flow. Arguments go by name."""

    def __init__(self, pipeline: Pipeline, name: str, within: str, *, ignore_kubernetes: bool = False) -> None:
        self.name = name
        self._ignore_kubernetes = ignore_kubernetes
        self._pipeline = pipeline
        self._within = within
        self._planners: WeakKeyDictionary[Session, Planner] = WeakKeyDictionary()

    def __call__(self, **given: Any) -> Any:
        """Run it as a part of the run around it, and wait for its end.

        An input artifact is a ``File`` or ``Folder``, or a path.

        Returns:
            Its output; where there are several, an object with an attribute for each; None where there is none.

        Raises:
            UsageError: it is called outside of a run.
            PipelineError: it has no such input, or the value is of the wrong type.
            Exception: what a component of it raised.
        """
        run = running()
        if run is None:
            raise UsageError(
                f"{self.name} was called outside of a run: call it in a function under @flow, or run the pipeline by "
                "itself with `headrace run`"
            )
        declared = self._pipeline.spec.root.input_definitions.artifacts
        artifacts = {name: _stored(name, one, given[name]) for name, one in declared.items() if name in given}
        values = arguments.bind(self._pipeline, {key: one for key, one in given.items() if key not in artifacts})
        missing = [name for name, one in declared.items() if name not in artifacts and not one.is_optional]
        if missing:
            raise PipelineError(f"{self.name}: the input artifact {missing[0]!r} is not given")
        session = run.session
        home = read_settings().home
        workspace = made_workspace(self._pipeline, job_facts(self._pipeline, session.run, home), session.cluster)
        job = workspace.job
        planner = self._planners.get(session)
        if planner is None:
            planner = self._planners[session] = self._planner(session, workspace, home)
        interpreter = Interpreter(self._pipeline, session, planner, job, {})
        return self._result(run, interpreter, self._ending(interpreter, values, artifacts))

    def _planner(self, session: Session, workspace: Workspace, home: str) -> Planner:
        pods = session.cluster is not None
        how = f"To call it without them: headrace.kfp.load({self.name!r}, ignore_kubernetes=True)"
        kubernetes.check_settings(self._pipeline, how, pods=pods, ignored=self._ignore_kubernetes)
        wanted = {} if pods else kubernetes.wanted_secrets(self._pipeline)
        if wanted:
            share_secrets(session, default_scope().secret_sources.values(wanted))
        conditions = Conditions(
            room=session.place("").capacity.largest,
            home=home,
            cluster=session.cluster,
            workspace_claim=workspace.claim,
            secrets={} if pods else kubernetes.secrets_of(self._pipeline),
        )
        return planner_of(self._pipeline, session, workspace.job, conditions)

    def _ending(self, interpreter: Interpreter, values: dict[str, Any], artifacts: dict[str, list[Any]]) -> Ending:
        gate = InterruptGate()
        with gate.installed():
            try:
                return interpreter.run(values, gate, artifacts, self._within)
            except KeyboardInterrupt:
                interpreter.clean_up(gate)
                raise

    def _result(self, run: Calls, interpreter: Interpreter, ending: Ending) -> Any:
        if ending.state == FAILED:
            assert interpreter.first_failure is not None
            path, error, task = interpreter.first_failure
            if task is not None:
                raise run.session.exception(task)
            raise PipelineFailedError(f"{self.name}: task {path!r} failed: {error}")

        def value_of(ref: Ref) -> Any:
            if isinstance(ref, Out):
                return run.read(ref.task, ref.key)
            return [value_of(one) for one in ref.parts] if isinstance(ref, Several) else ref.value

        outputs = {name: value_of(ref) for name, ref in ending.outputs.parameters.items()}
        for name, refs in ending.outputs.artifacts.items():
            outputs[name] = value_of(refs[0]) if len(refs) == 1 else [value_of(one) for one in refs]
        dag = self._pipeline.spec.root.dag
        names = [*dag.outputs.parameters, *dag.outputs.artifacts] if dag is not None else []
        if len(names) == 1:
            return outputs.get(names[0])
        return SimpleNamespace(**outputs) if names else None

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"


class LoadedPipeline(Part):
    """A pipeline to be called within a native flow, as ``Part``; ``component`` gives one of its components."""

    def __init__(self, pipeline: Pipeline, *, ignore_kubernetes: bool = False) -> None:
        super().__init__(pipeline, pipeline.name, f"{pipeline.name}.", ignore_kubernetes=ignore_kubernetes)

    def component(self, path: str) -> Part:
        """What a task of the pipeline runs, as a step; ``path`` as `headrace check` lists it.

        Raises:
            PipelineError: there is no such task.
        """
        node = node_at(self._pipeline.spec, path)
        if node is None:
            raise PipelineError(f"{self.name} has no task {path!r}; `headrace check` lists its tasks")
        component = node.component
        spec = msgspec.structs.replace(self._pipeline.spec, root=_root_of(node.key, node.task, component))
        pipeline = msgspec.structs.replace(self._pipeline, spec=spec)
        within, ignored = f"{self.name}.", self._ignore_kubernetes
        return Part(pipeline, f"{within}{path}", within, ignore_kubernetes=ignored)


def _root_of(key: str, task: Task, component: Component) -> Component:
    """A root with one task, whose inputs and outputs are those of the component."""
    inputs = component.input_definitions
    outputs = component.output_definitions
    alone = Task(
        component_ref=ComponentRef(name=task.component_ref.name),
        task_info=task.task_info,
        caching_options=task.caching_options,
        retry_policy=task.retry_policy,
        inputs=TaskInputs(
            parameters={name: TaskParameter(component_input_parameter=name) for name in inputs.parameters},
            artifacts={name: TaskArtifact(component_input_artifact=name) for name in inputs.artifacts},
        ),
    )
    gives = DagOutputs(
        parameters={
            name: DagOutputParameter(
                value_from_parameter=ParameterSelector(producer_subtask=key, output_parameter_key=name)
            )
            for name in outputs.parameters
        },
        artifacts={
            name: DagOutputArtifact(
                artifact_selectors=(ArtifactSelector(producer_subtask=key, output_artifact_key=name),)
            )
            for name in outputs.artifacts
        },
    )
    dag = Dag(tasks={key: alone}, outputs=gives)
    return Component(input_definitions=inputs, output_definitions=outputs, dag=dag)


def _stored(name: str, declared: InputArtifact, value: Any) -> list[Any]:
    """An artifact argument as it is stored: a list always."""
    if isinstance(value, (list, tuple)):
        return [one for member in value for one in _stored(name, declared, member)]
    if isinstance(value, (str, os.PathLike)) and not isinstance(value, (File, Folder)):
        value = Folder(value) if os.path.isdir(value) else File(value)  # noqa: PTH112
    if isinstance(value, (File, Folder)):
        if "kfp" in value.metadata:
            return [value]
        kind = declared.artifact_type
        return [to_stored(ArtifactValue(name=name, schema_title=kind.schema_title or "system.Artifact", content=value))]
    if isinstance(value, Mapping) and set(value) == {"kfp"}:
        return [value]
    raise PipelineError(f"the input artifact {name!r} must be a File, a Folder or a path, and is {value!r}")


def load(file: str | os.PathLike[str], *, ignore_kubernetes: bool = False) -> LoadedPipeline:
    """Make a compiled pipeline callable in native flows: ``train = headrace.kfp.load("train.yaml")``.

    Its tasks become tasks of the run that calls it, named ``PIPELINE.TASK``: they are resumed with it and listed by
    `headrace show`.

    Args:
        file: beside the calling file, unless the path is absolute.
        ignore_kubernetes: run it without settings that only a cluster can honour; else a call that needs them is
            refused.

    Raises:
        PipelineError: the file cannot be read, or the pipeline cannot run.
    """
    folder = os.path.dirname(sys._getframe(1).f_code.co_filename)  # noqa: PTH120
    path = os.path.join(folder, os.fspath(file))  # noqa: PTH118
    pipeline = read_pipeline(path)
    validation.check(pipeline, os.fspath(file))
    return LoadedPipeline(pipeline, ignore_kubernetes=ignore_kubernetes)
