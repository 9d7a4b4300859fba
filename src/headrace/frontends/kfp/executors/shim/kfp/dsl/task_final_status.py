"""What an exit task hears of the tasks before it."""

import dataclasses
from typing import Optional


@dataclasses.dataclass
class PipelineTaskFinalStatus:
    """The final state of a task or of a group of tasks, for an exit task."""

    state: str
    pipeline_job_resource_name: str
    pipeline_task_name: str
    error_code: Optional[int]  # noqa: UP045 - as users read it
    error_message: Optional[str]  # noqa: UP045
