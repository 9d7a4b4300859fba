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
    torch = next((one for one in function.decorators if one.name == "pytorch_parallel"), None)
    given = torch.attributes["master_port"] if torch is not None else None
    port = int(given or os.environ.get("MASTER_PORT") or _port(run))
    os.environ.update(_torch_variables(place, port) | _jax_variables(place, port + 1))
    if torch is not None:
        os.environ["NUM_NODES"] = str(place.num_nodes)
        os.environ.setdefault("PL_TORCH_DISTRIBUTED_BACKEND", "gloo")  # there may be no GPU


def _torch_variables(place: Parallel, port: int) -> dict[str, str]:
    """What ``torch.distributed`` reads of a node with one process, and ``torchrun`` where that starts several.

    Source: https://docs.pytorch.org/docs/stable/elastic/run.html
    """
    rank, size = str(place.node_index), str(place.num_nodes)
    return {
        "MASTER_ADDR": place.main_ip,
        "MASTER_PORT": str(port),
        "RANK": rank,
        "WORLD_SIZE": size,
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "NODE_RANK": rank,
        "GROUP_RANK": rank,
        "PET_NNODES": size,
        "PET_NODE_RANK": rank,
        "PET_MASTER_ADDR": place.main_ip,
        "PET_MASTER_PORT": str(port),
    }


def _jax_variables(place: Parallel, port: int) -> dict[str, str]:
    """What ``jax.distributed.initialize`` is called with, as the Kubeflow Trainer names it."""
    host = f"[{place.main_ip}]" if ":" in place.main_ip else place.main_ip
    return {
        "JAX_COORDINATOR_ADDRESS": f"{host}:{port}",
        "JAX_NUM_PROCESSES": str(place.num_nodes),
        "JAX_PROCESS_ID": str(place.node_index),
    }


def _port(run: str) -> int:
    """A port for a run: others have others, most likely."""
    return 51_000 + int(run) % 10_000 if run.isdigit() else 51_000
