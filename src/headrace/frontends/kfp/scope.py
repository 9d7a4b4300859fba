"""What a task has and gives: its inputs by name, its outputs by key, how it ended."""

from __future__ import annotations

from typing import Any

from headrace.frontends.kfp.references import Ref

SUCCEEDED, FAILED, SKIPPED, CANCELLED = "SUCCEEDED", "FAILED", "SKIPPED", "CANCELLED"


class Outputs:
    """What a task gave, by key. An artifact is a list of references always."""

    __slots__ = ("artifacts", "parameters")

    def __init__(self, parameters: dict[str, Ref], artifacts: dict[str, list[Ref]]) -> None:
        self.parameters = parameters
        self.artifacts = artifacts


class Environment:
    """The inputs of a task or of the DAG that it is, by name. ``around`` are those of the DAG around it.

    ``platform`` are the task's settings for Kubernetes, with the values that they name, where it runs in pods.
    """

    __slots__ = ("around", "artifacts", "parameters", "platform")

    platform: dict[str, Any] | None

    def __init__(self, parameters: dict[str, Ref], artifacts: dict[str, list[Ref]], around: Environment | None) -> None:
        self.platform = None
        self.parameters = parameters
        self.artifacts = artifacts
        self.around = around

    def parameter(self, name: str) -> Ref | None:
        """A parameter; where the compiler forgot to declare it, that of the DAGs around. None: it is absent."""
        at: Environment | None = self
        while at is not None:
            if name in at.parameters:
                return at.parameters[name]
            at = at.around
        return None

    def artifact(self, name: str) -> list[Ref] | None:
        """An artifact, as ``parameter``."""
        at: Environment | None = self
        while at is not None:
            if name in at.artifacts:
                return at.artifacts[name]
            at = at.around
        return None


class Ending:
    """How a task, DAG or loop ended."""

    __slots__ = ("error", "outputs", "state")

    def __init__(self, state: str, outputs: Outputs | None = None, error: str = "") -> None:
        self.state = state
        self.outputs = outputs if outputs is not None else Outputs({}, {})
        self.error = error


def joint_ending(endings: list[Ending]) -> Ending:
    """How something ended whose parts ended so: failed if a part failed."""
    failed = next((one for one in endings if one.state == FAILED), None)
    if failed is not None:
        return Ending(FAILED, error=failed.error)
    return Ending(CANCELLED if any(one.state == CANCELLED for one in endings) else SUCCEEDED)
