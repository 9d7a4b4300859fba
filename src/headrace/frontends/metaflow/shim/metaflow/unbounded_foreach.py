"""Gangs: what their foreach goes over."""

from headrace.frontends.metaflow.authoring.splits import UnboundedForeachInput

CONTROL_TASK_TAG = "control_task"
UBF_CONTROL = "ubf_control"
UBF_TASK = "ubf_task"

__all__ = ["CONTROL_TASK_TAG", "UBF_CONTROL", "UBF_TASK", "UnboundedForeachInput"]
