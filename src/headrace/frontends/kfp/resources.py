"""What a container asks for, as what its task occupies here."""

from __future__ import annotations

import re
from typing import Any

from headrace.frontends.kfp.errors import TaskInputError
from headrace.frontends.kfp.ir import Container
from headrace.frontends.kfp.placeholders import Path, as_text, replace
from headrace.model.policy import Resources

_QUANTITY = re.compile(r"([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)(m|k|[KMGTPE]i?)?")
_FACTORS = {"": 1.0, "m": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_FACTORS |= {f"{letter}i": 2.0 ** (10 * power) for power, letter in enumerate("KMGTPE", 1)}


def quantity(text: str) -> float:
    """``500m``, ``4G``, ``512Mi`` as a number.

    Raises:
        ValueError: it is not a quantity of Kubernetes.
    """
    found = _QUANTITY.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a quantity such as 500m, 4G or 512Mi")
    return float(found[1]) * _FACTORS[found[2] or ""]


def resources_of(
    container: Container | None, values: dict[str, Any], room: Resources | None, *, pods: bool = False
) -> Resources:
    """What one attempt occupies: the request, else the limit; at most what the machine has.

    ``values`` are the inputs of the task by name, for placeholders; ``room`` is None where tasks run elsewhere. The
    memory of ``pods`` is their limit, too: the larger one of the two is asked for.

    Raises:
        TaskInputError: a quantity is not one.
    """
    if container is None:
        return Resources(cpu=0.0, enforced=False)
    told = container.resources

    def number(*texts: str) -> float:
        for text in texts:
            if text:
                try:
                    return quantity(filled(text, values))
                except ValueError as error:
                    raise TaskInputError(f"resources: {error}") from None
        return 0.0

    cpu = number(told.resource_cpu_request, told.resource_cpu_limit) or told.cpu_request or told.cpu_limit or 1.0
    memory = number(told.resource_memory_request, told.resource_memory_limit)
    if pods:
        memory = max(memory, number(told.resource_memory_limit))
    gpu = number(told.accelerator.resource_count, str(told.accelerator.count)) if told.accelerator is not None else 0.0
    asked = Resources(cpu, int(memory), int(gpu), enforced=False)
    if room is None:
        return asked
    memory_here = min(asked.memory, room.memory) if room.memory else asked.memory
    return Resources(min(asked.cpu, room.cpu), memory_here, min(asked.gpu, room.gpu), enforced=False)


def filled(text: str, values: dict[str, Any]) -> str:
    """A text of a container, such as its image, with placeholders of inputs replaced by ``values``.

    Raises:
        TaskInputError: a placeholder names no input.
    """
    return replace(text, lambda path: _value(path, values))


def _value(path: Path, values: dict[str, Any]) -> str:
    if path[:2] == ("inputs", "parameters") and path[2] in values:
        return as_text(values[path[2]])
    raise TaskInputError(f"resources: there is no placeholder {'.'.join(path)}")
