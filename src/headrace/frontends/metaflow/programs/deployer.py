"""``Deployer``: its flow file is checked; schedulers of others (Argo Workflows, Step Functions) are not driven."""

from __future__ import annotations

from typing import Any, NoReturn

from headrace.frontends.metaflow.exceptions import NotSupportedException
from headrace.frontends.metaflow.programs.flowfile import OfFlowFile

_SCHEDULERS = {"argo_workflows": "Argo Workflows", "step_functions": "AWS Step Functions"}


def _refuse(what: str, scheduler: str = "other schedulers") -> NoReturn:
    raise NotSupportedException(
        f"{what}: Headrace does not deploy to {_SCHEDULERS.get(scheduler, scheduler)}; docs/metaflow.md says what it "
        "supports. Runner runs the same flow file here."
    )


class Deployer(OfFlowFile):
    """A flow file that is to be deployed.

    Raises:
        FileNotFoundError: there is no such file.
        MetaflowException: it holds no flow, or several.
    """

    def argo_workflows(self, **deployer_kwargs: Any) -> NoReturn:
        """Not supported.

        Raises:
            NotSupportedException: always.
        """
        _refuse("Deployer.argo_workflows", "argo_workflows")

    def step_functions(self, **deployer_kwargs: Any) -> NoReturn:
        """Not supported.

        Raises:
            NotSupportedException: always.
        """
        _refuse("Deployer.step_functions", "step_functions")


class _Refusing(type):
    """Class methods that look for what other schedulers have: there is nothing that could answer."""

    def __getattr__(cls, name: str) -> Any:
        if name not in _LOOK_UPS:
            raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")
        return lambda *_, **__: _refuse(f"{cls.__name__}.{name}")


_LOOK_UPS = frozenset(
    {
        *("from_deployment", "list_deployed_flows", "get_triggered_run"),
        *(f"{verb}_{one}" for verb in ("from", "list") for one in _SCHEDULERS),
        *(f"get_triggered_{one}_run" for one in _SCHEDULERS),
    }
)


class DeployedFlow(metaclass=_Refusing):
    """A flow on another scheduler: there is none, and looking for one says so."""

    TYPE: str | None = None


class TriggeredRun:
    """A run that another scheduler started: there is none."""

    def __init__(self, *_: Any, **__: Any) -> None:
        _refuse("TriggeredRun")
