"""Gangs: the tasks of a step after ``self.next(step, num_parallel=N)`` are nodes that run at once and may talk."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from headrace.frontends.metaflow.authoring.splits import Frame
from headrace.frontends.metaflow.names import stored
from headrace.model.records import NODES, task_number

#: Decorators that make a step one of a gang's.
GANG_DECORATORS = ("parallel", "pytorch_parallel")
_ADDRESS = "127.0.0.1"


@stored
class Parallel(NamedTuple):
    """``current.parallel``: the place of a task in a gang."""

    main_ip: str
    num_nodes: int
    node_index: int
    control_task_id: str | None


#: The place of a task that is in no gang.
ALONE = Parallel(_ADDRESS, 1, 0, None)


def is_gang(function: Any) -> bool:
    """Whether a step is one of those that run as a gang."""
    return any(one.name in GANG_DECORATORS for one in function.decorators)


def place_of(stack: list[Frame], task: str, address: str = "") -> Parallel | None:
    """The place of task ``Flow/RUN/step/N`` in the gang it is in, if it is in one; ``address`` is that of node 0."""
    if not stack or not stack[-1].is_gang:
        return None
    frame = stack[-1]
    control = (task_number(task.rpartition("/")[2]) or 0) % NODES
    return Parallel(address or _ADDRESS, frame.num_splits, frame.index, str(control))


def set_environment(function: Any, place: Parallel, run: str) -> None:
    """Tell the process where it is in the gang, by the variables that libraries for distributed training read."""
    os.environ["MF_PARALLEL_MAIN_IP"] = place.main_ip
    os.environ["MF_PARALLEL_NUM_NODES"] = str(place.num_nodes)
    os.environ["MF_PARALLEL_NODE_INDEX"] = str(place.node_index)
    os.environ["MF_PARALLEL_CONTROL_TASK_ID"] = place.control_task_id or ""
    for one in function.decorators:
        if one.name == "pytorch_parallel":
            os.environ["MASTER_ADDR"] = place.main_ip
            os.environ["MASTER_PORT"] = str(one.attributes["master_port"] or _port(run))
            os.environ["NODE_RANK"] = str(place.node_index)
            os.environ["WORLD_SIZE"] = os.environ["NUM_NODES"] = str(place.num_nodes)
            os.environ.setdefault("PL_TORCH_DISTRIBUTED_BACKEND", "gloo")  # there is one machine


def _port(run: str) -> int:
    """A port for a run: others have others, most likely."""
    return 51_000 + int(run) % 10_000 if run.isdigit() else 51_000
